package world

import (
	"cmp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"trellis/backbone"
)

// smallConfig is a world that is simulated in seconds. Nodes have few links, so
// that there are relays.
func smallConfig() Config {
	return Config{
		Nodes: 8, Viewers: 120, Clients: 2, Seed: 1, Neighbours: 2,
		Warm: 4 * time.Second, JoinOver: 2 * time.Second, Duration: 8 * time.Second,
	}
}

// small runs a small world with the faults of cfg, which nobody must break.
func small(t *testing.T, cfg Config) *Report {
	t.Helper()
	c := smallConfig()
	c.Faults, c.Duration = cfg.Faults, cmp.Or(cfg.Duration, c.Duration)
	r := run(t, c)
	for _, v := range r.Broken {
		t.Errorf("seed %d: %s", c.Seed, v)
	}
	return r
}

func run(t *testing.T, cfg Config) *Report {
	t.Helper()
	var r *Report
	synctest.Test(t, func(t *testing.T) {
		var err error
		if r, err = Run(t.Context(), cfg); err != nil {
			t.Fatalf("seed %d: %v", cfg.Seed, err)
		}
	})
	if r == nil {
		t.Fatal("no report")
	}
	t.Logf("\n%s", r.Text())
	return r
}

// TestRelayDies: when the relay that most viewers are behind loses its power,
// nobody loses a frame and everybody sees the picture again within a second.
func TestRelayDies(t *testing.T) {
	r := small(t, Config{Faults: []Fault{{Kind: KillRelay, At: 3 * time.Second}}})
	if len(r.Faults) != 1 || r.Faults[0].Below == 0 {
		t.Fatalf("the fault hit nobody: %+v", r.Faults)
	}
	if r.Lost > 0 {
		t.Errorf("%d objects were lost", r.Lost)
	}
	for _, g := range r.Gaps {
		if g.Silence > 1000 {
			t.Errorf("%s at %s was silent for %.0f ms", g.Track, g.Node, g.Silence)
		}
	}
}

func TestShare(t *testing.T) {
	for _, c := range []struct {
		total, least int
		weights      []float64
		want         []int
	}{
		{10, 1, []float64{1, 1, 2}, []int{3, 3, 4}},
		{2, 1, []float64{1, 1, 1}, []int{1, 1, 0}},
		{7, 0, []float64{0, 3}, []int{0, 7}},
	} {
		got := share(c.total, c.least, c.weights)
		sum := 0
		for i := range got {
			sum += got[i]
			if got[i] != c.want[i] {
				t.Errorf("share(%d, %d, %v) = %v, want %v", c.total, c.least, c.weights, got, c.want)
				break
			}
		}
		if sum != c.total {
			t.Errorf("share(%d, %d, %v) gives away %d", c.total, c.least, c.weights, sum)
		}
	}
}

func TestMatrices(t *testing.T) {
	for _, name := range Matrices() {
		m, err := LoadMatrix(name)
		if err != nil {
			t.Fatal(err)
		}
		for i, row := range m.RTTMs {
			if len(row) != len(m.Regions) {
				t.Errorf("%s: row %d has %d entries", name, i, len(row))
			}
			for j := range row {
				if i != j && m.OneWay(i, j) <= 0 {
					t.Errorf("%s: no delay from %s to %s", name, m.Regions[i].ID, m.Regions[j].ID)
				}
			}
		}
	}
}

// TestOracleWantsEvents: nodes that remember nothing cannot explain a gap, and the
// oracle says so.
func TestOracleWantsEvents(t *testing.T) {
	cfg := smallConfig()
	cfg.Faults = []Fault{{Kind: KillRelay, At: 3 * time.Second}}
	cfg.Mesh = func(c *backbone.Config) { c.Events = nil }
	r := run(t, cfg)
	if len(r.Gaps) == 0 {
		t.Fatal("the fault made no gap")
	}
	if len(r.Broken) != 1 || !strings.HasPrefix(r.Broken[0], "gaps that no event explains: ") {
		t.Errorf("violations %q, want that no event explains the gaps", r.Broken)
	}
}

// TestManyFaults: a crowd comes, a link's delay flaps, a region is cut off and
// comes back, a relay stands still. Nobody sees a frame twice or out of order, and
// every gap is explained.
func TestManyFaults(t *testing.T) {
	r := small(t, Config{Duration: 16 * time.Second, Faults: []Fault{
		{Kind: Crowd, At: 500 * time.Millisecond, Count: 100, For: 2 * time.Second},
		{Kind: Flap, At: time.Second, Amount: 0.3, For: 4 * time.Second},
		{Kind: ClockStep, At: 3 * time.Second, Delay: 10 * time.Minute},
		{Kind: Partition, Target: "japaneast", At: 6 * time.Second, For: 2 * time.Second},
		{Kind: Freeze, At: 10 * time.Second, For: time.Second},
		{Kind: Registry, At: 11 * time.Second, For: 3 * time.Second},
	}})
	if r.Joins.Count != 220 || r.Joins.P95 > 500 {
		t.Errorf("%d joins, p95 %.0f ms; want 220 within 500 ms", r.Joins.Count, r.Joins.P95)
	}
	if r.Taken.Nodes == 0 || r.Taken.Subs < r.Taken.Nodes || r.Taken.Most > 2 {
		t.Errorf("nodes take the picture like this: %+v; want once, and a backup", r.Taken)
	}
	if len(r.Faults) != 6 {
		t.Errorf("%d faults happened, want 6", len(r.Faults))
	}
}

// TestOperator: a relay is drained, comes back and becomes dear, while discovery
// names now nobody and now all. Nobody loses a frame.
func TestOperator(t *testing.T) {
	r := small(t, Config{Duration: 14 * time.Second, Faults: []Fault{
		{Kind: Registry, Target: "flapping", At: 500 * time.Millisecond, For: 12 * time.Second},
		{Kind: Drain, At: 2 * time.Second, For: 5 * time.Second},
		{Kind: Price, At: 9 * time.Second, Amount: 0.5},
	}})
	if len(r.Faults) != 3 {
		t.Fatalf("%d faults happened, want 3", len(r.Faults))
	}
	if r.Lost > 0 {
		t.Errorf("%d objects were lost", r.Lost)
	}
	for _, g := range r.Gaps { // another way may be longer, but everything comes over it
		if g.Frames > 0 || g.Silence > 400 {
			t.Errorf("%s at %s: %d frames missing, %.0f ms of silence", g.Track, g.Node, g.Frames, g.Silence)
		}
	}
	drained := r.Faults[1].Hit[0]
	if !slices.ContainsFunc(r.Moves, func(m Move) bool { return m.From == drained }) {
		t.Errorf("nobody left %s, which was drained: %+v", drained, r.Moves)
	}
}

// TestPage: the page needs nothing from elsewhere, and shows what matters.
func TestPage(t *testing.T) {
	r := &Report{
		Label: "simulated", Origin: "a", Tree: []TreeNode{{Node: "a", Region: "r<1>"}, {Node: "b", Parent: "a", PredictedMs: 10, MeasuredMs: 20}},
		Regions: []RegionAges{{Region: "r<1>"}}, Gaps: []Gap{{Node: "b", Silence: 400, Viewers: 10, Cause: "b: link_suspect, silence"}},
	}
	page := string(r.HTML())
	for _, want := range []string{"SIMULATED", "link_suspect, silence", "r&lt;1&gt;", "<svg", "</html>"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, no := range []string{"http:", "https:", "<script", "src="} {
		if strings.Contains(page, no) {
			t.Errorf("the page has %q", no)
		}
	}
}

func TestTally(t *testing.T) {
	var a, b tally
	for i := range 1000 {
		a.add(time.Duration(i)*time.Millisecond, 1)
	}
	b.add(5*time.Second, 1000)
	a.merge(&b)
	q := a.quantiles()
	if q.Count != 2000 || q.P50 < 980 || q.P50 > 5100 || q.Max < 4950 || q.Max > 5050 {
		t.Errorf("got %+v", q)
	}
	if p25 := a.ms(0.25); p25 < 495 || p25 > 505 {
		t.Errorf("a quarter is below %.1f ms, want 500", p25)
	}
}
