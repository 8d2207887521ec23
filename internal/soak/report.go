package soak

import (
	"fmt"
	"strings"
	"time"
)

// Report is what a run found.
type Report struct {
	Config Config `json:"-"`
	// Idle is the node before anybody came, After when all have left. Points are the
	// quiet ones in between, when only those are there who stay.
	Idle   Point   `json:"idle"`
	Points []Point `json:"points"`
	After  Point   `json:"after"`

	Joins     uint64 `json:"joins"`
	Packets   uint64 `json:"packets"`   // opened by viewers' SRTP
	Repeated  uint64 `json:"repeated"`  // of those, sent again to probe the path
	Holes     uint64 `json:"holes"`     // sequence numbers that never came, but for
	Signs     uint64 `json:"signs"`     // single ones, by which the node says that a frame has no end,
	Behind    uint64 `json:"behind"`    // and of which it counts at least as many as viewers that fell behind
	Backwards uint64 `json:"backwards"` // timestamps before an earlier packet's
	Wraps     uint64 `json:"wraps"`     // of sequence numbers
	// Slope is by how many bytes the live heap grew with 1,000 groups, by least
	// squares over the second half of the points.
	Slope float64 `json:"heap_bytes_per_1000_groups"`
	// Failures say what is not as it should be.
	Failures []string      `json:"failures"`
	Took     time.Duration `json:"took_ns"` // by the real clock
}

// Point is one look at the process, after garbage collection.
type Point struct {
	At         time.Duration `json:"at_ns"` // virtual
	Groups     uint64        `json:"groups"`
	Heap       uint64        `json:"heap_bytes"`
	Objects    uint64        `json:"heap_objects"`
	Goroutines int           `json:"goroutines"`
	Publishers int           `json:"publishers"`
	Viewers    int           `json:"viewers"`
	Lanes      int           `json:"lanes"`
	Tracks     int           `json:"tracks"`
}

func (r *Report) last() Point { return r.Points[len(r.Points)-1] }

const (
	// maxSlope is what the live heap may seem to grow by with 1,000 groups: several
	// times less than one leaked packet, or 20 bytes, in each.
	maxSlope = 20_000
	// strayGoroutines is by how many the count may differ between two looks: timers
	// of the runtime and of pion that run just then.
	strayGoroutines = 3
)

// judge says what is not as it should be.
func (r *run) judge() {
	p := &r.report
	fail := func(format string, args ...any) { p.Failures = append(p.Failures, fmt.Sprintf(format, args...)) }
	for _, err := range r.errs {
		fail("%v", err)
	}
	p.Slope = slope(p.Points[len(p.Points)/2:])
	if len(p.Points) >= 6 && p.Slope > maxSlope {
		fail("the live heap grows by %.0f bytes with 1,000 groups, at most %d", p.Slope, maxSlope)
	}
	first, last := p.Points[0], p.last()
	for _, q := range p.Points {
		if q.Viewers != r.cfg.Staying || q.Publishers != 1 || q.Lanes != first.Lanes || q.Tracks != first.Tracks {
			fail("at %v there are %d viewers, %d publishers, %d lanes and %d tracks", q.At, q.Viewers, q.Publishers, q.Lanes, q.Tracks)
		}
	}
	if d := last.Goroutines - first.Goroutines; d > strayGoroutines {
		fail("%d goroutines more at the end than at the first quiet point", d)
	}
	if d := p.After.Goroutines - p.Idle.Goroutines; d > strayGoroutines {
		fail("%d goroutines are left, %d before anybody came", p.After.Goroutines, p.Idle.Goroutines)
	}
	if a := p.After; a.Viewers+a.Publishers+a.Lanes+a.Tracks != 0 {
		fail("%d viewers, %d publishers, %d lanes and %d tracks are left", a.Viewers, a.Publishers, a.Lanes, a.Tracks)
	}
	if p.Signs > p.Behind {
		fail("%d sequence numbers are missing by themselves, and %d viewers fell behind", p.Signs, p.Behind)
	}
	if p.Holes != 0 || p.Backwards != 0 || p.Packets == 0 {
		fail("of %d packets %d are missing and %d have a time before an earlier one's", p.Packets, p.Holes, p.Backwards)
	}
}

// slope fits a line to the heap over the groups, and returns its rise with 1,000.
func slope(points []Point) float64 {
	var x, y, xx, xy float64
	n := float64(len(points))
	for _, p := range points {
		g, h := float64(p.Groups)/1000, float64(p.Heap)
		x, y, xx, xy = x+g, y+h, xx+g*g, xy+g*h
	}
	if d := n*xx - x*x; d > 0 {
		return (n*xy - x*y) / d
	}
	return 0
}

// Text returns the report for people.
func (r *Report) Text() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("soak: %v of virtual time in %v; real edge, relay, ICE, DTLS and SRTP; simulated network and clock",
		r.Config.Length, r.Took.Round(time.Second))
	line("")
	line("%10s %8s %10s %10s %10s %8s %6s %7s", "at", "groups", "heap kB", "objects", "goroutines", "viewers", "lanes", "tracks")
	show := func(name string, p Point) {
		line("%10s %8d %10.1f %10d %10d %8d %6d %7d", name, p.Groups, float64(p.Heap)/1e3, p.Objects, p.Goroutines, p.Viewers, p.Lanes, p.Tracks)
	}
	show("idle", r.Idle)
	for _, p := range r.Points {
		show(p.At.Round(time.Second).String(), p)
	}
	show("after", r.After)
	line("")
	line("%d viewers joined and left, %d stayed; %d packets opened, %d of them sent again as probes",
		r.Joins, r.Config.Staying, r.Packets, r.Repeated)
	line("%d holes in sequence numbers over %d wraps, %d timestamps backwards", r.Holes, r.Wraps, r.Backwards)
	line("%d times a frame was given up for the next group, of %d that viewers fell behind", r.Signs, r.Behind)
	line("live heap: %+.0f bytes with 1,000 groups", r.Slope)
	for _, f := range r.Failures {
		line("FAILED: %s", f)
	}
	return b.String()
}
