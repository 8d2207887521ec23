package world

import (
	"testing"
	"testing/synctest"
	"time"
)

// small is a world that is simulated in seconds.
func small(t *testing.T, cfg Config) *Report {
	t.Helper()
	cfg.Nodes, cfg.Viewers, cfg.Clients, cfg.Seed = 8, 120, 2, 1
	cfg.Neighbours = 2 // so that there are relays
	cfg.Warm, cfg.JoinOver = 4*time.Second, 2*time.Second
	if cfg.Duration == 0 {
		cfg.Duration = 8 * time.Second
	}
	var r *Report
	synctest.Test(t, func(t *testing.T) {
		var err error
		if r, err = Run(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
	})
	if r == nil {
		t.Fatal("no report")
	}
	t.Logf("\n%s", r.Text())
	for _, v := range r.Broken {
		t.Errorf("seed %d: %s", cfg.Seed, v)
	}
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
