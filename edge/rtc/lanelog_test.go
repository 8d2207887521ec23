package rtc

import (
	"testing"
	"time"

	"trellis/edge/framing"
)

// packetize puts a frame of n bytes into a slot.
func packetize(t *testing.T, o *laneObject, n int) {
	t.Helper()
	p, err := framing.NewPacketizer(framing.VP8, framing.PacketizerConfig{})
	if err == nil {
		err = p.Packetize(make([]byte, n), true, &o.payloads)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestLaneLogKeepsTheNewestGroup(t *testing.T) {
	l, now := newLaneLog(), time.Unix(1_700_000_000, 0)
	fill(t, l, 10, 0, now)
	fill(t, l, 10, 30_000, now.Add(300*time.Millisecond))
	if l.tail != 0 || l.groupStart != 10 || !l.whole {
		t.Fatalf("tail %d, group at %d, whole %v: the last group's packets should be kept for a while", l.tail, l.groupStart, l.whole)
	}
	fill(t, l, 1, 60_000, now.Add(2*time.Second))
	if l.tail != 20 || l.groupStart != 20 {
		t.Errorf("tail %d, group at %d: what is older than the history should be gone", l.tail, l.groupStart)
	}
}

func TestLaneLogIsBounded(t *testing.T) {
	l, now := newLaneLog(), time.Unix(1_700_000_000, 0)
	for range laneObjects + 10 {
		o := l.slot()
		packetize(t, o, 10)
		l.commit(l.head == 0, now)
	}
	if n := l.head - l.tail; n != laneObjects || len(l.ring) != laneObjects {
		t.Errorf("%d objects, room for %d", n, len(l.ring))
	}
	if l.whole {
		t.Error("a group whose start is gone counts as whole")
	}
	l = newLaneLog()
	for range 6 {
		o := l.slot()
		packetize(t, o, laneBytes/4)
		l.commit(false, now)
	}
	if l.bytes > laneBytes {
		t.Errorf("%d bytes kept", l.bytes)
	}
}

// TestLaneLogGrows: objects are where they were when there comes to be room for more, and a log
// of short groups has little room.
func TestLaneLogGrows(t *testing.T) {
	l, now := newLaneLog(), time.Unix(1_700_000_000, 0)
	fill(t, l, 10, 0, now)
	fill(t, l, 1, 30_000, now.Add(2*laneHistory)) // the first begins in the middle of the ring
	if l.tail == 0 {
		t.Fatal("nothing was evicted")
	}
	fill(t, l, 3*laneObjectsFirst, 33_000, now.Add(2*laneHistory))
	for p := l.at(l.tail).firstPacket; p < l.packets; p++ {
		object, i, ok := l.find(p)
		if o := l.at(object); !ok || o.firstPacket+uint64(i) != p || o.payloads.Len() == 0 {
			t.Fatalf("packet %d found at object %d, %d: %v", p, object, i, ok)
		}
	}
	if n := int(l.head - l.tail); n <= 2*laneObjectsFirst || len(l.ring) != 4*laneObjectsFirst {
		t.Errorf("%d objects, room for %d", n, len(l.ring))
	}
	l = newLaneLog()
	for i := range 3 * laneObjects { // of sound: each a group, 20 ms apart
		packetize(t, l.slot(), 10)
		l.commit(true, now.Add(time.Duration(i)*20*time.Millisecond))
	}
	if len(l.ring) != laneObjectsFirst {
		t.Errorf("sound of a second has room for %d objects", len(l.ring))
	}
}

func TestLaneLogFind(t *testing.T) {
	l, now := newLaneLog(), time.Unix(1_700_000_000, 0)
	fill(t, l, 7, 0, now)
	fill(t, l, 7, 21_000, now.Add(5*time.Second))
	for p := l.at(l.tail).firstPacket; p < l.packets; p++ {
		object, i, ok := l.find(p)
		if !ok || l.at(object).firstPacket+uint64(i) != p || i >= l.at(object).payloads.Len() {
			t.Errorf("packet %d found at object %d, %d: %v", p, object, i, ok)
		}
	}
	for _, p := range []uint64{0, l.packets, l.packets + 1} {
		if _, _, ok := l.find(p); ok {
			t.Errorf("packet %d found", p)
		}
	}
}
