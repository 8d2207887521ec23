package receive

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pion/rtcp"
)

// told reads reports until there is nothing more, as pion does, and returns the times of
// arrival by number.
func told(t *testing.T, a *Arrivals) map[uint16]time.Duration {
	t.Helper()
	got := map[uint16]time.Duration{}
	for reports := 0; ; reports++ {
		b, ok := a.Report(nil, 7)
		if !ok {
			return got
		}
		if len(b) > 1200 || reports > 100 {
			t.Fatalf("report %d is of %d bytes", reports, len(b))
		}
		var p rtcp.TransportLayerCC
		if err := p.Unmarshal(b); err != nil {
			t.Fatalf("%v in %x", err, b)
		}
		if p.SenderSSRC != 5 || p.MediaSSRC != 7 {
			t.Errorf("%+v", p)
		}
		number, left, deltas := p.BaseSequenceNumber, int(p.PacketStatusCount), p.RecvDeltas
		at := time.Duration(p.ReferenceTime) * 64 * time.Millisecond
		say := func(symbol uint16) {
			if left--; left < 0 {
				return
			}
			if symbol != notReceived {
				at += time.Duration(deltas[0].Delta) * time.Microsecond
				got[number], deltas = at, deltas[1:]
			}
			number++
		}
		for _, c := range p.PacketChunks {
			switch c := c.(type) {
			case *rtcp.RunLengthChunk:
				for range c.RunLength {
					say(c.PacketStatusSymbol)
				}
			case *rtcp.StatusVectorChunk:
				for _, s := range c.SymbolList {
					say(s)
				}
			}
		}
		if left > 0 || len(deltas) != 0 {
			t.Errorf("%d packets and %d times are left over in %v", left, len(deltas), p)
		}
	}
}

// TestArrivals: bursts, losses, packets that come late, pauses and wraps: what is told is
// what came, within the draft's resolution.
func TestArrivals(t *testing.T) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 2))
	a := NewArrivals(5, start)
	now, number := start, uint16(65_000)
	for round := range 300 {
		want := map[uint16]time.Duration{}
		var late []uint16
		for range rng.IntN(300) {
			switch rng.IntN(20) {
			case 0:
				now = now.Add(time.Duration(rng.IntN(200)) * time.Millisecond)
			case 1: // lost
				number += uint16(rng.IntN(30))
				continue
			case 2:
				late = append(late, number)
				number++
				continue
			}
			now = now.Add(time.Duration(rng.IntN(2000)) * time.Microsecond)
			a.Received(number, now)
			want[number] = now.Sub(start)
			number++
		}
		for _, n := range late {
			now = now.Add(time.Millisecond)
			a.Received(n, now)
			a.Received(n, now.Add(time.Second)) // twice: the first counts
			want[n] = now.Sub(start)
		}
		if round%50 == 20 {
			now = now.Add(10 * time.Second)
		}
		got := told(t, a)
		for n, at := range want {
			if d := (got[n] - at).Abs(); d > 130*time.Microsecond {
				t.Fatalf("seed %d: round %d: number %d came after %v, not %v", seed, round, n, at, got[n])
			}
		}
		if len(got) != len(want) {
			t.Fatalf("seed %d: round %d: %d were told of %d", seed, round, len(got), len(want))
		}
	}
}

// TestArrivalsAreBounded: numbers that jump cost no more than the window, and nothing is
// told that did not come.
func TestArrivalsAreBounded(t *testing.T) {
	a := NewArrivals(5, start)
	for i := range 1000 {
		a.Received(uint16(i*30_000), start.Add(time.Duration(i)*time.Millisecond))
	}
	if got := told(t, a); len(got) == 0 || len(got) > arrivalsKept {
		t.Errorf("%d were told", len(got))
	}
	if n := testing.AllocsPerRun(10, func() {
		for i := range 100 {
			a.Received(uint16(i*7), start.Add(time.Hour))
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzArrivals: whatever comes when, all of it can be told.
func FuzzArrivals(f *testing.F) {
	f.Add([]byte{0, 1, 0, 0, 0, 2, 0, 9, 0xff, 0xff, 0xff, 0xff, 0x80, 0, 1, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		a := NewArrivals(5, start)
		now := start
		for ; len(b) >= 4; b = b[4:] {
			now = now.Add(time.Duration(int16(binary.BigEndian.Uint16(b[2:]))) * 100 * time.Microsecond)
			a.Received(binary.BigEndian.Uint16(b), now)
			if b[3]%16 == 0 {
				told(t, a)
			}
		}
		told(t, a)
	})
}
