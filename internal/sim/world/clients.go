package world

import (
	"time"

	"trellis/internal/sim"
)

// ClientView is what a real client saw.
type ClientView struct {
	Node     string  `json:"node"`
	Kind     string  `json:"kind"`
	JoinMs   float64 `json:"join_ms"`
	P50Ms    float64 `json:"p50_ms"`
	P95Ms    float64 `json:"p95_ms"`
	Frames   int     `json:"frames"`
	Missing  int     `json:"missing"`
	Problems int     `json:"problems"`
}

// RealJoins are the times from the wish to watch to the first picture of real
// clients, with all their handshakes.
type RealJoins struct {
	All    int       `json:"all"`
	Failed int       `json:"failed"`
	MoQ    Quantiles `json:"moq"`
	WHEP   Quantiles `json:"whep"`
}

func (w *World) clientReport(r *Report) {
	from, to := w.session.from, w.session.from.Add(w.cfg.Duration-time.Second)
	joins := map[string]*tally{"moq": {}, "whep": {}}
	for _, c := range w.real {
		r.Real.All++
		join := -1.0
		if c.watch != nil {
			join = c.joinMs()
		}
		if join < 0 {
			r.Real.Failed++
		} else {
			joins[c.kind].add(time.Duration(join*float64(time.Millisecond)), 1)
		}
	}
	r.Real.MoQ, r.Real.WHEP = joins["moq"].quantiles(), joins["whep"].quantiles()
	for _, c := range w.real {
		if c.watch == nil || c.node < 0 {
			continue
		}
		got := sim.Between(c.watch.Arrivals(sim.Video), from, to)
		r.Clients = append(r.Clients, ClientView{
			Node: w.places[c.node].ID, Kind: c.kind, Frames: len(got), Missing: len(sim.Missing(got)), JoinMs: c.joinMs(),
			P50Ms: millis(sim.Quantile(got, 0.5)), P95Ms: millis(sim.Quantile(got, 0.95)), Problems: len(c.watch.Problems()),
		})
	}
}
