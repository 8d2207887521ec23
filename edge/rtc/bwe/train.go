package bwe

import "time"

// train is packets that were sent together.
type train struct {
	sentFirst, sentLast time.Duration
	arrFirst, arrLast   time.Duration
	firstSize           int // of the one that arrived first
	bytes               int // that arrived
	packets, lost       int
	ticks               int // arrivals at different times
	overtook            int // that did not arrive in the order of sending
}

// add takes a packet of the train. They come in the order of sending.
func (t *train) add(r *Result) {
	if t.packets+t.lost == 0 {
		t.sentFirst = r.Sent
	}
	t.sentLast = max(t.sentLast, r.Sent)
	if !r.Received {
		t.lost++
		return
	}
	if t.packets > 0 && r.Arrived < t.arrLast {
		t.overtook++
	}
	switch {
	case t.packets == 0:
		t.arrFirst, t.arrLast, t.firstSize, t.ticks = r.Arrived, r.Arrived, int(r.Size), 1
	case r.Arrived < t.arrFirst:
		t.arrFirst, t.firstSize = r.Arrived, int(r.Size)
		t.ticks++
	case r.Arrived > t.arrLast:
		t.arrLast = r.Arrived
		t.ticks++
	}
	t.packets++
	t.bytes += int(r.Size)
}

// proven is a rate that the path carried the train at, at the least: the time
// counts from when it was sent, less the time that any packet takes. Whatever held
// it up, a queue, or a radio that releases packets in lumps, makes it less; nothing
// makes it more, as SQP (Ray et al. 2022, Section 3.1) found.
func (t *train) proven(base, jitter time.Duration) float64 {
	took := max(t.arrLast-t.arrFirst, t.arrLast-t.sentFirst-base, deltaTick) + jitter
	if t.lumps() {
		// Its own times say little, and the least delay may never have been seen.
		took += lumpAllowance + 2*jitter
	}
	return rate(int64(t.bytes-t.firstSize), took)
}

// lumps says whether many packets arrived at the same time as another.
func (t *train) lumps() bool { return t.ticks*4 < t.packets*3 }

// dispersion is the rate at which the train came out of the bottleneck, at the
// most: as if jitter had stretched it and lost packets had been in it.
func (t *train) dispersion(jitter time.Duration) (bps float64, ok bool) {
	took := t.arrLast - t.arrFirst - 4*jitter
	if took < 2*deltaTick || t.lumps() {
		return 0, false
	}
	all := float64(t.bytes) * float64(t.packets+t.lost) / float64(t.packets)
	return rate(int64(all)-int64(t.firstSize), took), true
}

const (
	lumpAllowance = 5 * time.Millisecond
	// trainPackets makes a train: three gaps between them.
	trainPackets = 4
	// trainPart is half the time for which a proven rate counts.
	trainPart = 3 * time.Second
	// trainCount trains in a row must be slow to say that the path is, none of
	// them older than trainAge.
	trainCount = 8
	trainAge   = 6 * time.Second
)

// trains is what trains have shown.
type trains struct {
	open train
	// best proven rate of the current part of the time, and of the one before.
	best   [2]float64
	turned time.Duration
	// the latest dispersions, in a ring
	latest [trainCount]struct {
		at  time.Duration
		bps float64 // zero for one too quick to tell
	}
	count int
	// opening is what the first train showed, as far as it has arrived.
	opening struct {
		known bool
		bps   float64
	}
}

// openingPackets of the first train tell how fast it came out: where delays differ at random, one
// in 120 such trains is in order.
const openingPackets = 5

// begin looks at the first train, which need not be over: at what it has shown so far.
// overtaking says that packets are known to overtake one another.
func (t *trains) begin(jitter time.Duration, overtaking bool) {
	switch {
	case t.opening.known:
	case overtaking || t.open.overtook > 0:
		t.opening.known = true
	case t.open.packets >= openingPackets:
		t.opening.known = true
		t.opening.bps, _ = t.open.dispersion(jitter)
	}
}

// next says whether a packet begins a new train.
func (t *trains) begins(r *Result) bool {
	return t.open.packets+t.open.lost > 0 && r.Sent-t.open.sentFirst > burstSpan
}

// prove remembers a proven rate.
func (t *trains) prove(now time.Duration, bps float64) {
	t.turn(now)
	t.best[0] = max(t.best[0], bps)
}

func (t *trains) turn(now time.Duration) {
	if age := now - t.turned; age >= trainPart {
		t.best[1] = t.best[0]
		if age >= 2*trainPart {
			t.best[1] = 0
		}
		t.best[0], t.turned = 0, now
	}
}

// proven is the best rate proven in the last 3 to 6 s.
func (t *trains) proven(now time.Duration) float64 {
	t.turn(now)
	return max(t.best[0], t.best[1])
}

// disperse remembers a train's dispersion.
func (t *trains) disperse(now time.Duration, bps float64) {
	l := &t.latest[t.count%trainCount]
	l.at, l.bps = now, bps
	t.count++
}

// fastest is the quickest dispersion of the last eight trains, if there are so
// many lately and all could be measured.
func (t *trains) fastest(now time.Duration) (bps float64, ok bool) {
	if t.count < trainCount {
		return 0, false
	}
	for _, l := range t.latest {
		if l.bps == 0 || now-l.at > trainAge {
			return 0, false
		}
		bps = max(bps, l.bps)
	}
	return bps, true
}

// forget drops what was proven: the path is not what it was.
func (t *trains) forget() {
	t.best = [2]float64{}
	t.count = 0
}
