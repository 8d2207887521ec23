//go:build !race

package rtc

import (
	"math/rand/v2"
	"runtime"
	"testing"
	"time"
)

// TestSoak keeps a lane on air for an hour of groups of a second, with viewers
// that come, go, lose packets and ask for key frames all the time: what is in use
// does not grow, and nobody is left behind.
func TestSoak(t *testing.T) {
	const (
		groups, perGroup = 3600, 30
		audience         = 40
	)
	rng := rand.New(rand.NewPCG(1, 2))
	out := &discard{}
	l := newTestLane(t, 0, out)
	la := l.layers[0]
	next := feed(l, 3000)
	now := time.Unix(1_700_000_000, 0)
	do := func(c laneCommand) {
		t.Helper()
		if err := l.command(c, now); err != nil {
			t.Fatal(err)
		}
	}
	var heap []float64 // per 600 groups
	for g := range groups {
		for range 2 {
			v := newViewer(viewerConfig{out: out, ssrc: 1, rtxSSRC: 2, pt: 96, rtxPT: 97, clockRate: 90_000})
			do(laneCommand{kind: commandJoin, viewer: v})
		}
		for len(l.viewers) > audience {
			do(laneCommand{kind: commandLeave, viewer: l.viewers[rng.IntN(len(l.viewers))]})
		}
		for range perGroup {
			next()
			now = now.Add(33_333 * time.Microsecond) // as feed does
			l.advance(now)
			v := l.viewers[rng.IntN(len(l.viewers))]
			lost := newLostPackets([]byte{byte(v.seq >> 8), byte(v.seq), 0xff, 0xff})
			do(laneCommand{kind: commandResend, viewer: v, lost: lost})
			do(laneCommand{kind: commandRestart, viewer: l.viewers[rng.IntN(len(l.viewers))]})
		}
		if g%600 == 599 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			heap = append(heap, float64(m.HeapAlloc))
		}
	}
	for _, v := range l.viewers {
		if v.layer != la || now.Sub(v.last) > 2*time.Second {
			t.Errorf("a viewer was sent nothing for %v", now.Sub(v.last))
		}
	}
	// The first is before all slots of the log have their memory.
	if growth := (heap[len(heap)-1] - heap[1]) * 1000 / (600 * float64(len(heap)-2)); growth > 64<<10 {
		t.Errorf("%.0f bytes more with each 1,000 groups: %v", growth, heap)
	}
}
