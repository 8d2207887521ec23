package soak

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestSoak is a small soak: two minutes of virtual time.
func TestSoak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := Run(t.Context(), Config{Length: 2 * time.Minute, Every: 40 * time.Second, Staying: 1, Passing: 3, Stay: 6 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Failures) > 0 || r.Joins < 15 {
			t.Errorf("\n%s", r.Text())
		}
	})
}

func TestSlope(t *testing.T) {
	points := []Point{{Groups: 1000, Heap: 5000}, {Groups: 2000, Heap: 5500}, {Groups: 4000, Heap: 6500}}
	if got := slope(points); got < 499.9 || got > 500.1 {
		t.Errorf("a slope of %v, want 500", got)
	}
}

// TestJudge: what is found is said.
func TestJudge(t *testing.T) {
	quiet := Point{Groups: 1, Heap: 1000, Goroutines: 50, Publishers: 1, Viewers: 1, Lanes: 2, Tracks: 3}
	for name, c := range map[string]struct {
		change func(*Report)
		want   int
	}{
		"well":           {func(*Report) {}, 0},
		"leak":           {func(r *Report) { r.Points[7].Heap += 100 * maxSlope }, 1},
		"goroutines":     {func(r *Report) { r.Points[7].Goroutines += 10 }, 1},
		"left behind":    {func(r *Report) { r.After = Point{Goroutines: 90, Lanes: 1} }, 2},
		"hole":           {func(r *Report) { r.Holes = 1 }, 1},
		"one lost":       {func(r *Report) { r.Signs, r.Behind = 2, 1 }, 1},
		"a viewer stuck": {func(r *Report) { r.Points[3].Viewers = 2 }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			r := &run{cfg: Config{Staying: 1}, report: Report{Packets: 1, Idle: Point{Goroutines: 10}, After: Point{Goroutines: 10}}}
			for i := range 8 {
				p := quiet
				p.Groups = uint64(i) * 1000
				r.report.Points = append(r.report.Points, p)
			}
			c.change(&r.report)
			r.judge()
			if len(r.report.Failures) != c.want {
				t.Errorf("failures %q, want %d", r.report.Failures, c.want)
			}
		})
	}
}
