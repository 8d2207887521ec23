package world

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"trellis/internal/impair"
	"trellis/internal/node"
	"trellis/internal/sim"
)

// FaultReport is a fault as it happened.
type FaultReport struct {
	Fault

	Hit     []string      `json:"hit"`   // nodes, or the two ends of a link
	Began   time.Duration `json:"began"` // since the measurement began
	Ended   time.Duration `json:"ended,omitempty"`
	Moved   int           `json:"viewers_moved"` // whose node died
	Below   int           `json:"viewers_below"` // viewers behind what was hit
	Behind  []string      `json:"behind"`        // the nodes that they are at, hit ones left out
	Explain string        `json:"explain"`
}

// reconnect is how long viewers of a dead node need to find the next: the target
// of our own client is 2 s for 95 of 100.
const reconnect = time.Second

// step is something to do at a time.
type step struct {
	at time.Time
	do func() error
}

// script lets the measurement run, with the faults at their times.
func (w *World) script() error {
	end := w.session.from.Add(w.cfg.Duration)
	var steps []step
	for i := range w.cfg.Faults {
		f := w.cfg.Faults[i]
		steps = append(steps, step{w.session.from.Add(f.At), func() error { return w.strike(f) }})
	}
	for t := w.session.from; t.Before(end); t = t.Add(sampleEvery) {
		steps = append(steps, step{t, w.sample})
	}
	steps = append(steps, step{end.Add(-time.Millisecond), w.sample})
	w.pending = steps
	for {
		slices.SortStableFunc(w.pending, func(a, b step) int { return a.at.Compare(b.at) })
		if len(w.pending) == 0 || !w.pending[0].at.Before(end) {
			break
		}
		next := w.pending[0]
		w.pending = w.pending[1:]
		w.sleep(time.Until(next.at), "measuring")
		if err := next.do(); err != nil {
			return err
		}
	}
	w.sleep(time.Until(end), "measuring")
	return nil
}

// sampleEvery is how often the tree is looked at.
const sampleEvery = 5 * time.Second

// later does something after a time, if the session is not over by then.
func (w *World) later(d time.Duration, do func() error) {
	w.pending = append(w.pending, step{time.Now().Add(d), do})
}

// strike does one fault.
func (w *World) strike(f Fault) error {
	tree := w.tree(w.status())
	if f.Target == "" && w.hit != nil {
		f.Target = w.hit(tree)
	}
	r := FaultReport{Fault: f, Began: time.Since(w.session.from)}
	w.say("fault: "+string(f.Kind), 0)
	var err error
	switch f.Kind {
	case KillRelay, KillRegion, KillProvider:
		err = w.kill(&r, tree)
	case Freeze, ClockStep:
		err = w.onRelay(&r, tree)
	case Partition:
		err = w.partition(&r)
	case Drain, Price:
		err = w.askRelay(&r, tree)
	case Registry:
		err = w.registry(&r)
	case Crowd:
		err = w.flashCrowd(&r)
	case Blackhole, OneWay, Lossy, Jittery, DelayChange, Flap:
		err = w.onLink(&r, tree)
	default:
		err = fmt.Errorf("world: no fault %q", f.Kind)
	}
	if err != nil {
		return err
	}
	if f.For > 0 {
		r.Ended = r.Began + f.For
	}
	r.Behind = tree.behind(w, &r)
	w.faults = append(w.faults, r)
	return nil
}

// victims returns whom a kill hits, never the origin.
func (w *World) victims(f Fault, tree treeSample) ([]int, error) {
	var out []int
	switch f.Kind {
	case KillRelay:
		at, ok := w.byID[f.Target]
		if f.Target == "" {
			at, ok = tree.largestRelay(w)
		}
		if !ok {
			return nil, fmt.Errorf("world: no relay %q to kill", f.Target)
		}
		out = append(out, at)
	case KillRegion:
		if w.m.Find(f.Target) < 0 {
			return nil, fmt.Errorf("world: no region %q in %s", f.Target, w.m.Name)
		}
		for i, p := range w.places {
			if w.m.Regions[p.Region].ID == f.Target {
				out = append(out, i)
			}
		}
	case KillProvider:
		if !slices.Contains(providers, Provider(f.Target)) {
			return nil, fmt.Errorf("world: no provider %q: there are %v", f.Target, providers)
		}
		for i, p := range w.places {
			if string(p.Provider) == f.Target {
				out = append(out, i)
			}
		}
	default:
	}
	if slices.Contains(out, w.origin) {
		return nil, fmt.Errorf("world: %s is where the broadcast enters, which cannot survive its own node", w.places[w.origin].ID)
	}
	return slices.DeleteFunc(out, func(i int) bool { return w.dead[i] }), nil
}

// kill takes the power from nodes. Their viewers come back at the nearest node
// that lives.
func (w *World) kill(r *FaultReport, tree treeSample) error {
	hit, err := w.victims(r.Fault, tree)
	if err != nil {
		return err
	}
	for _, i := range hit {
		w.dead[i] = true
	}
	for _, i := range hit {
		r.Hit = append(r.Hit, w.places[i].ID)
		r.Below += tree.below[i]
		w.cluster.Kill(w.places[i].ID)
		for k := range w.real {
			if w.real[k].node == i {
				w.real[k].node = -1 // what it sees from now on proves nothing
			}
		}
		a := w.crowds[i]
		if a == nil {
			continue
		}
		a.cancel(errNodeDead)
		w.crowds[i] = nil
		r.Moved += a.viewers
		if to, ok := w.nearest(i); ok {
			seed := w.rng.Uint64()
			w.later(reconnect, func() error {
				w.attach(to, a.viewers, reconnect, seed)
				return nil
			})
		}
	}
	w.setLimits(w.status())
	r.Explain = fmt.Sprintf("%d nodes lost their power; %d viewers were on them and come back at the next node within %v",
		len(hit), r.Moved, 2*reconnect)
	return nil
}

// nearest returns the living node that is nearest to a place.
func (w *World) nearest(at int) (int, bool) {
	best := -1
	for _, i := range w.alive() {
		if best < 0 || delay(w.m, &w.places[at], &w.places[i]) < delay(w.m, &w.places[at], &w.places[best]) {
			best = i
		}
	}
	return best, best >= 0
}

// onRelay does something to one node.
func (w *World) onRelay(r *FaultReport, tree treeSample) error {
	at, ok := w.byID[r.Target]
	if r.Target == "" {
		at, ok = tree.largestRelay(w)
	}
	if !ok {
		return fmt.Errorf("world: no relay %q", r.Target)
	}
	id := w.places[at].ID
	r.Hit, r.Below = []string{id}, tree.below[at]
	if r.Kind == ClockStep {
		w.cluster.Node(id).StepClock(r.Delay)
		r.Explain = fmt.Sprintf("the node's clock jumps by %v", r.Delay)
		return nil
	}
	w.net.SetFrozen(id, true)
	w.later(r.For, func() error {
		w.net.SetFrozen(id, false)
		return nil
	})
	r.Explain = fmt.Sprintf("the node's network stands still for %v and then goes on with what waited", r.For)
	return nil
}

// partition cuts a region off from all others.
func (w *World) partition(r *FaultReport) error {
	region := w.m.Find(r.Target)
	if region < 0 {
		return fmt.Errorf("world: no region %q in %s", r.Target, w.m.Name)
	}
	set := func(down bool) error {
		for _, a := range w.places {
			for _, b := range w.places {
				if a.Region == region && b.Region != region {
					if err := w.net.SetDown(a.ID, b.ID, down); err != nil {
						return err
					}
				}
			}
		}
		return nil
	}
	for i, p := range w.places {
		if p.Region == region {
			r.Hit = append(r.Hit, p.ID)
			if w.crowds[i] != nil {
				r.Below += w.crowds[i].viewers
			}
		}
	}
	if r.For > 0 {
		w.later(r.For, func() error { return set(false) })
	}
	r.Explain = "the region reaches nobody outside, and nobody reaches it"
	return set(true)
}

// onLink does something to one link, given as "PARENT>CHILD", or that with most
// viewers behind it.
func (w *World) onLink(r *FaultReport, tree treeSample) error {
	from, to, ok := strings.Cut(r.Target, ">")
	if r.Target == "" {
		from, to, ok = tree.busiestLink(w)
	}
	if !ok {
		return fmt.Errorf("world: no link %q", r.Target)
	}
	r.Hit, r.Below = []string{from, to}, tree.below[w.byID[to]]
	was, err := w.net.Link(from, to)
	if err != nil {
		return err
	}
	change := func(cfg impair.Config) error { return w.net.SetPath(from, to, cfg) }
	restore := func() error { return change(was) }
	cfg := was
	switch r.Kind {
	case Blackhole:
		cfg.Down = true
		r.Explain = "nothing passes, in either direction"
	case OneWay:
		r.Explain = "nothing passes from the parent to the child"
		err = w.net.SetDownOneWay(from, to, true)
		restore = func() error { return w.net.SetDownOneWay(from, to, false) }
	case Lossy:
		cfg.Loss = impair.Independent(r.Amount)
		r.Explain = fmt.Sprintf("%.1f %% of datagrams are lost", 100*r.Amount)
	case Jittery:
		cfg.Jitter += r.Delay
		r.Explain = fmt.Sprintf("datagrams take up to %v longer", r.Delay)
	case DelayChange:
		cfg.Delay += r.Delay
		r.Explain = fmt.Sprintf("the path is longer by %v", r.Delay)
	case Flap:
		r.Explain = fmt.Sprintf("the delay changes by %.0f %% every %v", 100*r.Amount, flapEvery)
		w.flap(r, was, change)
	default:
	}
	if r.Kind != OneWay && r.Kind != Flap {
		err = change(cfg)
	}
	if r.For > 0 {
		w.later(r.For, restore)
	}
	return err
}

const flapEvery = 2 * time.Second

func (w *World) flap(r *FaultReport, was impair.Config, change func(impair.Config) error) {
	up := true
	for t := time.Duration(0); t < r.For; t += flapEvery {
		cfg := was
		part := time.Duration(float64(was.Delay) * r.Amount)
		if up {
			cfg.Delay += part
		} else {
			cfg.Delay -= part
		}
		up = !up
		w.later(t, func() error { return change(cfg) })
	}
}

// flashCrowd lets viewers come to the node that has fewest, or to the one named.
func (w *World) flashCrowd(r *FaultReport) error {
	at, ok := w.byID[r.Target]
	if r.Target == "" {
		at, ok = w.origin, true
		for _, i := range w.alive() {
			if w.least[i] > w.least[at] {
				at = i
			}
		}
	}
	if !ok {
		return fmt.Errorf("world: no node %q", r.Target)
	}
	r.Hit = []string{w.places[at].ID}
	r.Explain = fmt.Sprintf("%d viewers come within %v to one node, the farthest from the origin unless named", r.Count, r.For)
	w.attach(at, r.Count, r.For, w.rng.Uint64())
	return nil
}

// treeSample is who takes the picture from whom, at a time.
type treeSample struct {
	at     time.Time
	parent map[int]int // -1: none now
	path   map[int][]string
	cost   map[int]float64 // what the node expects, in ms
	cause  map[int]string
	below  map[int]int // viewers at and below
	subs   map[int]int // how many send it to the node, or stand by to
	moving int
}

func (w *World) tree(all map[int]node.Status) treeSample {
	t := treeSample{
		at: time.Now(), parent: map[int]int{}, path: map[int][]string{}, cost: map[int]float64{}, cause: map[int]string{}, below: map[int]int{},
		subs: map[int]int{},
	}
	for i, s := range all {
		for _, b := range s.Broadcasts {
			for _, track := range b.Tracks {
				if b.Name != broadcast || track.Name != sim.VideoTrack {
					continue
				}
				t.parent[i] = -1
				if p, ok := w.byID[track.Parent]; ok {
					t.parent[i] = p
				}
				t.path[i], t.cost[i], t.cause[i] = track.Path, track.CostMs, track.Cause
				if track.MovingTo != "" {
					t.moving++
				}
				for _, child := range track.Children {
					t.subs[w.byID[child]]++
				}
			}
		}
	}
	for i, a := range w.crowds {
		if a == nil {
			continue
		}
		for v, hops := i, 0; hops <= len(w.places); hops++ {
			t.below[v] += a.viewers
			p, ok := t.parent[v]
			if !ok || p < 0 || v == w.origin {
				break
			}
			v = p
		}
	}
	return t
}

// behind returns the nodes that took the picture through what was hit.
func (t treeSample) behind(w *World, r *FaultReport) []string {
	var out []string
	for _, i := range sortedKeys(t.parent) {
		id := w.places[i].ID
		way := append(slices.Clone(t.path[i]), id)
		if way = slices.Compact(way); w.dead[i] || slices.Contains(r.Hit, id) && !r.onLink() {
			continue
		}
		for k, hop := range way {
			through := slices.Contains(r.Hit, hop) && k+1 < len(way)
			if r.onLink() {
				through = hop == r.Hit[0] && k+1 < len(way) && way[k+1] == r.Hit[1]
			}
			if through {
				out = append(out, id)
				break
			}
		}
	}
	return out
}

// onLink reports whether a link was hit, and not nodes.
func (r *FaultReport) onLink() bool {
	switch r.Kind {
	case Blackhole, OneWay, Lossy, Jittery, DelayChange, Flap:
		return len(r.Hit) == 2
	case KillRelay, KillRegion, KillProvider, Freeze, ClockStep, Partition, Crowd, Drain, Registry, Price:
	}
	return false
}

// largestRelay is the node with most viewers below, beside the origin.
func (t treeSample) largestRelay(w *World) (int, bool) {
	best, have := -1, -1
	for _, i := range sortedKeys(t.parent) {
		own := 0
		if a := w.crowds[i]; a != nil {
			own = a.viewers
		}
		if below := t.below[i] - own; i != w.origin && below > have {
			best, have = i, below
		}
	}
	return best, best >= 0
}

// busiestLink is the link with most viewers behind it.
func (t treeSample) busiestLink(w *World) (from, to string, ok bool) {
	children := sortedKeys(t.parent)
	slices.SortStableFunc(children, func(a, b int) int { return cmp.Compare(t.below[b], t.below[a]) })
	for _, c := range children {
		if p := t.parent[c]; p >= 0 && c != w.origin {
			return w.places[p].ID, w.places[c].ID, true
		}
	}
	return "", "", false
}

// sample looks at the tree.
func (w *World) sample() error {
	all := w.status()
	w.trees = append(w.trees, w.tree(all))
	w.setLimits(all) // links come and go
	return nil
}
