package routing

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// stepsPerMs turns a budget of time into steps, the planner's own clock: arcs
// looked at. It is what one core of a small virtual machine does in a
// millisecond. Counting steps and not time is what makes the same scenario and
// seed give the same plan on any machine, however busy.
const stepsPerMs = 80_000

// exactBranches ends the proof of a small problem that resists: a few seconds.
const exactBranches = 4_000_000

// manyTracks is the number of tracks from which speed counts more than the last
// per cent of any one of them.
const manyTracks = 50

// Config says how to plan. The zero value is the plain objective.
type Config struct {
	// Seed of all randomness.
	Seed uint64
	// MaxShare limits how much of a track's viewers may depend on one node other
	// than the source, as a share above 0 and below 1. 0 is no limit.
	MaxShare float64
	// Quick ends proofs, and the improving of first plans, after about a millisecond a
	// track: for whoever plans while media runs.
	Quick bool
}

// Planner makes and improves the plan of one demand. Make it with [New], call
// [Planner.Plan], then [Planner.Improve] as often as there is time.
type Planner struct {
	d   *Demand
	cfg Config
	rng *rand.Rand

	solvers []*solver
	loads   *loads

	surcharge []float64 // see multi.go
}

// New validates the demand. An error wraps [ErrDemand] or [ErrImpossible].
func New(d *Demand, cfg Config) (*Planner, error) {
	if err := d.Validate(); err != nil {
		return nil, err
	}
	if cfg.MaxShare < 0 || cfg.MaxShare >= 1 {
		return nil, fmt.Errorf("%w: a share of %g is not between 0 and 1", ErrDemand, cfg.MaxShare)
	}
	l, err := newLoads(d)
	if err != nil {
		return nil, err
	}
	p := &Planner{
		d: d, cfg: cfg, loads: l,
		rng:     rand.New(rand.NewPCG(cfg.Seed, 0x7472656c6c6973)),
		solvers: make([]*solver, len(d.Tracks)),
	}
	for i := range d.Tracks {
		k := &d.Tracks[i]
		s := &solver{g: d.Graph, k: k, l: l, rng: p.rng, few: len(d.Tracks) > manyTracks, quick: cfg.Quick}
		if cfg.MaxShare > 0 {
			total := int64(0)
			for _, t := range k.Terminals {
				total += t.Viewers
			}
			s.weightLimit = max(1, int64(cfg.MaxShare*float64(total)))
		}
		p.solvers[i] = s
	}
	return p, nil
}

// Plan makes the first full plan; small single tracks are solved to proven
// optimality. With a warm plan the search also starts there.
func (p *Planner) Plan(warm *Plan) {
	if len(p.solvers) == 1 {
		s := p.solvers[0]
		var w *Tree
		if warm != nil {
			w = &warm.Tracks[0].Tree
		}
		s.first(w)
		if p.d.Graph.Len() <= promisedExact {
			s.prove(s.branches())
		}
		return
	}
	p.planTracks(warm)
}

// Improve spends about the given time, counted in steps, on a better plan.
func (p *Planner) Improve(budget time.Duration) {
	steps := int64(budget.Seconds() * 1000 * stepsPerMs)
	if len(p.solvers) == 1 {
		p.solvers[0].improve(steps)
		return
	}
	p.improveTracks(steps)
}

// Result returns the best plan so far.
func (p *Planner) Result() *Plan {
	out := &Plan{Tracks: make([]TrackPlan, len(p.solvers))}
	for i, s := range p.solvers {
		out.Tracks[i] = TrackPlan{ID: s.k.ID, Tree: s.tree()}
	}
	return out
}

// Proven reports whether the plan is known to be optimal in every term.
func (p *Planner) Proven() bool {
	for _, s := range p.solvers {
		if !s.proven {
			return false
		}
	}
	return len(p.solvers) <= 1
}
