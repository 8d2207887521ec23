package backbone_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"trellis/backbone"
	"trellis/internal/relay"
	"trellis/routing/control"
	"trellis/wire"
)

// planned is a mesh of nodes on a plane, each linked to all, whose first one
// publishes; every link is as long as its ends are apart, and some take a detour.
type planned struct {
	*cluster
	t      *testing.T
	origin *node
	others []*node
	track  *relay.Track
	views  map[*node]*viewer
	stop   chan struct{}
	done   chan uint64
}

func newPlanned(t *testing.T, seed uint64, nodes int, kind wire.Kind) *planned {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 1))
	p := &planned{cluster: newCluster(t), t: t, views: map[*node]*viewer{}, stop: make(chan struct{}), done: make(chan uint64, 1)}
	at := make([][2]float64, nodes)
	for i := range nodes {
		spec := nodeSpec{id: fmt.Sprintf("n%02d", i), skew: time.Duration(rng.IntN(4000)-2000) * time.Millisecond}
		spec.planner = control.New(control.Config{Origin: spec.id})
		n := p.node(spec)
		at[i] = [2]float64{rng.Float64() * 50, rng.Float64() * 30}
		for j := range i {
			ms := 1 + math.Hypot(at[i][0]-at[j][0], at[i][1]-at[j][1])
			if rng.IntN(4) == 0 {
				ms *= 2 // the internet is no plane
			}
			p.link(p.nodes[j], n, pathSpec{delay: time.Duration(ms*1000) * time.Microsecond, jitter: 300 * time.Microsecond})
		}
	}
	p.origin, p.others = p.nodes[0], p.nodes[1:]
	_, p.track = p.origin.publish("room/alice", "t", kind)
	p.start()
	for _, n := range p.others {
		n.waitFor("room/alice")
	}
	time.Sleep(3 * time.Second)
	go func() { p.done <- p.origin.stream(p.track, 10, 300, 20*time.Millisecond, p.stop) }()
	return p
}

// end stops everything and returns how many groups there were.
func (p *planned) end() (groups uint64) {
	close(p.stop)
	groups = <-p.done
	time.Sleep(time.Second)
	for _, v := range p.views {
		v.stop()
	}
	p.close()
	return groups
}

// settled waits until every node is where the plan has it, with its backup, and
// returns the routes.
func (p *planned) settled(within time.Duration) []backbone.RouteStatus {
	p.t.Helper()
	var why string
	for began := time.Now(); time.Since(began) < within; time.Sleep(100 * time.Millisecond) {
		why = ""
		for _, n := range p.others {
			if p.views[n] == nil {
				continue
			}
			s, err := n.mesh.Routes(p.t.Context(), wire.TrackName{Broadcast: "room/alice", Track: "t"}, n.id)
			if err != nil || len(s.Routes) == 0 {
				why = n.id + " does not carry it"
				continue
			}
			r := s.Routes[0]
			if len(r.Planned) == 0 || r.Parent != r.Planned[len(r.Planned)-1] {
				why = fmt.Sprintf("%s is at %q, planned %v: %s", n.id, r.Parent, r.Planned, r.Obstacle)
			} else if (r.Protect == "warm" || r.Protect == "hot") && r.Standby != r.Backup[len(r.Backup)-1] {
				why = fmt.Sprintf("%s has its backup at %q, planned %v", n.id, r.Standby, r.Backup)
			}
		}
		if why == "" {
			return p.origin.routes("room/alice", "t").Routes
		}
	}
	p.t.Errorf("not settled after %v: %s", within, why)
	return nil
}

// TestControllerInTheLoop: nodes that have joined somewhere end where the plan has
// them; what is measured there is what the plan expected, to 10 % or 3 ms; and when
// the relay is lost that most depend on, they go on at once and are planned anew.
func TestControllerInTheLoop(t *testing.T) {
	for _, kind := range []wire.Kind{wire.KindVideo, wire.KindAudio} {
		for seed := range uint64(2) {
			t.Run(fmt.Sprintf("%s/%d", kind, seed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := newPlanned(t, seed, 7, kind)
					for _, n := range p.others[1:] {
						p.views[n] = n.view("room/alice", "t")
					}
					time.Sleep(5 * time.Second)
					routes := p.settled(15 * time.Second)
					time.Sleep(5 * time.Second) // for new ages to come up
					children := map[string]int{}
					for _, r := range p.origin.routes("room/alice", "t").Routes {
						age := r.Path[len(r.Path)-1]
						children[r.Parent]++
						if off := math.Abs(age.AgeMs - r.PredictedMs); age.Age != "measured" || off > max(3, r.PredictedMs/10) {
							t.Errorf("%s: measured %+v, predicted %v ms by %v", r.Node, age, r.PredictedMs, r.Planned)
						}
						if r.Viewers > 0 && len(r.Backup) == 0 {
							t.Errorf("%s has no backup: %s", r.Node, r.Note)
						}
					}
					if len(routes) < len(p.views) {
						t.Errorf("%d routes for %d nodes", len(routes), len(p.views))
					}
					// Who would be missed most goes, without a word.
					var worst *node
					for _, n := range p.others {
						if worst == nil || children[n.id] > children[worst.id] {
							worst = n
						}
					}
					for _, n := range p.nodes {
						p.net.cutIfThere(worst.addr, n.addr)
						p.net.cutIfThere(n.addr, worst.addr)
					}
					if v := p.views[worst]; v != nil {
						v.stop()
						delete(p.views, worst)
					}
					time.Sleep(time.Second)
					p.settled(9 * time.Second)
					views := p.views
					groups := p.end()
					for n, v := range views {
						v.wantAll(t, 1, groups, 10)
						gap := longestGap(slices.DeleteFunc(v.objects(), func(o got) bool { return o.group == 0 }))
						limit := time.Second
						if kind == wire.KindAudio {
							limit = 150 * time.Millisecond
						}
						if gap > limit {
							t.Errorf("%s: gap of %v", n.id, gap)
						}
						t.Logf("%s: longest gap %v", n.id, gap)
					}
				})
			})
		}
	}
}
