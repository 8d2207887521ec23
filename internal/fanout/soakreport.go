package fanout

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// SoakReport is what a soak found.
type SoakReport struct {
	Began   time.Time  `json:"began"`
	Machine string     `json:"machine"`
	Config  SoakConfig `json:"config"`
	// Verdict is Pass or Fail, and Failures say why it is the latter.
	Verdict  string   `json:"verdict"`
	Failures []string `json:"failures"`
	// Notes say what was not judged, and why.
	Notes []string `json:"notes,omitempty"`

	// Baseline is the node before anybody came, After when all have left and what they
	// held is given back, which took ReturnedIn.
	Baseline   Sample        `json:"baseline"`
	After      Sample        `json:"after"`
	ReturnedIn time.Duration `json:"returned_in_ns"`
	// Slope of the heap by least squares over the samples after the warm-up, in bytes a
	// minute, with its standard error; Grown is what that comes to in all.
	Slope   float64 `json:"heap_bytes_per_minute"`
	SlopeSE float64 `json:"heap_bytes_per_minute_se"`
	Grown   float64 `json:"heap_grown_bytes"`
	// Cores that the node and the clients took.
	Cores  [2]float64         `json:"cores"`
	Counts SoakCounts         `json:"counts"`
	Drops  map[string]float64 `json:"drops"` // the node's counters with a reason
	// Samples were taken while clients came and went.
	Samples []Sample `json:"samples"`
}

// The verdicts.
const (
	Pass = "PASS"
	Fail = "FAIL"
)

const (
	// maxSlopeKB is by what the heap may grow in a minute: a few hundred bytes for each
	// viewer that came, of which there are about twenty a minute.
	maxSlopeKB = 8
	// maxGrownKB is by what it may grow in all after the warm-up.
	maxGrownKB = 400
	// sureSlope is how many standard errors a slope must have to be one.
	sureSlope = 2
	// maxKeptKB is how much more the node may hold when all have left than before
	// anybody came: what is made with the first client and kept, such as buffers for
	// compression, tables of the JSON encoder, and pools.
	maxKeptKB = 1000
	// leastJudged is how long after the warm-up a slope tells anything: sessions come
	// and go, with 100 kB each.
	leastJudged = 10 * time.Minute
	// strayRoutines is by how many goroutines may differ at two looks: timers of the
	// runtime, of pion and of the HTTP server that run just then.
	strayRoutines = 3
	// leastRepaired is the share of what was asked for that must have come again. Who
	// leaves does not wait.
	leastRepaired = 0.95
)

// left says what is not yet as it was before anybody came.
func (r *SoakReport) left() (all []string) {
	all = r.watched()
	a, b := r.After, r.Baseline
	for _, c := range []struct {
		what                 string
		got, want, tolerated int
	}{
		{"publishers", a.WHIP, b.WHIP, 0},
		{"broadcasts", a.Broadcasts, b.Broadcasts, 0},
		{"goroutines", a.Goroutines, b.Goroutines, strayRoutines},
		{"open files", a.FDs, b.FDs, 0},
	} {
		if c.got > c.want+c.tolerated {
			all = append(all, fmt.Sprintf("%d %s, %d before anybody came", c.got, c.what, c.want))
		}
	}
	return all
}

// watched says which viewers are still there.
func (r *SoakReport) watched() (all []string) {
	if n := r.After.WHEP - r.Baseline.WHEP; n > 0 {
		all = append(all, fmt.Sprintf("%d viewers by WHEP", n))
	}
	if n := r.After.MoQ - r.Baseline.MoQ; n > 0 {
		all = append(all, fmt.Sprintf("%d sessions of MoQ", n))
	}
	return all
}

// judge comes to a verdict.
func (r *SoakReport) judge() {
	fail := func(format string, args ...any) { r.Failures = append(r.Failures, fmt.Sprintf(format, args...)) }
	c := r.Counts
	if c.Error != "" {
		fail("%s", c.Error)
	}
	if len(c.InWraps) == 0 || c.Packets == 0 || c.Objects == 0 || c.Joins < uint64(r.Config.Viewers) {
		fail("%d joined, %d packets and %d objects came", c.Joins, c.Packets, c.Objects)
	}
	r.judgeHeap(fail)
	if left := r.left(); len(left) > 0 {
		fail("%v after all have left, at most %v: %s", r.ReturnedIn.Round(time.Second), returnWithin, strings.Join(left, "; "))
	}
	if kept := float64(r.After.Heap) - float64(r.Baseline.Heap); kept > maxKeptKB*1e3 {
		fail("%.0f kB of heap are held after all have left, at most %d", kept/1e3, maxKeptKB)
	}
	if c.Unopened > 0 {
		fail("%d packets did not open: %s", c.Unopened, c.FirstWrong)
	}
	if c.Doubles+c.Backwards > 0 {
		fail("%d packets or objects came twice, %d timestamps before an earlier one: %s", c.Doubles, c.Backwards, c.FirstWrong)
	}
	// The node hands the kernel many packets as one message, and so it drops them.
	if c.Gaps > c.Overflow {
		fail("%d sequence numbers are missing in %d places, and the kernel dropped %d messages: %s", c.Holes, c.Gaps, c.Overflow, c.FirstWrong)
	}
	if behind := r.Drops[`trellis_rtc_dropped_total{reason="behind"}`]; float64(c.Signs) > behind+float64(c.Overflow) {
		fail("%d sequence numbers are missing by themselves, and %.0f viewers fell behind", c.Signs, behind)
	}
	if c.Asked > 0 && float64(c.Repaired) < leastRepaired*float64(c.Asked) {
		fail("of %d packets that viewers asked for again %d came", c.Asked, c.Repaired)
	}
	if r.Verdict = Pass; len(r.Failures) > 0 {
		r.Verdict = Fail
	}
}

func (r *SoakReport) judgeHeap(fail func(string, ...any)) {
	warm := r.warm()
	r.Slope, r.SlopeSE = fit(warm)
	if len(warm) == 0 {
		fail("there are no looks at the node after the warm-up")
		return
	}
	judged := warm[len(warm)-1].At - warm[0].At
	r.Grown = r.Slope * judged.Minutes()
	switch {
	case judged < leastJudged-r.Config.Every:
		r.Notes = append(r.Notes, fmt.Sprintf("the slope of the heap is not judged: it tells nothing before %v", leastJudged))
	case r.Slope < sureSlope*r.SlopeSE: // the groups that are cached just then are worth half a megabyte
	case r.Slope > maxSlopeKB*1e3:
		fail("the heap grows by %.1f kB a minute, at most %d", r.Slope/1e3, maxSlopeKB)
	case r.Grown > maxGrownKB*1e3:
		fail("the heap has grown by %.0f kB in %v, at most %d", r.Grown/1e3, judged.Round(time.Minute), maxGrownKB)
	}
}

// warm are the looks after the warm-up.
func (r *SoakReport) warm() []Sample {
	from := r.Config.warmUp()
	i := slices.IndexFunc(r.Samples, func(s Sample) bool { return s.At >= from })
	if i < 0 {
		return nil
	}
	return r.Samples[i:]
}

// fit is the slope of the heap in bytes a minute by least squares, and its standard
// error.
func fit(samples []Sample) (slope, se float64) {
	n := float64(len(samples))
	if n < 3 {
		return 0, 0 // two points have no errors
	}
	var mx, my, sxx, sxy, rest float64
	for _, s := range samples {
		mx, my = mx+s.At.Minutes()/n, my+float64(s.Heap)/n
	}
	for _, s := range samples {
		dx := s.At.Minutes() - mx
		sxx, sxy = sxx+dx*dx, sxy+dx*(float64(s.Heap)-my)
	}
	slope = sxy / sxx
	for _, s := range samples {
		d := float64(s.Heap) - my - slope*(s.At.Minutes()-mx)
		rest += d * d
	}
	return slope, math.Sqrt(rest / (n - 2) / sxx)
}

// Text is the report for people.
func (r *SoakReport) Text() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	c := r.Counts
	line("MEASURED soak of %v: one node in a process of its own, clients in another; %s", r.Config.Length, r.Machine)
	line("")
	line("%8s %9s %9s %8s %10s %6s %5s %5s %4s", "at", "heap kB", "objects", "RSS MB", "goroutines", "files", "whip", "whep", "moq")
	show := func(name string, s Sample) {
		line("%8s %9.0f %9d %8.1f %10d %6d %5d %5d %4d", name, float64(s.Heap)/1e3, s.Objects, float64(s.RSS)/1e6, s.Goroutines, s.FDs, s.WHIP, s.WHEP, s.MoQ)
	}
	show("before", r.Baseline)
	step := max(1, len(r.Samples)/12)
	for i := step - 1; i < len(r.Samples); i += step {
		show(r.Samples[i].At.Round(time.Second).String(), r.Samples[i])
	}
	show("after", r.After)
	line("")
	line("heap after the first %v: %+.2f kB a minute (standard error %.2f), %+.0f kB in all", r.Config.warmUp(), r.Slope/1e3, r.SlopeSE/1e3, r.Grown/1e3)
	line("back to where it was %v after all had left, with %+.0f kB of heap", r.ReturnedIn.Round(100*time.Millisecond),
		(float64(r.After.Heap)-float64(r.Baseline.Heap))/1e3)
	line("%d joined, %d of them over MoQ, %d left without a word; %d publishers came and went", c.Joins, c.Streamed, c.Vanished, c.Guests)
	line("%d packets came and %d of them did not open; %d wraps of sequence numbers, at most %d in one stream; the publisher's wrapped %v times",
		c.Packets, c.Unopened, c.Wraps, c.MostWraps, c.InWraps)
	line("%d missing in %d places, %d single ones, %d messages dropped by the kernel; %d twice, %d times backwards; %d objects over MoQ",
		c.Holes, c.Gaps, c.Signs, c.Overflow, c.Doubles, c.Backwards, c.Objects)
	line("viewers lost %d on purpose and asked for %d of them: %d came again; %d came again to probe", c.Lost, c.Asked, c.Repaired, c.Unasked)
	line("cores: node %.3f, clients %.3f", r.Cores[0], r.Cores[1])
	line("")
	for _, name := range slices.Sorted(maps.Keys(r.Drops)) {
		line("  %-80s %.0f", name, r.Drops[name])
	}
	line("")
	for _, n := range r.Notes {
		line("NOTE: %s", n)
	}
	for _, f := range r.Failures {
		line("FAILED: %s", f)
	}
	line("%s", r.Verdict)
	return b.String()
}
