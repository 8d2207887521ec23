package flexfec_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	pionfec "github.com/pion/interceptor/pkg/flexfec"
	"github.com/pion/rtp"

	"trellis/edge/rtc/flexfec"
	"trellis/edge/rtc/flexfec/flexfectest"
)

const ssrc = 0xA1B2C3D4

// group returns n packets of a stream with extensions, from a sequence number on.
// Sizes differ, as those of small frames do.
func group(tb testing.TB, rng *rand.Rand, n int, seq uint16) (packets []flexfec.Packet, whole [][]byte) {
	tb.Helper()
	for i := range n {
		p := rtp.Packet{
			Header: rtp.Header{
				Version: 2, Marker: i%3 == 2, PayloadType: 96, SequenceNumber: seq + uint16(i), //nolint:gosec // small
				Timestamp: 1000 + uint32(i/3)*3000, SSRC: ssrc, //nolint:gosec // small
			},
			Payload: make([]byte, 1+rng.IntN(1160)),
		}
		for j := range p.Payload {
			p.Payload[j] = byte(rng.Uint32())
		}
		if err := p.SetExtension(3, []byte{byte(i), 0, 0}); err != nil {
			tb.Fatal(err)
		}
		b, err := p.Marshal()
		if err != nil {
			tb.Fatal(err)
		}
		h := len(b) - len(p.Payload)
		packets, whole = append(packets, flexfec.Packet{Header: b[:h], Payload: b[h:]}), append(whole, b)
	}
	return packets, whole
}

// TestWhatIsLostIsFound loses packets of both kinds at random, with sequence
// numbers that wrap. Whatever the decoder finds must be what was lost, and it must
// find as much as the code is good for.
func TestWhatIsLostIsFound(t *testing.T) {
	for _, c := range []struct {
		n, m int
		loss float64
		left float64 // share of the packets that may still be missing, at most
	}{
		{1, 1, 0.05, 0.006},
		{4, 1, 0.05, 0.014},
		{8, 2, 0.05, 0.010},
		{10, 3, 0.05, 0.007},
		{8, 4, 0.05, 0.004},
		{16, 4, 0.05, 0.0075},
		{24, 6, 0.05, 0.0052},
		{24, 12, 0.05, 0.0012},
		{40, 10, 0.05, 0.003},
		{40, 20, 0.10, 0.0055},
		{40, 1, 0.01, 0.0045},
	} {
		t.Run(fmt.Sprintf("%d of %d", c.m, c.n), func(t *testing.T) {
			// Always the same losses: a share of them is compared with a bound.
			seed := uint64(100*c.n + c.m) //nolint:gosec // small
			rng := rand.New(rand.NewPCG(seed, 1))
			d := flexfectest.Decoder{SSRC: ssrc}
			left, lost, all := 0, 0, 0
			var buf []byte
			for round := range 24_000 / c.n {
				packets, whole := group(t, rng, c.n, uint16(60_000+round*c.n)) //nolint:gosec // it wraps
				missing := map[string]bool{}
				find := func(found [][]byte) {
					for _, f := range found {
						if !missing[string(f)] {
							t.Fatalf("seed %d, round %d: found %x, which was not lost", seed, round, f[:20])
						}
						delete(missing, string(f))
					}
				}
				for _, p := range whole {
					all++
					if rng.Float64() < c.loss {
						lost++
						missing[string(p)] = true
						continue
					}
					find(d.Media(p))
				}
				for r := range c.m {
					buf = flexfec.Append(buf[:0], packets, r, c.m)
					if rng.Float64() < c.loss {
						continue
					}
					found, err := d.Repair(buf)
					if err != nil {
						t.Fatal(err)
					}
					find(found)
				}
				left += len(missing)
			}
			share := float64(left) / float64(all)
			t.Logf("%d of %d packets lost, %.3f %% left", lost, all, 100*share)
			if share > c.left {
				t.Errorf("seed %d: %.3f %% of the packets are still missing, want at most %.3f %%", seed, 100*share, 100*c.left)
			}
		})
	}
}

// TestSameAsPions compares with the encoder of pion, where one repair packet covers all.
func TestSameAsPions(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, 2, 14, 15, 16, 40} {
		packets, whole := group(t, rng, n, 65530)
		media := make([]rtp.Packet, n)
		for i, b := range whole {
			if err := media[i].Unmarshal(b); err != nil {
				t.Fatal(err)
			}
		}
		want := pionfec.NewFlexEncoder03(118, 5).EncodeFec(media, 1)
		if len(want) != 1 {
			t.Fatalf("pion makes %d packets of %d", len(want), n)
		}
		if got := flexfec.Append(nil, packets, 0, 1); !bytes.Equal(got, want[0].Payload) {
			t.Errorf("%d packets:\n got %x\nwant %x", n, got[:40], want[0].Payload[:40])
		}
	}
}

// TestHoles has a group whose numbers have a hole, as where a frame was given up.
func TestHoles(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	a, wholeA := group(t, rng, 3, 100)
	b, wholeB := group(t, rng, 2, 100+flexfec.MaxSpan-2)
	d := flexfectest.Decoder{SSRC: ssrc}
	for _, p := range [][]byte{wholeA[0], wholeA[1], wholeA[2], wholeB[0]} {
		d.Media(p)
	}
	found, err := d.Repair(flexfec.Append(nil, append(a, b...), 0, 1))
	if err != nil || len(found) != 1 || !bytes.Equal(found[0], wholeB[1]) {
		t.Errorf("found %d packets, %v", len(found), err)
	}
}

// TestCover: each packet is covered, by repairs that there are, and as long as
// there are enough pairs no two packets by the same ones.
func TestCover(t *testing.T) {
	for m := 1; m <= flexfec.MaxRepairs; m++ {
		seen := map[[2]int]int{}
		for i := range flexfec.MaxPackets {
			a, b := flexfec.Cover(i, m)
			if a < 0 || a >= m || b < 0 || b >= m || m >= 4 && a == b {
				t.Fatalf("packet %d of %d repairs is in %d and %d", i, m, a, b)
			}
			key := [2]int{min(a, b), max(a, b)}
			if before, ok := seen[key]; ok && len(seen) < m*(m-1)/2 {
				t.Errorf("%d repairs: packets %d and %d are covered alike", m, before, i)
			}
			seen[key] = i
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	packets, _ := group(b, rand.New(rand.NewPCG(5, 6)), 16, 1)
	buf := make([]byte, 0, 2000)
	b.ReportAllocs()
	for b.Loop() {
		for r := range 4 {
			buf = flexfec.Append(buf[:0], packets, r, 4)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(16*b.N), "ns/media-packet")
}

// BenchmarkPion is pion's encoder with as many packets.
func BenchmarkPion(b *testing.B) {
	_, whole := group(b, rand.New(rand.NewPCG(5, 6)), 16, 1)
	media := make([]rtp.Packet, len(whole))
	for i := range whole {
		if err := media[i].Unmarshal(whole[i]); err != nil {
			b.Fatal(err)
		}
	}
	e := pionfec.NewFlexEncoder03(118, 5)
	b.ReportAllocs()
	for b.Loop() {
		e.EncodeFec(media, 4)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(16*b.N), "ns/media-packet")
}
