package fanout

import (
	"strings"
	"testing"
	"time"
)

// fineSoak is a report of an hour in which all is well: the heap goes up and down by
// 400 kB as sessions come and go.
func fineSoak() *SoakReport {
	r := &SoakReport{Config: SoakConfig{Length: time.Hour, Every: 10 * time.Second, SoakLoad: SoakLoad{Viewers: 20}}}
	r.Baseline = Sample{Heap: 1_200_000, Goroutines: 23, FDs: 14}
	r.After = r.Baseline
	r.After.At = r.Config.Length
	for at := r.Config.Every; at <= r.Config.Length; at += r.Config.Every {
		r.Samples = append(r.Samples, Sample{At: at, Heap: 10_000_000 + uint64(at/r.Config.Every%5)*100_000, Goroutines: 200, FDs: 15, WHEP: 20})
	}
	r.Counts = SoakCounts{Packets: 1, Objects: 1, Joins: 500, InWraps: []int{15}, Asked: 100, Repaired: 99}
	r.Drops = map[string]float64{`trellis_rtc_dropped_total{reason="behind"}`: 3}
	return r
}

// TestSoakVerdict: what is found is said.
func TestSoakVerdict(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*SoakReport)
		want   string // in the failure; empty for none
	}{
		"well":            {func(*SoakReport) {}, ""},
		"signs explained": {func(r *SoakReport) { r.Counts.Signs = 3 }, ""},
		"holes explained": {func(r *SoakReport) { r.Counts.Gaps, r.Counts.Holes, r.Counts.Overflow = 2, 48, 2 }, ""},
		"a slow leak": {func(r *SoakReport) {
			for i := range r.Samples {
				r.Samples[i].Heap += uint64(9000 * r.Samples[i].At.Minutes())
			}
		}, "kB a minute, at most 8"},
		"noise": {func(r *SoakReport) {
			for i := range r.Samples {
				r.Samples[i].Heap += uint64(9000*r.Samples[i].At.Minutes()) + uint64(i*i%7)*2_000_000
			}
		}, ""},
		"in all": {func(r *SoakReport) {
			r.Config.Length = 3 * time.Hour
			last := r.Samples[len(r.Samples)-1]
			for at := last.At; at <= r.Config.Length; at += r.Config.Every {
				r.Samples = append(r.Samples, Sample{At: at, Heap: last.Heap})
			}
			for i := range r.Samples {
				r.Samples[i].Heap += uint64(4000 * r.Samples[i].At.Minutes())
			}
		}, "has grown by"},
		"goroutines":    {func(r *SoakReport) { r.After.Goroutines += 4 }, "27 goroutines, 23 before"},
		"open files":    {func(r *SoakReport) { r.After.FDs++ }, "15 open files"},
		"a viewer":      {func(r *SoakReport) { r.After.WHEP++ }, "1 viewers by WHEP"},
		"a broadcast":   {func(r *SoakReport) { r.After.Broadcasts++ }, "1 broadcasts"},
		"held":          {func(r *SoakReport) { r.After.Heap += 1_100_000 }, "1100 kB of heap are held"},
		"roll-over":     {func(r *SoakReport) { r.Counts.Unopened = 1 }, "1 packets did not open"},
		"twice":         {func(r *SoakReport) { r.Counts.Doubles = 1 }, "came twice"},
		"backwards":     {func(r *SoakReport) { r.Counts.Backwards = 1 }, "before an earlier one"},
		"a hole":        {func(r *SoakReport) { r.Counts.Gaps, r.Counts.Holes, r.Counts.Overflow = 3, 72, 2 }, "are missing in 3 places"},
		"a sign":        {func(r *SoakReport) { r.Counts.Signs = 4 }, "missing by themselves"},
		"not repaired":  {func(r *SoakReport) { r.Counts.Repaired = 90 }, "asked for again"},
		"nobody came":   {func(r *SoakReport) { r.Counts.Joins = 3 }, "3 joined"},
		"a client's":    {func(r *SoakReport) { r.Counts.Error = "viewer 3: join: refused" }, "viewer 3"},
		"never looked":  {func(r *SoakReport) { r.Samples = nil }, "no looks"},
		"short, slopes": {func(r *SoakReport) { r.Samples = r.Samples[:90]; r.Samples[89].Heap *= 2 }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := fineSoak()
			c.change(r)
			r.judge()
			switch {
			case c.want == "" && (r.Verdict != Pass || len(r.Failures) > 0):
				t.Errorf("%s: %q", r.Verdict, r.Failures)
			case c.want != "" && (r.Verdict != Fail || len(r.Failures) != 1 || !strings.Contains(r.Failures[0], c.want)):
				t.Errorf("%s: %q, want %q", r.Verdict, r.Failures, c.want)
			}
			if !strings.HasSuffix(r.Text(), r.Verdict+"\n") {
				t.Error("the text does not end with the verdict")
			}
			if page := string(r.HTML()); strings.Contains(page, "NaN") || strings.Contains(page, "http") {
				t.Error("the page has a number that is none, or wants something from elsewhere")
			}
		})
	}
}

// TestFit: the slope of a line is found, with no error; noise has one.
func TestFit(t *testing.T) {
	var line, noise []Sample
	for i := range 60 {
		s := Sample{At: time.Duration(i) * time.Minute, Heap: 1000 + 50*uint64(i)}
		line = append(line, s)
		s.Heap += uint64(i % 2 * 1000)
		noise = append(noise, s)
	}
	if slope, se := fit(line); slope < 49.99 || slope > 50.01 || se > 0.01 {
		t.Errorf("a slope of %v ± %v, want 50 ± 0", slope, se)
	}
	if slope, se := fit(noise); slope < 50-3*se || slope > 50+3*se || se < 1 || se > 10 {
		t.Errorf("a slope of %v ± %v, want about 50", slope, se)
	}
}

// TestOrders: groups may come in any order, but each once and with all of its objects.
func TestOrders(t *testing.T) {
	var o orders
	for _, x := range []struct {
		group, index uint64
		right        bool
	}{
		{7, 3, true},
		{7, 4, true},
		{9, 0, true},
		{9, 1, true},
		{8, 0, true},
		{10, 0, true},
		{10, 2, false},
		{10, 2, false},
		{8, 0, false},
		{12, 1, false},
	} {
		if wrong := o.object("video", x.group, x.index); (wrong == "") != x.right {
			t.Errorf("object %d of group %d: %q", x.index, x.group, wrong)
		}
	}
	if wrong := o.object("audio", 7, 0); wrong != "" {
		t.Errorf("another track: %s", wrong)
	}
}
