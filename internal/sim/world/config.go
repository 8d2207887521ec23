package world

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"trellis/backbone"
	"trellis/internal/sim"
)

// Config describes a world and its session. A zero field means its default.
type Config struct {
	// Regions names the matrix: azure or aws. Default azure.
	Regions string `json:"regions"`
	// Nodes is how many nodes there are. Default 20.
	Nodes int `json:"nodes"`
	// Viewers is how many counted viewers watch. Default 1,000.
	Viewers int `json:"viewers"`
	// Clients is how many real clients watch beside them, over MoQ and WebRTC in
	// turn. Default 8, negative: none.
	Clients int `json:"clients"`
	// Neighbours is to how many other regions, and how many nodes far away, a node
	// keeps links. Default: nodes know all others and choose themselves.
	Neighbours int `json:"neighbours"`
	// Unplanned lets every node follow the cheapest path, without plans.
	Unplanned bool `json:"unplanned,omitempty"`
	// Origin is the region where the broadcast enters. Default uksouth, eu-west-2.
	Origin string `json:"origin"`
	// Duration is how long is measured. Default 60 s.
	Duration time.Duration `json:"duration_ns"`
	// Warm is how long nodes measure their links before anybody comes. Default 8 s.
	Warm time.Duration `json:"warm_ns"`
	// JoinOver is the time over which viewers come. Default 10 s.
	JoinOver time.Duration `json:"join_over_ns"`
	// Faults happen at their times after the measurement began.
	Faults []Fault `json:"faults"`
	// Clip is what is published: see sim.Clip. Default: 30 pictures of 1,100 bytes a
	// second, and sound in groups of 5.
	Clip sim.Clip `json:"-"`
	// Seed repeats the placement, the loss and the jitter.
	Seed uint64 `json:"seed"`
	// Budget is the delay that a viewer may have on the backbone. Default 80 ms.
	Budget time.Duration `json:"budget_ns"`
	// Grain is sim.NetworkConfig's. Default 100 µs, negative: exact.
	Grain time.Duration `json:"grain_ns"`
	// Mesh, if set, changes the backbone of every node.
	Mesh func(*backbone.Config) `json:"-"`
	// Log receives what the nodes have to say. Default: nobody.
	Log *slog.Logger `json:"-"`
	// Progress is told what is going on, in virtual time. It must not block.
	Progress func(Progress) `json:"-"`
}

// Progress is how far a run is.
type Progress struct {
	Phase   string
	Virtual time.Duration // since the beginning
	Of      time.Duration
	Viewers int
}

func (c Config) withDefaults() (Config, error) {
	c.Regions = cmp.Or(c.Regions, "azure")
	c.Nodes = cmp.Or(c.Nodes, 20)
	c.Viewers = cmp.Or(c.Viewers, 1000)
	c.Clients = max(cmp.Or(c.Clients, 8), 0)
	c.Origin = cmp.Or(c.Origin, map[string]string{"azure": "uksouth", "aws": "eu-west-2"}[c.Regions])
	c.Duration = cmp.Or(c.Duration, time.Minute)
	c.Warm = cmp.Or(c.Warm, 8*time.Second)
	c.JoinOver = cmp.Or(c.JoinOver, 10*time.Second)
	c.Budget = cmp.Or(c.Budget, 80*time.Millisecond)
	c.Grain = max(cmp.Or(c.Grain, 100*time.Microsecond), 0)
	c.Clip.KeyBytes = cmp.Or(c.Clip.KeyBytes, 4_000)
	c.Clip.DeltaBytes = cmp.Or(c.Clip.DeltaBytes, 1_100)
	c.Clip.AudioGroup = cmp.Or(c.Clip.AudioGroup, 5)
	c.Clip = c.Clip.WithDefaults()
	switch {
	case c.Nodes < 2 || c.Nodes > maxNodes:
		return c, fmt.Errorf("world: %d nodes: from 2 to %d", c.Nodes, maxNodes)
	case c.Viewers < 0 || c.Viewers > maxViewers:
		return c, fmt.Errorf("world: %d viewers: from 0 to %d", c.Viewers, maxViewers)
	case c.Duration < time.Second:
		return c, errors.New("world: the duration is less than a second")
	}
	return c, nil
}

// Limits of a world: what fits into the memory of one machine.
const (
	maxNodes   = 2_000
	maxViewers = 1_000_000
)

// FaultKind is what happens.
type FaultKind string

// The faults. Targets name a node, a region, a provider or, empty, what the kind
// says.
const (
	KillRelay    FaultKind = "kill_relay" // the relay below which most viewers are, or the node named
	KillRegion   FaultKind = "kill_region"
	KillProvider FaultKind = "kill_provider"
	Blackhole    FaultKind = "blackhole"   // the busiest link, both ways
	OneWay       FaultKind = "oneway"      // the busiest link, downwards only
	Partition    FaultKind = "partition"   // a region from all others
	Lossy        FaultKind = "loss"        // Amount of all datagrams on the busiest link
	Jittery      FaultKind = "jitter"      // up to Delay more on the busiest link
	Freeze       FaultKind = "freeze"      // the busiest relay's network stands still
	ClockStep    FaultKind = "clock_step"  // the busiest relay's clock jumps by Delay
	Crowd        FaultKind = "flash_crowd" // Count viewers come within For
	DelayChange  FaultKind = "delay"       // the busiest link becomes longer by Delay
	Flap         FaultKind = "flap"        // the busiest link's delay goes up and down by Amount every 2 s
	Drain        FaultKind = "drain"       // the busiest relay is asked to leave, with For as the deadline
	Registry     FaultKind = "discovery"   // discovery answers wrongly: empty (default), half or flapping
	Price        FaultKind = "price"       // what the busiest relay sends costs Amount USD for a GB, for good
)

// FaultKinds lists the kinds.
func FaultKinds() []FaultKind {
	return []FaultKind{
		KillRelay, KillRegion, KillProvider, Blackhole, OneWay, Partition, Lossy, Jittery, Freeze, ClockStep, Crowd,
		DelayChange, Flap, Drain, Registry, Price,
	}
}

// Fault is one thing that goes wrong.
type Fault struct {
	Kind   FaultKind     `json:"kind"`
	Target string        `json:"target,omitempty"`
	At     time.Duration `json:"at_ns"`
	For    time.Duration `json:"for_ns,omitempty"` // zero: for good
	Amount float64       `json:"amount,omitempty"`
	Delay  time.Duration `json:"delay_ns,omitempty"`
	Count  int           `json:"count,omitempty"`
}

// ParseKill reads what --kill says: relay, region:NAME or provider:NAME.
func ParseKill(s string) (Fault, error) {
	kind, target, _ := strings.Cut(s, ":")
	switch {
	case kind == "relay":
		return Fault{Kind: KillRelay, Target: target}, nil
	case kind == "region" && target != "":
		return Fault{Kind: KillRegion, Target: target}, nil
	case kind == "provider" && target != "":
		return Fault{Kind: KillProvider, Target: target}, nil
	}
	return Fault{}, fmt.Errorf("world: kill %q: want relay, region:NAME or provider:NAME", s)
}

// ParseFault reads a fault as the command line has it: KIND[:TARGET][@SECONDS].
func ParseFault(s string) (Fault, error) {
	spec, at, timed := strings.Cut(s, "@")
	kind, target, _ := strings.Cut(spec, ":")
	f := Fault{Kind: FaultKind(kind), Target: target}
	if !slices.Contains(FaultKinds(), f.Kind) {
		return f, fmt.Errorf("world: no fault %q: there are %v", kind, FaultKinds())
	}
	if timed {
		d, err := time.ParseDuration(at)
		if err != nil {
			return f, fmt.Errorf("world: fault %q: %w", s, err)
		}
		f.At = d
	}
	switch f.Kind {
	case Blackhole, OneWay, Partition:
		f.For = 20 * time.Second
	case Freeze:
		f.For = 5 * time.Second
	case Lossy:
		f.Amount, f.For = 0.02, 20*time.Second
	case Jittery:
		f.Delay, f.For = 20*time.Millisecond, 20*time.Second
	case ClockStep:
		f.Delay = 10 * time.Minute
	case Crowd:
		f.Count, f.For = 2000, 10*time.Second
	case DelayChange:
		f.Delay = 40 * time.Millisecond
	case Flap:
		f.Amount, f.For = 0.3, 60*time.Second
	case Drain:
		f.For = 10 * time.Second
	case Registry:
		f.For = 30 * time.Second
	case Price:
		f.Amount = 0.5
	case KillRelay, KillRegion, KillProvider:
	}
	return f, nil
}
