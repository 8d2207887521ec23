package backbone

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"
)

// azure returns measured round trips between the regions of a cloud, in ms. The
// file says where they come from.
func azure(t *testing.T) [][]float64 {
	t.Helper()
	b, err := os.ReadFile("../bench/mesh/azure.json")
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		RTT [][]float64 `json:"rtt_ms"`
	}
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	for i := range d.RTT {
		for j := range i {
			rtt := max((d.RTT[i][j]+d.RTT[j][i])/2, 0.5)
			d.RTT[i][j], d.RTT[j][i] = rtt, rtt
		}
	}
	return d.RTT
}

// TestCoordinateFindsNear: nodes in 48 places measure to sixteen others each, eight
// of them anywhere and eight that seem near, by coordinates as they come over the
// wire. A node's true nearest is among the eight
// that seem nearest for nearly all.
func TestCoordinateFindsNear(t *testing.T) {
	rtts := azure(t)
	n, total := len(rtts), 0
	for seed := range uint64(5) {
		dice := rand.New(rand.NewPCG(seed, 9))
		all := make([]coordinate, n)
		peers := make([][]int, n)
		for i := range all {
			all[i] = newCoordinate()
			for _, j := range dice.Perm(n) {
				if j != i && len(peers[i]) < 16 {
					peers[i] = append(peers[i], j)
				}
			}
		}
		for round := range 60 {
			for i := range all {
				if round%10 == 9 { // the link set follows: eight of the sixteen are near
					near := nearest(all, i)
					peers[i] = append(peers[i][:8], near[:8]...)
				}
				for _, j := range peers[i] {
					there, ok := parseCoordinate(all[j].wire())
					if !ok {
						t.Fatalf("a place does not parse: %+v", all[j])
					}
					jitter := time.Duration(dice.Float64() * float64(time.Millisecond))
					all[i].update(&there, time.Duration(rtts[i][j]*float64(time.Millisecond))+jitter, dice)
				}
			}
		}
		found := 0
		var wrong []float64
		for i := range all {
			least := 0.0
			for j := range all {
				if j == i {
					continue
				}
				wrong = append(wrong, abs(all[i].rtt(&all[j])-rtts[i][j])/rtts[i][j])
				if least == 0 || rtts[i][j] < least {
					least = rtts[i][j]
				}
			}
			if slices.ContainsFunc(nearest(all, i)[:8], func(j int) bool { return rtts[i][j] == least }) {
				found++
			}
		}
		slices.Sort(wrong)
		t.Logf("seed %d: nearest in top 8 for %d of %d, error p50 %.1f %%, p90 %.1f %%", seed, found, n, 100*wrong[len(wrong)/2], 100*wrong[len(wrong)*9/10])
		total += found
		if found*100 < n*90 {
			t.Errorf("seed %d: the nearest is among the first eight for %d of %d", seed, found, n)
		}
	}
	if total*100 < 5*n*95 {
		t.Errorf("the nearest is among the first eight for %d of %d", total, 5*n)
	}
}

// nearest returns the others in the order of how near they seem.
func nearest(all []coordinate, i int) []int {
	order := make([]int, 0, len(all))
	for j := range all {
		if j != i {
			order = append(order, j)
		}
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(all[i].rtt(&all[a]), all[i].rtt(&all[b])) })
	return order
}

func abs(x float64) float64 { return max(x, -x) }

// TestCoordinateHasAnIdea: nodes that also measure to others a millisecond away, in
// the same place, find out how well they know the distances to all others. What they
// think of that is about true, so that half a minute later most are of use.
func TestCoordinateHasAnIdea(t *testing.T) {
	const n = 250
	rtts := azure(t)
	rtt := func(i, j int) float64 {
		if i, j = i%len(rtts), j%len(rtts); i != j {
			return rtts[i][j]
		}
		return 1
	}
	for seed := range uint64(5) {
		dice := rand.New(rand.NewPCG(seed, 10))
		all := make([]coordinate, n)
		peers := make([][]int, n)
		for i := range all {
			all[i] = newCoordinate()
			peers[i] = dice.Perm(n)[:12]
			for j := i % len(rtts); j < n; j += len(rtts) {
				peers[i] = append(peers[i], j)
			}
		}
		for range 30 {
			for i := range all {
				for _, j := range peers[i] {
					if i != j {
						jitter := time.Duration(dice.Float64() * float64(time.Millisecond))
						all[i].update(&all[j], time.Duration(rtt(i, j)*float64(time.Millisecond))+jitter, dice)
					}
				}
			}
		}
		lost, thought, wrong := 0, 0.0, 0.0
		for i := range all {
			if !all[i].known() {
				lost++
			}
			thought += all[i].err / n
			miss := 0.0
			for j := range all {
				if i%len(rtts) != j%len(rtts) {
					miss += abs(all[i].rtt(&all[j])-rtt(i, j)) / rtt(i, j)
				}
			}
			wrong += miss / n / float64(n-n/len(rtts))
		}
		t.Logf("seed %d: wrong by %.0f %%, by %.0f %% as they think; %d have no idea", seed, 100*wrong, 100*thought, lost)
		if thought > 2*wrong || thought < wrong/2 {
			t.Errorf("seed %d: nodes think that they are wrong by %.2f, and are by %.2f", seed, thought, wrong)
		}
		if lost > n/5 {
			t.Errorf("seed %d: %d of %d have no idea where they are", seed, lost, n)
		}
	}
}

func TestCoordinateNonsense(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 1))
	c, o := newCoordinate(), newCoordinate()
	for _, rtt := range []time.Duration{0, -1, 1, time.Hour, time.Millisecond} {
		c.update(&o, rtt, dice)
		if _, ok := parseCoordinate(c.wire()); !ok {
			t.Errorf("after %v: %+v", rtt, c)
		}
	}
	for _, all := range [][]int64{nil, {1, 2, 3}, make([]int64, coordinateDims+2), slices.Repeat([]int64{1 << 60}, coordinateDims+2)} {
		if c, ok := parseCoordinate(all); ok {
			t.Errorf("%v is a place: %+v", all, c)
		}
	}
}

// TestPlaceIsToldSeldom: a place that wavers by less than a tenth of what it is to
// the neighbours is not told again.
func TestPlaceIsToldSeldom(t *testing.T) {
	now := time.Unix(1000, 0)
	p := newPlaces(rand.New(rand.NewPCG(1, 1)))
	if !p.news(now) {
		t.Fatal("the first place is not told")
	}
	p.own.err, p.own.n = 0.1, settledAfter
	p.told, p.toldAt = p.own, now
	for i := range 8 {
		p.measure(fmt.Sprint(i), 40*time.Millisecond, nil, now)
	}
	now = now.Add(time.Minute)
	if p.own.at[0] = 3.9; p.news(now) {
		t.Error("told for less than a tenth")
	}
	if p.own.at[0] = 4.1; !p.news(now) {
		t.Error("not told for more than a tenth")
	}
}

// TestPlaceIsToldWhenItHasAnIdea: others make nothing of a place without an idea of
// itself, so it is told again when it has one, however little it has moved.
func TestPlaceIsToldWhenItHasAnIdea(t *testing.T) {
	now := time.Now()
	p := newPlaces(rand.New(rand.NewPCG(1, 1)))
	p.measured["a"] = roundTrip{rtt: 100 * time.Millisecond, at: now}
	p.told, p.toldAt = p.own, now
	if now = now.Add(placeSoon); p.news(now) {
		t.Error("nothing is new")
	}
	p.own.err = vague - 0.01
	if !p.news(now) {
		t.Error("nobody is told of a place that has an idea of itself now")
	}
	if p.told = p.own; p.news(now) {
		t.Error("it is told twice")
	}
}
