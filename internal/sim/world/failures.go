package world

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"trellis/internal/sim"
)

// FailureKinds are the failures that are measured by the thousand.
func FailureKinds() []FaultKind { return []FaultKind{KillRelay, Blackhole, OneWay} }

// Failure is what one failure did to the viewers behind it.
type Failure struct {
	Seed uint64 `json:"seed"`
	Hit  string `json:"hit"`
	// Video and Audio are the longest time without a frame at each node behind what
	// failed, less the time between two frames.
	Video []float64 `json:"video_gap_ms"`
	Audio []float64 `json:"audio_gap_ms"`
	// Spread is how much longer the longest path of the topology is than the
	// shortest, which a hot track's gap may be.
	SpreadMs float64  `json:"spread_ms"`
	Lost     uint64   `json:"objects_lost"`
	Broken   []string `json:"violations"`
}

// FailOnce runs one small mesh (an origin, two relays, two edges, and delays drawn
// from the seed) into one failure, in a synctest bubble.
func FailOnce(ctx context.Context, kind FaultKind, seed uint64) (*Failure, error) {
	w := smallWorld(kind, seed)
	r, err := w.runAll(ctx)
	if err != nil {
		return nil, fmt.Errorf("seed %d: %w", seed, err)
	}
	f := &Failure{Seed: seed, Lost: r.Lost, Broken: r.Broken, SpreadMs: w.spread()}
	for _, fault := range r.Faults {
		f.Hit = fmt.Sprint(fault.Hit)
		for _, id := range fault.Behind {
			a := w.crowds[w.byID[id]]
			if a == nil {
				continue
			}
			f.Video = append(f.Video, millis(max(a.tracks[sim.Video].worst-w.cfg.Clip.At(sim.Video, 1), 0)))
			f.Audio = append(f.Audio, millis(max(a.tracks[sim.Audio].worst-w.cfg.Clip.At(sim.Audio, 1), 0)))
		}
	}
	if len(f.Video) == 0 {
		f.Broken = append(f.Broken, "the failure hit nobody: "+f.Hit)
	}
	return f, nil
}

// The small world: o is the origin, r and s relay, a and b have viewers.
var smallLinks = [][]int{{1, 2}, {0, 2, 3, 4}, {0, 1, 3, 4}, {1, 2, 4}, {1, 2, 3}}

// smallWorld draws one way delays: 5 to 60 ms from the origin to relays, 5 to 40
// on to the edges, so round trips are at most 120 ms and backups at most 80 away.
func smallWorld(kind FaultKind, seed uint64) *World {
	cfg := Config{
		Regions: "five", Nodes: 5, Viewers: 4, Clients: -1, Origin: "o", Seed: seed,
		Warm: 4 * time.Second, JoinOver: 300 * time.Millisecond, Duration: 5 * time.Second, Grain: -1,
		Faults: []Fault{{Kind: kind}},
	}
	cfg, err := cfg.withDefaults()
	if err != nil {
		panic(err) // it is ours
	}
	w := newWorld(cfg)
	w.cfg.Faults[0].At = time.Second + time.Duration(w.rng.Int64N(int64(time.Second)))
	names := []string{"o", "r", "s", "a", "b"}
	w.m = &Matrix{Name: "five", Provenance: map[string]string{"source": "drawn from the seed"}}
	for i, name := range names {
		w.m.Regions = append(w.m.Regions, Region{ID: name, Weight: 1})
		w.m.RTTMs = append(w.m.RTTMs, make([]float64, len(names)))
		p := Place{ID: name, Region: i, Provider: flatRate, Class: classes[2]}
		if i >= 3 {
			p.Viewers = 2
		}
		w.places = append(w.places, p)
	}
	for i := range names {
		for j := range i {
			rtt := 10 + 70*w.rng.Float64()
			if j == 0 {
				rtt = 10 + 110*w.rng.Float64()
			}
			w.m.RTTMs[i][j], w.m.RTTMs[j][i] = rtt, rtt
		}
	}
	w.origin, w.links = 0, smallLinks
	w.hit = func(tree treeSample) string { return aim(kind, tree, w.rng) }
	return w
}

// aim chooses a link on the way to a viewer, by chance; relays are chosen by who
// is behind them.
func aim(kind FaultKind, tree treeSample, rng *rand.Rand) string {
	way := tree.path[3+rng.IntN(2)]
	if kind == KillRelay || len(way) < 2 {
		return ""
	}
	i := rng.IntN(len(way) - 1)
	return way[i] + ">" + way[i+1]
}

// spread is how much later the last of all paths without loops brings a frame to
// an edge than the first.
func (w *World) spread() float64 {
	worst := 0.0
	for edge := 3; edge < len(w.places); edge++ {
		first, last := -1.0, 0.0
		var walk func(at int, ms float64, seen [8]bool)
		walk = func(at int, ms float64, seen [8]bool) {
			if at == edge {
				if first < 0 || ms < first {
					first = ms
				}
				last = max(last, ms)
				return
			}
			seen[at] = true
			for _, next := range w.links[at] {
				if !seen[next] {
					walk(next, ms+millis(delay(w.m, &w.places[at], &w.places[next])), seen)
				}
			}
		}
		walk(0, 0, [8]bool{})
		worst = max(worst, last-first)
	}
	return worst
}

// FailureSummary is what many failures of one kind did.
type FailureSummary struct {
	Label   string    `json:"label"`
	Kind    FaultKind `json:"kind"`
	Runs    int       `json:"runs"`
	Viewers int       `json:"nodes_behind"` // nodes with viewers behind what failed, over all runs
	Video   GapStats  `json:"video"`
	Audio   GapStats  `json:"audio"`
	Lost    uint64    `json:"objects_lost"`
	// Above counts gaps of the sound that are longer than the difference of paths
	// allows a track that comes twice.
	Above      int       `json:"audio_gaps_above_path_difference"`
	AboveSeeds []uint64  `json:"audio_gaps_above_path_difference_seeds,omitempty"`
	Broken     []string  `json:"violations"` // with their seeds
	Worst      []Failure `json:"worst"`
}

// GapStats are quantiles of gaps, exact, and a histogram.
type GapStats struct {
	P50Ms     float64 `json:"p50_ms"`
	P95Ms     float64 `json:"p95_ms"`
	P99Ms     float64 `json:"p99_ms"`
	MaxMs     float64 `json:"max_ms"`
	Histogram []int   `json:"histogram"` // by 50 ms, the last for all above
}

const (
	gapBar  = 50.0
	gapBars = 24
)

func gapStats(gaps []float64) GapStats {
	s := GapStats{Histogram: make([]int, gapBars)}
	if len(gaps) == 0 {
		return s
	}
	slices.Sort(gaps)
	at := func(share float64) float64 { return gaps[min(int(share*float64(len(gaps))), len(gaps)-1)] }
	s.P50Ms, s.P95Ms, s.P99Ms, s.MaxMs = at(0.5), at(0.95), at(0.99), gaps[len(gaps)-1]
	for _, g := range gaps {
		s.Histogram[min(int(g/gapBar), gapBars-1)]++
	}
	return s
}

// maxWorst is how many of the worst runs, and how many violations, a summary keeps.
const (
	maxWorst  = 10
	maxBroken = 100
)

// Summarize puts failures of one kind together.
func Summarize(kind FaultKind, all []*Failure) *FailureSummary {
	s := &FailureSummary{Label: "simulated", Kind: kind, Runs: len(all)}
	var video, audio []float64
	for _, f := range all {
		video, audio = append(video, f.Video...), append(audio, f.Audio...)
		s.Lost += f.Lost
		for _, gap := range f.Audio {
			if gap > f.SpreadMs+jitterSlackMs {
				s.Above++
				if len(s.AboveSeeds) < maxBroken && !slices.Contains(s.AboveSeeds, f.Seed) {
					s.AboveSeeds = append(s.AboveSeeds, f.Seed)
				}
			}
		}
		for _, v := range f.Broken {
			if len(s.Broken) < maxBroken {
				s.Broken = append(s.Broken, fmt.Sprintf("seed %d: %s", f.Seed, v))
			}
		}
	}
	s.Viewers, s.Video, s.Audio = len(video), gapStats(video), gapStats(audio)
	worst := slices.Clone(all)
	longest := func(f *Failure) float64 { return slices.Max(append([]float64{0}, f.Video...)) }
	slices.SortFunc(worst, func(a, b *Failure) int {
		return cmp.Or(cmp.Compare(longest(b), longest(a)), cmp.Compare(a.Seed, b.Seed))
	})
	for _, f := range worst[:min(len(worst), maxWorst)] {
		s.Worst = append(s.Worst, *f)
	}
	return s
}

// jitterSlackMs is what jitter adds to the difference of two paths.
const jitterSlackMs = 5
