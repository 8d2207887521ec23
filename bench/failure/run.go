package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"trellis/internal/ca"
	"trellis/internal/node"
)

// kinds are what can happen to a relay.
var kinds = []string{"kill", "blackhole", "oneway", "freeze"}

const (
	originID       = "origin"
	viewersPerEdge = 2
	// frozenFor is how long a relay stands still.
	frozenFor = 5 * time.Second
	// observed is how long arrivals are watched after the fault, and after a
	// relay runs again.
	observed = 2500 * time.Millisecond
	// drained is what objects that were sent last may take.
	drained = 700 * time.Millisecond
	// lastOnes are not judged: a publisher that ends may take them along.
	lastOnes = 200 * time.Millisecond
)

var (
	edgeIDs = []string{"edge-1", "edge-2"}
	// relays are by how long the way over them takes, half of a link's delay each.
	relays = []struct {
		id    string
		delay time.Duration
	}{{"relay-1", 10 * time.Millisecond}, {"relay-2", 20 * time.Millisecond}}
)

// world is five nodes, a publisher and the viewers of one run.
type world struct {
	dir       string
	processes map[string]*process
	net       network
	publisher *publisher
	viewers   []*viewer
	playing   context.CancelFunc // ends the publisher
}

// runAll repeats the run. One that did not come up is repeated, so that a port
// taken by somebody else costs nothing.
func (opt options) runAll(ctx context.Context, dir string, progress io.Writer) (*report, error) {
	rep := newReport(ctx, opt)
	var mu sync.Mutex
	done := 0
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(opt.parallel)
	for i := range opt.runs {
		g.Go(func() error {
			var res *result
			var err error
			for try := range 3 {
				at := filepath.Join(dir, fmt.Sprintf("run-%d-%d", i, try))
				if res, err = opt.once(ctx, i, at); err == nil || ctx.Err() != nil {
					break
				}
				_, _ = fmt.Fprintf(progress, "run %d is repeated: %v\n", i+1, err) // for whoever watches
			}
			if err != nil {
				return fmt.Errorf("run %d: %w", i+1, err)
			}
			mu.Lock()
			defer mu.Unlock()
			done++
			rep.add(res)
			_, _ = fmt.Fprintf(progress, "%d of %d: %s\n", done, opt.runs, res.line()) // for whoever watches
			return nil
		})
	}
	err := g.Wait()
	if err == nil {
		rep.finish()
	}
	return rep, err
}

// once starts a world, breaks it and measures.
func (opt options) once(ctx context.Context, run int, dir string) (res *result, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(opt.seed, uint64(run)))
	w := &world{dir: dir, processes: map[string]*process{}, net: network{direct: opt.direct}}
	defer func() {
		w.close()
		if opt.logs != "" {
			err = errors.Join(err, w.keepLogs(filepath.Join(opt.logs, fmt.Sprintf("%s-%d", opt.kind, run))))
		}
	}()
	if err := w.start(ctx, opt.binary, uint64(run)); err != nil {
		return nil, err
	}
	return w.play(ctx, opt, run, rng)
}

// start starts the network and the nodes, and waits for their links.
func (w *world) start(ctx context.Context, binary string, seed uint64) error {
	authority, err := ca.NewAuthority("failure", time.Now())
	if err != nil {
		return err
	}
	if err := authority.Save(w.dir); err != nil {
		return err
	}
	ids := append([]string{originID}, edgeIDs...)
	for _, r := range relays {
		ids = append(ids, r.id)
	}
	ports, err := freePorts(3 * len(ids))
	if err != nil {
		return err
	}
	at := map[string]netip.AddrPort{}
	for i, id := range ids {
		w.processes[id] = &process{id: id, quic: ports[3*i], webrtc: ports[3*i+1], admin: ports[3*i+2]}
		at[id] = ports[3*i]
	}
	for _, r := range relays {
		for _, id := range append([]string{originID}, edgeIDs...) {
			if err := w.net.connect(id, r.id, at, r.delay, seed); err != nil {
				return err
			}
		}
	}
	w.net.start(ctx)
	for _, id := range ids {
		var peers []string
		for _, to := range ids {
			if addr, linked := w.net.addr(id, to); linked {
				peers = append(peers, fmt.Sprintf("    - {id: %[1]s, region: %[1]s, provider: loopback, addr: \"%[2]s\"}\n", to, addr))
			}
		}
		p := w.processes[id]
		if err := p.configure(w.dir, authority, peers); err != nil {
			return err
		}
		if err := p.start(ctx, binary, w.dir); err != nil {
			return err
		}
	}
	for _, r := range relays {
		if err := w.processes[r.id].await(ctx, "links with all", func(s node.Status) bool { return len(s.Links) == 1+len(edgeIDs) }); err != nil {
			return err
		}
	}
	return nil
}

// play publishes, watches, and lets the fault happen.
func (w *world) play(ctx context.Context, opt options, run int, rng *rand.Rand) (*result, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	playing, end := context.WithCancel(ctx)
	w.playing = end
	w.publisher = &publisher{sent: map[string][]time.Time{}}
	g.Go(func() error { return w.publisher.publish(playing, w.processes[originID].quic) })
	for _, edge := range edgeIDs {
		for range viewersPerEdge {
			v := &viewer{edge: edge, came: map[string][]arrival{}}
			w.viewers = append(w.viewers, v)
			g.Go(func() error { return v.watch(ctx, w.processes[edge].quic) })
		}
	}
	var res *result
	g.Go(func() (err error) {
		defer cancel()
		res, err = w.fault(ctx, opt, run, rng)
		return err
	})
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return res, nil
}

// fault waits until everything flows, breaks it, and waits until it flows again.
func (w *world) fault(ctx context.Context, opt options, run int, rng *rand.Rand) (*result, error) {
	for _, v := range w.viewers {
		for !v.arrived() {
			if err := wait(ctx, poll); err != nil {
				return nil, err
			}
		}
	}
	// Any moment of a group is as good as another.
	if err := wait(ctx, opt.settle+time.Duration(rng.Int64N(int64(time.Second)))); err != nil {
		return nil, err
	}
	edge := edgeIDs[0]
	before, err := w.processes[edge].status(ctx)
	if err != nil {
		return nil, err
	}
	victim := parentOf(before, streams[0].track)
	if victim == "" || victim == originID {
		return nil, fmt.Errorf("the parent of %s is %q", edge, victim)
	}
	res := &result{Run: run + 1, Victim: victim, Affected: edgeIDs}
	res.at = time.Now()
	switch opt.kind {
	case "kill":
		err = w.processes[victim].signal(syscall.SIGKILL)
	case "freeze":
		err = w.freeze(ctx, victim)
	case "blackhole":
		res.Affected = edgeIDs[:1]
		err = errors.Join(w.net.silence(victim, edge), w.net.silence(edge, victim))
	case "oneway":
		res.Affected = edgeIDs[:1]
		from, to := victim, edge
		if run%2 == 1 {
			from, to = to, from
		}
		res.Lost = from + " to " + to
		err = w.net.silence(from, to)
	}
	if err != nil {
		return nil, err
	}
	if err := wait(ctx, observed); err != nil {
		return nil, err
	}
	after, err := w.processes[edge].status(ctx)
	if err != nil {
		return nil, err
	}
	res.end = time.Now().Add(-lastOnes)
	w.playing()
	if err := wait(ctx, drained); err != nil {
		return nil, err
	}
	res.NewParent = parentOf(after, streams[0].track)
	if opt.kind == "freeze" {
		res.Linked = new(bool)
		for _, l := range after.Links {
			*res.Linked = *res.Linked || l.Peer == victim
		}
	}
	w.evaluate(res, edge)
	return res, nil
}

// freeze stops a node for a while.
func (w *world) freeze(ctx context.Context, id string) error {
	p := w.processes[id]
	if err := p.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	err := wait(ctx, frozenFor)
	return errors.Join(err, p.signal(syscall.SIGCONT))
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

func parentOf(s node.Status, track string) string {
	for _, b := range s.Broadcasts {
		for _, t := range b.Tracks {
			if b.Name == broadcastName && t.Name == track {
				return t.Parent
			}
		}
	}
	return ""
}

func (w *world) close() {
	if w.playing != nil {
		w.playing()
	}
	for _, p := range w.processes {
		p.stop()
	}
	w.net.close()
}

// keepLogs writes what the nodes said, without the addresses of this machine's
// temporary folders in the names.
func (w *world) keepLogs(prefix string) error {
	if err := os.MkdirAll(filepath.Dir(prefix), 0o755); err != nil {
		return err
	}
	for id, p := range w.processes {
		text := strings.ReplaceAll(p.log.String(), w.dir, "")
		if err := os.WriteFile(prefix+"-"+id+".log", []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}
