package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"trellis/edge/rtc"
)

// DrainState says whether a node takes work.
type DrainState string

// The states of a node: serving, then draining until its clients and children
// have left or its time is over, then drained. From there it exits, or stays and
// may serve again.
const (
	Serving  DrainState = "serving"
	Draining DrainState = "draining"
	Drained  DrainState = "drained"
)

// DrainStatus is what GET /v1/drain shows.
type DrainStatus struct {
	State DrainState `json:"state"`
	// Cause says who wanted it: command or shutdown.
	Cause string `json:"cause,omitempty"`
	// Since is when draining began, nil while serving.
	Since *time.Time `json:"since"`
	// DeadlineS is how long it may take, LeftS how long it still may.
	DeadlineS float64 `json:"deadline_s"`
	LeftS     float64 `json:"left_s"`
	// TookS is how long it took, once it is drained.
	TookS float64 `json:"took_s"`
	// Remaining is who is still there.
	Remaining Remaining `json:"remaining"`
	// Ended counts those that were there at the deadline.
	Ended Remaining `json:"ended"`
}

// Remaining counts who hangs on a node.
type Remaining struct {
	Children   int `json:"children"` // subscriptions of other nodes
	Viewers    int `json:"viewers"`
	Publishers int `json:"publishers"`
}

// Causes of a drain.
const (
	causeCommand  = "command"
	causeShutdown = "shutdown"
)

const (
	// drainPoll is how often a draining node looks whether all have left.
	drainPoll = 50 * time.Millisecond
	// drainReport is how often it says in the log who has not.
	drainReport = 5 * time.Second
	// drainGrace is how long the end of what is left may take beyond the deadline.
	drainGrace = time.Second
	// farewell is how long before its end a process ends the clients that are left,
	// so that they can still ask where to go. It is at most a quarter of the time
	// that there is.
	farewell = time.Second
	// maxDrain bounds the deadline of a command.
	maxDrain = time.Hour
)

// drainer owns the state of draining. Its loop is run; everybody else calls.
type drainer struct {
	n     *Node
	log   *slog.Logger
	calls chan func(context.Context)
	over  chan struct{} // closed when run has ended

	drainState
}

// drainState is owned by drainer.run.
type drainState struct {
	state     DrainState
	cause     string
	since, by time.Time
	took      time.Duration
	remaining Remaining
	ended     Remaining
	ending    bool // ended those that were left
	reported  time.Time
	done      chan struct{} // closed when drained; nil while serving
	ticker    *time.Ticker
}

func newDrainer(n *Node) *drainer {
	d := &drainer{n: n, log: n.log, calls: make(chan func(context.Context)), over: make(chan struct{})}
	d.state = Serving
	return d
}

var errNotRunning = errors.New("the node is stopping")

func (d *drainer) run(ctx context.Context) error {
	defer close(d.over)
	d.ticker = time.NewTicker(drainPoll)
	defer d.ticker.Stop()
	d.ticker.Stop() // until there is something to look at
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case f := <-d.calls:
			f(ctx)
		case <-d.ticker.C:
			d.step(ctx, time.Now())
		}
	}
}

// call runs f on the loop and waits for it.
func (d *drainer) call(ctx context.Context, f func(context.Context)) error {
	ran := make(chan struct{})
	select {
	case d.calls <- func(ctx context.Context) { f(ctx); close(ran) }:
		<-ran
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-d.over:
		return errNotRunning
	}
}

// begin sends everybody away. While draining, a command sets a new deadline, and
// a shutdown only an earlier one.
func (d *drainer) begin(ctx context.Context, deadline time.Duration, cause string) {
	now := time.Now()
	by := now.Add(deadline)
	switch {
	case d.state == Drained, d.cause == causeShutdown: // whoever stops does not come back
		return
	case d.state == Draining && cause == causeShutdown && d.by.Before(by):
		d.cause = cause
		return
	case d.state == Serving:
		d.since, d.done = now, make(chan struct{})
		d.took, d.ended = 0, Remaining{}
	}
	first := d.state == Serving
	d.state, d.cause, d.by, d.reported = Draining, cause, by, now
	d.n.health.draining.Store(true)
	d.tell(ctx, func(ctx context.Context) error { return d.n.port.mesh.Drain(ctx, deadline, cause) })
	if first {
		d.n.moq.Drain()
	}
	d.count(ctx)
	d.log.Info("draining", slog.String("cause", cause), slog.Duration("deadline", deadline), d.remaining.attr())
	d.ticker.Reset(drainPoll)
	d.step(ctx, now)
}

// undo serves again.
func (d *drainer) undo(ctx context.Context) {
	if d.state == Serving || d.cause == causeShutdown {
		return
	}
	d.log.Info("serving again", slog.String("was", string(d.state)), slog.Duration("after", time.Since(d.since)))
	d.ticker.Stop()
	d.drainState = drainState{state: Serving, ticker: d.ticker}
	d.n.health.draining.Store(false)
	d.n.moq.Undrain()
	d.tell(ctx, func(ctx context.Context) error { return d.n.port.mesh.Undrain(ctx, causeCommand) })
}

// step looks whether it is over.
func (d *drainer) step(ctx context.Context, now time.Time) {
	if d.state != Draining {
		return
	}
	d.count(ctx)
	if !d.ending && !now.Before(d.endAt()) {
		d.ending, d.ended = true, d.remaining
		d.n.moq.EndAll()
		d.n.rtc.EndAll(rtc.ErrDrained)
		d.tell(ctx, func(ctx context.Context) error {
			_, err := d.n.port.mesh.Evict(ctx)
			return err
		})
	}
	if !now.Before(d.by) || !d.ending && d.remaining == (Remaining{}) {
		d.state, d.took = Drained, now.Sub(d.since)
		d.ticker.Stop()
		d.log.Info("drained", slog.Duration("after", d.took), slog.Any("ended", d.ended))
		close(d.done)
		return
	}
	if now.Sub(d.reported) >= drainReport {
		d.reported = now
		d.log.Info("still draining", slog.Duration("left", d.by.Sub(now)), d.remaining.attr())
	}
}

// endAt is when what is left is ended.
func (d *drainer) endAt() time.Time {
	if d.cause != causeShutdown {
		return d.by
	}
	return d.by.Add(-min(farewell, d.by.Sub(d.since)/4))
}

// tell speaks to the mesh, if there is one. A mesh that does not listen must not
// cost us the deadline.
func (d *drainer) tell(ctx context.Context, f func(context.Context) error) {
	if d.n.port.mesh == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, drainGrace)
	defer cancel()
	if err := f(ctx); err != nil {
		d.log.Warn("the backbone does not listen", slog.Any("err", err))
	}
}

func (d *drainer) count(ctx context.Context) {
	var r Remaining
	r.Publishers, r.Viewers = d.n.moq.Clients()
	publishers, viewers := d.n.rtc.Sessions()
	r.Publishers += publishers
	r.Viewers += viewers
	d.tell(ctx, func(ctx context.Context) error {
		var err error
		r.Children, err = d.n.port.mesh.Children(ctx)
		return err
	})
	d.remaining = r
}

func (r Remaining) attr() slog.Attr { return slog.Any("remaining", r) }

// LogValue implements slog.LogValuer.
func (r Remaining) LogValue() slog.Value {
	return slog.GroupValue(slog.Int("children", r.Children), slog.Int("viewers", r.Viewers), slog.Int("publishers", r.Publishers))
}

func (d *drainer) status(ctx context.Context, now time.Time) DrainStatus {
	d.count(ctx)
	s := DrainStatus{State: d.state, Cause: d.cause, Remaining: d.remaining, Ended: d.ended, TookS: d.took.Seconds()}
	if d.state != Serving {
		since := d.since.UTC().Round(0)
		s.Since, s.DeadlineS = &since, d.by.Sub(d.since).Seconds()
	}
	if d.state == Draining {
		s.LeftS = max(d.by.Sub(now), 0).Seconds()
	}
	return s
}

// Drain sends clients and children away within deadline; the node stays. While it
// drains already, the deadline is set anew. It does not wait.
func (n *Node) Drain(ctx context.Context, deadline time.Duration) (DrainStatus, error) {
	if deadline < 0 || deadline > maxDrain {
		return DrainStatus{}, fmt.Errorf("deadline %v: want 0 to %v", deadline, maxDrain)
	}
	var s DrainStatus
	err := n.drainer.call(ctx, func(ctx context.Context) {
		n.drainer.begin(ctx, deadline, causeCommand)
		s = n.drainer.status(ctx, time.Now())
	})
	return s, err
}

// Undrain lets the node serve again.
func (n *Node) Undrain(ctx context.Context) (DrainStatus, error) {
	var s DrainStatus
	err := n.drainer.call(ctx, func(ctx context.Context) {
		n.drainer.undo(ctx)
		s = n.drainer.status(ctx, time.Now())
	})
	return s, err
}

// DrainStatus says how far draining is.
func (n *Node) DrainStatus(ctx context.Context) (DrainStatus, error) {
	var s DrainStatus
	err := n.drainer.call(ctx, func(ctx context.Context) { s = n.drainer.status(ctx, time.Now()) })
	return s, err
}

// leave drains for good, within the configured time.
func (n *Node) leave(ctx context.Context) {
	if n.cfg.Shutdown < 0 {
		n.health.draining.Store(true)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, n.cfg.Shutdown+drainGrace)
	defer cancel()
	var done <-chan struct{}
	if n.drainer.call(ctx, func(ctx context.Context) {
		n.drainer.begin(ctx, n.cfg.Shutdown, causeShutdown)
		done = n.drainer.done
	}) != nil {
		return
	}
	select {
	case <-done:
	case <-ctx.Done():
	}
}
