package control_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"trellis/routing/control"
)

// odd reads snapshots from bytes: names that repeat, that nobody has or that are
// empty, numbers that are none, and in any order.
type odd struct{ b []byte }

func (o *odd) next() int {
	if len(o.b) == 0 {
		return 0
	}
	x := o.b[0]
	o.b = o.b[1:]
	return int(x)
}

func (o *odd) name() string {
	if i := o.next() % 12; i > 0 {
		return fmt.Sprintf("n%d", i-1)
	}
	return ""
}

func (o *odd) number() float64 {
	switch x := o.next(); x % 8 {
	case 0:
		return 0
	case 1:
		return math.NaN()
	case 2:
		return math.Inf(1)
	case 3:
		return -float64(x)
	case 4:
		return 1e300
	default:
		return float64(x) / 4
	}
}

func (o *odd) duration() time.Duration {
	switch x := o.next(); x % 8 {
	case 0:
		return 0
	case 1:
		return math.MaxInt64
	case 2:
		return math.MinInt64
	default:
		return time.Duration(x) * time.Millisecond
	}
}

func (o *odd) snapshot(now time.Time) control.Snapshot {
	s := control.Snapshot{Now: now.Add(o.duration())}
	if o.next()%8 > 0 {
		s.Nodes = append(s.Nodes, control.Node{ID: "n0", MaxChildren: 3})
	}
	for range o.next() % 12 {
		s.Nodes = append(s.Nodes, control.Node{
			ID: o.name(), Region: o.name(), Provider: o.name(), MaxChildren: o.next()%8 - 2, Delay: o.duration(),
			EgressMbps: o.number(), UsedMbps: o.number(), Draining: o.next()%4 == 0, Overloaded: o.next()%4 == 0,
		})
	}
	for range o.next() % 64 {
		s.Links = append(s.Links, control.Link{
			From: o.name(), To: o.name(), Delay: o.duration(), DelayP95: o.duration(),
			PriceUSDPerGB: o.number(), CapacityMbps: o.number(), Calm: o.next()%3 > 0,
		})
	}
	for range o.next() % 4 {
		k := control.Track{Name: o.name(), RateMbps: o.number(), Bound: o.duration(), Protect: control.Protection(o.next() % 6)}
		for range o.next() % 12 {
			k.Demand = append(k.Demand, control.Demand{Node: o.name(), Viewers: (o.next() - 20) << (o.next() % 56), Parent: o.name()})
		}
		s.Tracks = append(s.Tracks, k)
	}
	return s
}

func FuzzDecide(f *testing.F) {
	r := newRand(8)
	for range 40 {
		f.Add(randomBytes(r))
	}
	f.Fuzz(decideOdd)
}

func TestOddInput(t *testing.T) {
	r := newRand(9)
	for range scale(t, 1000) {
		decideOdd(t, randomBytes(r))
	}
}

func randomBytes(r *rand.Rand) []byte {
	b := make([]byte, 400+r.IntN(4000))
	for i := range b {
		b[i] = byte(r.IntN(256))
	}
	return b
}

// decideOdd has one controller decide about one odd snapshot after the other.
func decideOdd(t *testing.T, b []byte) {
	t.Helper()
	o := odd{b}
	c := control.New(control.Config{Origin: "n0", BlastShare: o.number(), GainCost: o.number(), MovedShare: o.number()})
	version := map[string]uint64{}
	for range 6 {
		s := o.snapshot(start)
		check := newChecker("n0", &s)
		check.loose, check.odd = true, true
		for _, p := range c.Decide(s) {
			if p.Version <= version[p.Track] {
				t.Fatalf("track %s: version %d after %d", p.Track, p.Version, version[p.Track])
			}
			version[p.Track] = p.Version
			if err := check.plans([]control.Plan{p}); err != nil {
				t.Fatal(err)
			}
		}
	}
}
