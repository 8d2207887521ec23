package consul

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/hashicorp/consul/api"
	"golang.org/x/sync/errgroup"

	"trellis/routing/discovery"
)

const (
	// whatDatacenters names the list of datacenters in reports.
	whatDatacenters = "datacenters"
	// listEvery is how often the datacenters are listed. They change by the month.
	listEvery = 30 * time.Second
	// goneAfter is how many lists in a row must lack a datacenter before its nodes
	// are no longer told.
	goneAfter = 3
)

// answer is what a datacenter answered.
type answer struct {
	datacenter string
	nodes      []found // not nil
	bad        int     // entries that are no nodes
	why        error   // the first of them
}

// follower owns what was found, and the watches.
type follower struct {
	*Source

	seen    func(discovery.Snapshot)
	told    discovery.Snapshot
	answers chan answer
	catalog catalog
	watches map[string]context.CancelFunc
	missed  map[string]int // lists in a row that lack a datacenter
	badSaid map[string]bool
	twice   []string
}

// follow tells what all datacenters have, until ctx ends.
func (s *Source) follow(ctx context.Context, seen func(discovery.Snapshot)) error {
	f := &follower{
		Source: s, seen: seen, answers: make(chan answer), catalog: catalog{},
		watches: map[string]context.CancelFunc{}, missed: map[string]int{}, badSaid: map[string]bool{},
		told: discovery.Snapshot{Partial: true},
	}
	g, ctx := errgroup.WithContext(ctx)
	lists := make(chan []string)
	if len(s.cfg.Datacenters) == 0 {
		g.Go(func() error { return s.listDatacenters(ctx, lists) })
	} else {
		f.watch(ctx, g, s.cfg.Datacenters)
	}
	g.Go(func() error {
		for {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case dcs := <-lists:
				f.watch(ctx, g, dcs)
			case a := <-f.answers:
				f.take(a)
			}
		}
	})
	return g.Wait()
}

// watch starts watches of new datacenters, and ends those of vanished ones.
func (f *follower) watch(ctx context.Context, g *errgroup.Group, dcs []string) {
	for _, dc := range dcs {
		f.missed[dc] = 0
		if f.watches[dc] != nil {
			continue
		}
		watchCtx, cancel := context.WithCancel(ctx)
		f.watches[dc] = cancel
		f.catalog[dc] = nil
		f.cfg.Log.Info("watching a consul datacenter", slog.String("datacenter", dc))
		g.Go(func() error {
			defer cancel()
			f.watchDatacenter(watchCtx, dc, f.answers)
			return nil
		})
	}
	for dc, cancel := range f.watches {
		if slices.Contains(dcs, dc) {
			continue
		}
		if f.missed[dc]++; f.missed[dc] < goneAfter {
			continue
		}
		f.cfg.Log.Warn("consul datacenter is gone", slog.String("datacenter", dc), slog.Int("nodes", len(f.catalog[dc])))
		cancel()
		delete(f.watches, dc)
		delete(f.catalog, dc)
		delete(f.missed, dc)
		f.report.forget(whatWatch(dc))
		f.tell()
	}
}

// take keeps an answer and tells the sum if it has changed.
func (f *follower) take(a answer) {
	if f.watches[a.datacenter] == nil {
		return // just ended
	}
	if said := f.badSaid[a.datacenter]; said != (a.bad > 0) {
		f.badSaid[a.datacenter] = !said
		if !said {
			f.cfg.Log.Warn("consul lists services that are no nodes", slog.String("datacenter", a.datacenter), slog.Int("count", a.bad), slog.Any("err", a.why))
		}
	}
	f.catalog[a.datacenter] = a.nodes
	f.tell()
}

func (f *follower) tell() {
	s, twice := f.catalog.snapshot()
	if !slices.Equal(twice, f.twice) && len(twice) > 0 {
		f.cfg.Log.Warn("consul lists nodes twice", slog.Any("peers", twice))
	}
	f.twice = twice
	if s.Partial == f.told.Partial && slices.Equal(s.Nodes, f.told.Nodes) {
		return
	}
	f.told = s
	f.seen(s)
}

// listDatacenters sends the list of datacenters again and again until ctx ends.
func (s *Source) listDatacenters(ctx context.Context, out chan<- []string) error {
	failures := 0
	for {
		dcs, err := s.datacenters(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		s.report.note(whatDatacenters, err, time.Now())
		wait := s.pace.spread(listEvery)
		if err != nil {
			failures++
			wait = s.pace.spread(backoff(failures))
			s.cfg.Log.Debug("consul datacenters", slog.Any("err", err))
		} else {
			failures = 0
			select {
			case out <- dcs:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		if err := pause(ctx, wait); err != nil {
			return err
		}
	}
}

func (s *Source) datacenters(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	// Catalog().Datacenters takes no context.
	var dcs []string
	if _, err := s.api.Raw().Query("/v1/catalog/datacenters", &dcs, (&api.QueryOptions{}).WithContext(ctx)); err != nil {
		return nil, err
	}
	dcs = slices.DeleteFunc(dcs, func(dc string) bool { return dc == "" || len(dc) > maxProblemBytes })
	switch {
	case len(dcs) == 0:
		return nil, errors.New("a list without any datacenter")
	case len(dcs) > maxDatacenters:
		return nil, fmt.Errorf("%d datacenters, at most %d", len(dcs), maxDatacenters)
	}
	return dcs, nil
}

func whatWatch(dc string) string { return "datacenter " + dc }

// watchDatacenter sends what a datacenter has, after each change, until ctx ends.
func (s *Source) watchDatacenter(ctx context.Context, dc string, out chan<- answer) {
	index, failures := uint64(0), 0
	for {
		began := time.Now()
		a, got, err := s.ask(ctx, dc, index)
		if ctx.Err() != nil {
			return
		}
		s.report.note(whatWatch(dc), err, time.Now())
		wait := gap(time.Since(began))
		if err != nil {
			failures++
			wait = s.pace.spread(backoff(failures))
			index = 0 // whoever answers next may know another index
			s.cfg.Log.Debug("consul query", slog.String("datacenter", dc), slog.Any("err", err))
		} else {
			failures, index = 0, nextIndex(index, got)
			select {
			case out <- a:
			case <-ctx.Done():
				return
			}
		}
		if pause(ctx, wait) != nil {
			return
		}
	}
}

// ask returns the nodes of a datacenter once its index has passed the given one,
// or after waitTime, with the index.
func (s *Source) ask(ctx context.Context, dc string, index uint64) (answer, uint64, error) {
	timeout := callTimeout
	if index > 0 {
		// The server adds up to a sixteenth by itself.
		timeout += waitTime + waitTime/16
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	// Not only those that pass: Consul's opinion of their health is advice.
	entries, meta, err := s.api.Health().Service(s.cfg.Service, "", false, (&api.QueryOptions{
		Datacenter: dc, AllowStale: true, WaitIndex: index, WaitTime: waitTime,
	}).WithContext(ctx))
	if err != nil {
		return answer{}, 0, err
	}
	if len(entries) > maxNodes {
		return answer{}, 0, fmt.Errorf("%d services, at most %d", len(entries), maxNodes)
	}
	nodes, bad, why := parseAll(entries, s.cfg.Cluster)
	if nodes == nil {
		nodes = []found{}
	}
	return answer{dc, nodes, bad, why}, meta.LastIndex, nil
}
