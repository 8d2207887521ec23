package node

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// garbageOften and garbageRare are values of GOGC: how much garbage there may be, in percent of
	// what is in use. Go's default, and half of it for a process that makes little garbage.
	garbageOften = 100
	garbageRare  = 50
	// garbageEvery is how long there must be no collection for the second.
	garbageEvery = 5 * time.Second
)

// TendMemory sets how much garbage the process of a node may have, until ctx ends; it is for
// the owner of a process, of whom there is one. A node with WebRTC viewers makes
// little: the media that it relays, once, however many watch. Go would let it lie for a
// minute, until it is half of the process. Half as much costs nothing to speak of where a collection is rare, but
// when viewers come, or QUIC connections make garbage all the time, it would cost processor
// time and latency: then the default holds.
func TendMemory(ctx context.Context) {
	ticker := time.NewTicker(garbageEvery)
	defer ticker.Stop()
	before := debug.SetGCPercent(garbageOften)
	defer debug.SetGCPercent(before)
	g := garbage{percent: garbageOften}
	cycles := []metrics.Sample{{Name: "/gc/cycles/total:gc-cycles"}}
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		metrics.Read(cycles)
		if g.next(cycles[0].Value.Uint64()) {
			debug.SetGCPercent(g.percent)
		}
	}
}

// garbage decides how much of it there may be.
type garbage struct {
	cycles  uint64 // collections so far
	percent int
}

// next is told from time to time how many collections there have been, and reports whether the
// percentage is another now.
func (g *garbage) next(cycles uint64) (changed bool) {
	percent := garbageOften
	if cycles == g.cycles {
		percent = garbageRare
	}
	changed = percent != g.percent
	g.cycles, g.percent = cycles, percent
	return changed
}
