package rtc

import (
	"sort"
	"time"

	"trellis/edge/framing"
)

const (
	// laneObjects bounds the objects that a lane keeps: a group of 17 s at 60
	// frames per second. A power of two. There is room for a few at first, another
	// power of two: most groups take two seconds.
	laneObjects      = 1024
	laneObjectsFirst = 64
	// laneBytes bounds their payload: a group of 8 s at 16 Mbit/s.
	laneBytes = 16 << 20
	// laneHistory is how long packets of earlier groups are kept for viewers that
	// ask for them again: a few round trips.
	laneHistory = time.Second
	// keepBuffer is the largest payload memory that is kept for reuse, and
	// keepBuffers how many: beyond that, all of it would in time grow to the size of
	// key frames.
	keepBuffer  = 32 << 10
	keepBuffers = 64
)

// laneObject is a packetized object.
type laneObject struct {
	payloads    framing.Payloads
	firstPacket uint64           // number of its first packet in the lane
	ticks       int64            // presentation time in RTP clock units
	red         framing.Payloads // of sound: the object together with the one before; empty without
	capture     captureStamp
	appended    time.Time
}

// laneLog is what a lane has packetized and still keeps: the newest group from
// its first object, for viewers that join, and what was sent last, for viewers
// that lost some of it. Objects and packets are numbered from the lane's start.
// It belongs to the lane's goroutine.
type laneLog struct {
	ring       []laneObject // its length is a power of two
	tail, head uint64       // objects that are kept: tail <= i < head
	packets    uint64       // number of the next packet
	bytes      int
	groupStart uint64 // first object of the newest group
	whole      bool   // groupStart is kept: a viewer can begin there

	free []framing.Payloads // memory of evicted objects
}

func newLaneLog() *laneLog { return &laneLog{ring: make([]laneObject, laneObjectsFirst)} }

func (l *laneLog) at(i uint64) *laneObject { return &l.ring[i&uint64(len(l.ring)-1)] }

// grow makes room for twice as many objects. Pointers to those that are there are void.
func (l *laneLog) grow() {
	before := *l
	l.ring = make([]laneObject, 2*len(l.ring))
	for i := l.tail; i < l.head; i++ {
		*l.at(i) = *before.at(i)
	}
}

// slot returns the place for the next object, with memory to reuse. It counts
// only after commit.
func (l *laneLog) slot() *laneObject {
	switch n := l.head - l.tail; {
	case n == laneObjects:
		l.evict()
	case n == uint64(len(l.ring)):
		l.grow()
	}
	o := l.at(l.head)
	if n := len(l.free); n > 0 {
		o.payloads, l.free = l.free[n-1], l.free[:n-1]
	}
	o.payloads.Reset()
	o.red.Reset()
	return o
}

// commit adds the object in the slot.
func (l *laneLog) commit(beginsGroup bool, now time.Time) {
	o := l.at(l.head)
	o.firstPacket, o.appended = l.packets, now
	l.packets += uint64(o.payloads.Len())
	l.bytes += o.payloads.Bytes()
	if beginsGroup {
		l.groupStart, l.whole = l.head, true
	}
	l.head++
	for l.tail+1 < l.head && l.bytes > laneBytes {
		l.evict()
	}
	for l.tail < l.groupStart && now.Sub(l.at(l.tail).appended) > laneHistory {
		l.evict()
	}
}

func (l *laneLog) evict() {
	o := l.at(l.tail)
	size := o.payloads.Bytes()
	l.bytes -= size
	if size <= keepBuffer && len(l.free) < keepBuffers {
		l.free = append(l.free, o.payloads)
	}
	o.payloads = framing.Payloads{}
	if l.tail == l.groupStart {
		l.whole = false
	}
	l.tail++
}

// passes says whether a viewer that is to be sent object next, a few packets at a
// time, had better go on with the newest group: that has begun, and there is more than
// that left of those before it, and than passLeast.
func (l *laneLog) passes(next uint64, few int) bool {
	return few > 0 && l.whole && next < l.groupStart &&
		l.at(l.groupStart).firstPacket-l.at(next).firstPacket > uint64(max(few, passLeast))
}

// passLeast packets are a few frames at the most: nobody leaves out pictures for so
// little.
const passLeast = 12

// broken says that the newest group has a hole: nobody can begin in it.
func (l *laneLog) broken() { l.whole = false }

// find returns the object that holds a packet, and the packet's place in it.
func (l *laneLog) find(packet uint64) (object uint64, index int, ok bool) {
	if l.tail == l.head || packet < l.at(l.tail).firstPacket || packet >= l.packets {
		return 0, 0, false
	}
	after := sort.Search(int(l.head-l.tail), func(i int) bool { return l.at(l.tail+uint64(i)).firstPacket > packet })
	object = l.tail + uint64(after) - 1
	return object, int(packet - l.at(object).firstPacket), true
}
