package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// result is what one run showed.
type result struct {
	Run       int      `json:"run"`
	Victim    string   `json:"victim"`
	Lost      string   `json:"lost,omitempty"` // the direction, in one-way loss
	Affected  []string `json:"affected"`       // edges whose viewers have a gap to measure
	NewParent string   `json:"new_parent"`
	// Linked says whether a relay that was frozen has its link with the first
	// edge again at the end.
	Linked *bool   `json:"linked_again,omitempty"`
	Views  []views `json:"views"`
	// DownMs is when each end of the link between the relay and the first edge
	// said that it is down, after the fault.
	DownMs map[string]float64 `json:"down_ms"`
	Wrong  string             `json:"wrong,omitempty"` // objects that nobody sent

	at, end time.Time // of the fault, and of what is judged
}

// views is what the viewers of one edge saw of one track.
type views struct {
	Edge     string    `json:"edge"`
	Track    string    `json:"track"`
	Affected bool      `json:"affected"`
	GapMs    []float64 `json:"gap_ms"` // of each viewer
	Sent     int       `json:"sent"`   // objects, to each viewer
	Lost     int       `json:"lost"`   // of all viewers together
	Double   int       `json:"double"`
}

func (w *world) evaluate(res *result, edge string) {
	for _, id := range edgeIDs {
		for _, s := range streams {
			v := views{Edge: id, Track: s.track, Affected: slices.Contains(res.Affected, id)}
			sent := w.publisher.times(s.track)
			first, _ := slices.BinarySearchFunc(sent, res.at.Add(-time.Second), time.Time.Compare)
			end, _ := slices.BinarySearchFunc(sent, res.end, time.Time.Compare)
			v.Sent = end - first
			for _, viewer := range w.viewers {
				if viewer.edge == id {
					viewer.judge(&v, s.track, first, end, res.at)
				}
			}
			res.Views = append(res.Views, v)
		}
	}
	for _, v := range w.viewers {
		v.mu.Lock()
		if v.err != nil {
			res.Wrong = v.err.Error()
		}
		v.mu.Unlock()
	}
	res.DownMs = map[string]float64{}
	for _, ends := range [][2]string{{edge, res.Victim}, {res.Victim, edge}} {
		if at, said := w.processes[ends[0]].log.first("link down", ends[1], res.at); said {
			res.DownMs[ends[0]] = ms(at.Sub(res.at))
		}
	}
}

// judge adds what one viewer saw of a track, whose objects from first to before
// end count.
func (v *viewer) judge(into *views, track string, first, end int, fault time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	came := slices.Clone(v.came[track])
	slices.SortStableFunc(came, func(a, b arrival) int { return a.at.Compare(b.at) })
	seen := make([]int, end)
	var gap time.Duration
	var last time.Time
	for _, a := range came {
		if a.n < uint64(end) {
			seen[a.n]++
		}
		if a.at.After(fault) && !last.IsZero() {
			gap = max(gap, a.at.Sub(last))
		}
		last = a.at
	}
	for _, n := range seen[first:] {
		switch {
		case n == 0:
			into.Lost++
		case n > 1:
			into.Double += n - 1
		}
	}
	into.GapMs = append(into.GapMs, ms(gap))
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// line is the run in short.
func (r *result) line() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s", r.Victim)
	for _, v := range r.Views {
		if v.Affected {
			fmt.Fprintf(&b, "  %s %s gap %.0f ms lost %d", v.Edge, v.Track, slices.Max(v.GapMs), v.Lost)
		}
	}
	if r.NewParent == "" || r.NewParent == r.Victim {
		fmt.Fprintf(&b, "  parent afterwards %q", r.NewParent)
	}
	return b.String()
}
