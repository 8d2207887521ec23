package discovery

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// StableConfig describes a Stable.
type StableConfig struct {
	// Source finds the nodes. Required.
	Source Source
	// Advice: what the source takes away is advice, as a registry gives that may
	// err. Otherwise it is obeyed to the letter, as an operator's own list is.
	Advice bool
	// Self is this node, and Cluster the one that it belongs to.
	Self, Cluster string
	// File keeps the list over restarts. Default: it is not kept. Only for advice.
	File string
	// Life says which peers show life. It may block until ctx ends. Default: none.
	Life func(ctx context.Context) map[string]Life
	// Log receives what happens. Default: nowhere.
	Log *slog.Logger
}

// Stable is a Source that outlives the failures of another: it keeps the last
// good list, in a file too, and believes that a peer is gone only when the
// backbone says so as well. See roll.settle for the rules.
type Stable struct {
	cfg StableConfig

	// Owned by Watch.
	roll   roll
	told   bool
	last   *Snapshot // the source's last answer
	saved  []Node    // what the file holds
	retry  time.Time // when to try again to write it
	loaded time.Time // when the list that we began with was saved; zero: none

	mu    sync.Mutex
	state State
}

// State is what a Stable has to say of itself.
type State struct {
	// Degraded: the source fails, or errs, or has not answered yet; what was known
	// stays in force. Reason and Detail say why, and Since when it began.
	Degraded bool
	Reason   Reason
	Detail   string
	Since    time.Time
	// Known: there is, or was, a list.
	Known bool
	// LastSuccess is when the source was reached last; zero: never.
	LastSuccess time.Time
	// Nodes are in force. Unlisted ones are no longer listed by the source and
	// stay, Held ones are linked and listed otherwise.
	Nodes          int
	Unlisted, Held []string
	// Refused counts answers that were not followed, by reason.
	Refused map[Reason]uint64
	// SaveError is why the list could not be saved, empty if it was.
	SaveError string
}

const (
	// settleEvery is how often peers are looked at that the source does not list.
	settleEvery = time.Second
	// saveRetry is how long a file that could not be written is left alone.
	saveRetry = 30 * time.Second
	// saidAfter is how long a source must have failed or recovered before the log
	// says so: one that flaps would fill it.
	saidAfter = 3 * time.Second
)

// NewStable returns a Stable around a source.
func NewStable(cfg StableConfig) (*Stable, error) {
	switch {
	case cfg.Source == nil:
		return nil, errors.New("discovery.StableConfig.Source is nil")
	case cfg.File != "" && !cfg.Advice:
		return nil, errors.New("discovery.StableConfig.File is given, but the source is obeyed to the letter")
	}
	if cfg.Life == nil {
		cfg.Life = func(context.Context) map[string]Life { return nil }
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Stable{cfg: cfg, roll: roll{self: cfg.Self}}
	s.state.Refused = map[Reason]uint64{ReasonEmpty: 0, ReasonPanic: 0}
	return s, nil
}

// State returns what is the case now.
func (s *Stable) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := s.state
	state.Unlisted, state.Held = slices.Clone(state.Unlisted), slices.Clone(state.Held)
	state.Refused = maps.Clone(s.state.Refused)
	if r, ok := s.cfg.Source.(Reporter); ok {
		state.LastSuccess = r.Report().LastSuccess
	}
	return state
}

// Watch implements Source.
func (s *Stable) Watch(ctx context.Context, seen func(Snapshot)) error {
	g, ctx := errgroup.WithContext(ctx)
	answers := make(chan Snapshot)
	g.Go(func() error {
		return s.cfg.Source.Watch(ctx, func(a Snapshot) {
			select {
			case answers <- a:
			case <-ctx.Done():
			}
		})
	})
	g.Go(func() error { return s.follow(ctx, answers, seen) })
	return g.Wait()
}

func (s *Stable) follow(ctx context.Context, answers <-chan Snapshot, seen func(Snapshot)) error {
	s.load(seen)
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	var said teller
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case a := <-answers:
			s.last = &a
			s.consider(ctx, true, seen)
		case <-tick.C:
			if s.cfg.Advice {
				s.consider(ctx, false, seen)
			}
		}
		said.tell(s.cfg.Log, s.State(), time.Now())
	}
}

// load begins with the saved list.
func (s *Stable) load(seen func(Snapshot)) {
	if s.cfg.File == "" {
		return
	}
	list, at, err := LoadSaved(s.cfg.File, s.cfg.Cluster)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.cfg.Log.Info("no saved list of peers yet", slog.String("file", s.cfg.File))
		return
	case err != nil:
		s.cfg.Log.Warn("saved list of peers not used", slog.Any("err", err))
		return
	}
	s.cfg.Log.Info("begun with the saved list of peers", slog.Int("peers", len(list.Nodes)), slog.Time("saved", at))
	s.roll.nodes, s.saved, s.loaded = list.Nodes, list.Nodes, at
	s.tell(seen)
}

// consider holds the last answer against the list in force. fresh: it has just
// come.
func (s *Stable) consider(ctx context.Context, fresh bool, seen func(Snapshot)) {
	now := time.Now()
	problem := ""
	if r, ok := s.cfg.Source.(Reporter); ok {
		problem = r.Report().Problem
	}
	before := s.roll.nodes
	var out outcome
	switch {
	case s.last == nil:
	case s.cfg.Advice:
		answer := *s.last
		// What it last said is old by now: nobody is taken away for that.
		answer.Partial = answer.Partial || problem != ""
		var life map[string]Life
		if !slices.Equal(answer.Nodes, s.roll.nodes) { // otherwise there is nothing to doubt
			life = s.cfg.Life(ctx)
		}
		out = s.roll.settle(answer, life, now)
	default:
		s.roll.nodes = s.last.Nodes
	}
	if s.last != nil && (!s.told || !slices.Equal(before, s.roll.nodes)) {
		s.tell(seen)
	}
	s.save(now)
	s.note(out, problem, fresh, now)
}

func (s *Stable) tell(seen func(Snapshot)) {
	s.told = true
	seen(Snapshot{Nodes: slices.Clone(s.roll.nodes)})
}

// save keeps the list in force in the file. What cannot be written is tried again.
func (s *Stable) save(now time.Time) {
	if s.cfg.File == "" || s.last == nil || s.saved != nil && slices.Equal(s.saved, s.roll.nodes) || now.Before(s.retry) {
		return
	}
	err := Save(s.cfg.File, s.cfg.Cluster, s.roll.nodes, now)
	if err == nil {
		s.saved = slices.Clone(s.roll.nodes)
	} else {
		s.retry = now.Add(saveRetry)
		s.cfg.Log.Warn("list of peers not saved", slog.Any("err", err))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.SaveError = ""
	if err != nil {
		s.state.SaveError = err.Error()
	}
}

// note sets the state.
func (s *Stable) note(out outcome, problem string, fresh bool, now time.Time) {
	reason, detail := ReasonNone, ""
	switch {
	case !s.told && s.cfg.Advice:
		reason, detail = ReasonNever, problem
	case s.last == nil && !s.loaded.IsZero():
		reason, detail = ReasonSaved, fmt.Sprintf("saved %s; %s", s.loaded.Format(time.RFC3339), problem)
	case out.refused == ReasonEmpty:
		reason, detail = out.refused, fmt.Sprintf("an answer without any node; %d stay", len(s.roll.nodes))
	case out.refused == ReasonPanic:
		reason, detail = out.refused, fmt.Sprintf("an answer without %d of %d nodes, some of which live; all stay", len(out.unlisted), len(s.roll.nodes))
	case problem != "":
		reason, detail = ReasonUnreachable, problem
	case s.last != nil && s.last.Partial && s.cfg.Advice:
		reason, detail = ReasonUnreachable, "not all of the cluster has answered yet"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st := &s.state
	turned := st.Reason != reason
	if turned {
		st.Since = now
	}
	// An old answer may be refused only now, when one of those that it takes away
	// shows life.
	if n, counted := st.Refused[reason]; counted && (fresh || turned) {
		st.Refused[reason] = n + 1
	}
	st.Degraded, st.Reason, st.Detail = reason != ReasonNone, reason, detail
	st.Known, st.Nodes, st.Unlisted, st.Held = s.told, len(s.roll.nodes), out.unlisted, out.held
}

// teller logs how a source is, when that has lasted.
type teller struct {
	said Reason
	now  Reason
	when time.Time
}

func (t *teller) tell(log *slog.Logger, s State, now time.Time) {
	if s.Reason != t.now {
		t.now, t.when = s.Reason, now
	}
	alarm := s.Reason == ReasonPanic || s.Reason == ReasonEmpty
	if s.Reason == t.said || now.Sub(t.when) < saidAfter && !alarm {
		return
	}
	t.said = s.Reason
	switch {
	case alarm:
		log.Error("discovery: answer not followed, the known peers stay", slog.String("reason", string(s.Reason)), slog.String("detail", s.Detail))
	case s.Degraded:
		log.Warn("discovery degraded, the known peers stay", slog.String("reason", string(s.Reason)), slog.String("detail", s.Detail), slog.Int("peers", s.Nodes))
	default:
		log.Info("discovery in order", slog.Int("peers", s.Nodes))
	}
}
