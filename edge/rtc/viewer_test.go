package rtc

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtp"

	"trellis/edge/framing"
	"trellis/edge/rtc/transport"
)

// sentPacket is a packet as a viewer would get it.
type sentPacket struct {
	rtp.Header
	payload []byte
	index   uint64
}

// recorder keeps what is written to a viewer.
type recorder struct{ packets []sentPacket }

func (r *recorder) Send(_ *transport.Batch, header, payload []byte, ssrc uint32, index uint64) error {
	p := sentPacket{payload: slices.Clone(payload), index: index}
	n, err := p.Unmarshal(header)
	if err == nil && (n != len(header) || p.SSRC != ssrc || p.SequenceNumber != uint16(index)) {
		err = fmt.Errorf("header %x is not that of packet %d of %d", header, index, ssrc)
	}
	r.packets = append(r.packets, p)
	return err
}

func (r *recorder) SendRTCP(*transport.Batch, []byte) error { return nil }

// fill appends n objects of a few packets each to a log, one every 3000 ticks,
// starting with ticks.
func fill(t *testing.T, l *laneLog, n int, ticks int64, now time.Time) {
	t.Helper()
	p, err := framing.NewPacketizer(framing.VP8, framing.PacketizerConfig{MaxPayload: 100})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		o := l.slot()
		frame := bytes.Repeat([]byte{byte(i)}, 250)
		if err := p.Packetize(frame, i == 0, &o.payloads); err != nil {
			t.Fatal(err)
		}
		o.ticks = ticks + int64(i)*3000
		l.commit(i == 0, now)
	}
}

// sendAll brings a viewer to the head of the log.
func sendAll(t *testing.T, v *viewer, l *laneLog) {
	t.Helper()
	for ; v.next < l.head; v.next++ {
		o := l.at(v.next)
		for i := range o.payloads.Len() {
			if err := v.write(nil, o, v.next, i, time.Time{}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// checkStream checks what every viewer must see: sequence numbers without a hole,
// timestamps that rise from frame to frame, one marker per frame.
func checkStream(t *testing.T, packets []sentPacket) {
	t.Helper()
	for i, p := range packets[1:] {
		last := packets[i]
		if p.SequenceNumber != last.SequenceNumber+1 {
			t.Errorf("packet %d: sequence %d after %d", i+1, p.SequenceNumber, last.SequenceNumber)
		}
		if rise := int32(p.Timestamp - last.Timestamp); last.Marker && rise <= 0 || !last.Marker && rise != 0 {
			t.Errorf("packet %d: timestamp rises by %d, after marker %v", i+1, rise, last.Marker)
		}
	}
}

func testViewer(r *recorder) *viewer {
	return newViewer(viewerConfig{
		out: r, ssrc: 1, rtxSSRC: 2, pt: 96, rtxPT: 97, clockRate: 90_000,
	})
}

func TestViewerCatchesUpToTheLiveEdge(t *testing.T) {
	l, now := newLaneLog(), time.Unix(1_700_000_000, 0)
	fill(t, l, 30, 900_000, now)
	r := &recorder{}
	v := testViewer(r)
	v.begin(l, l.groupStart, 100*time.Microsecond)
	sendAll(t, v, l)
	checkStream(t, r.packets)
	// The burst begins at the live edge and takes as long as its packets, 9 ticks each.
	edge := v.tsBase + 900_000 + 29*3000
	if d := int32(r.packets[0].Timestamp - edge); d > 0 || d < -30 {
		t.Errorf("the burst begins %d ticks after the live edge", d)
	}
	last := l.at(l.head - 1)
	if got, want := r.packets[len(r.packets)-1].Timestamp-r.packets[0].Timestamp, uint32(29+9*last.firstPacket); got != want {
		t.Errorf("the burst of 30 frames spans %d ticks, want %d", got, want)
	}
	live := len(r.packets)
	fill(t, l, 1, 900_000+30*3000, now)
	sendAll(t, v, l)
	checkStream(t, r.packets)
	if d := r.packets[live].Timestamp - edge; d != 3000 {
		t.Errorf("the first live frame is %d ticks after the live edge", d)
	}
}

func TestViewerRestart(t *testing.T) {
	l, now := newLaneLog(), time.Unix(1_700_000_000, 0)
	fill(t, l, 20, 0, now)
	r := &recorder{}
	v := testViewer(r)
	v.begin(l, l.groupStart, 100*time.Microsecond)
	sendAll(t, v, l)
	first := len(r.packets)
	v.begin(l, l.groupStart, 100*time.Microsecond) // it asked for a key frame
	sendAll(t, v, l)
	if again := len(r.packets) - first; again != first {
		t.Fatalf("%d packets again, %d the first time", again, first)
	}
	for i := range first {
		if !bytes.Equal(r.packets[i].payload, r.packets[first+i].payload) {
			t.Fatalf("packet %d differs the second time", i)
		}
	}
	fill(t, l, 10, 20*3000, now)
	sendAll(t, v, l)
	checkStream(t, r.packets)
	// What was sent before the restart can still be asked for.
	for _, i := range []int{0, first - 1, first, len(r.packets) - 1} {
		p := r.packets[i]
		packet, run, ok := v.locate(p.SequenceNumber)
		if !ok {
			t.Fatalf("packet %d is forgotten", i)
		}
		object, j, ok := l.find(packet)
		if !ok {
			t.Fatalf("packet %d is not in the log", i)
		}
		n := len(r.packets)
		if err := v.rewrite(nil, l.at(object), object, j, p.SequenceNumber, run, now); err != nil {
			t.Fatal(err)
		}
		got := r.packets[n]
		osn := uint16(got.payload[0])<<8 | uint16(got.payload[1])
		if got.SSRC != 2 || got.PayloadType != 97 || osn != p.SequenceNumber || got.Timestamp != p.Timestamp ||
			got.Marker != p.Marker || !bytes.Equal(got.payload[2:], p.payload) {
			t.Errorf("packet %d comes back as %+v, was %+v", i, got.Header, p.Header)
		}
		r.packets = r.packets[:n]
	}
	if _, _, ok := v.locate(r.packets[0].SequenceNumber - 1); ok {
		t.Error("a packet before the first was found")
	}
	if _, _, ok := v.locate(uint16(v.seq)); ok {
		t.Error("a packet that was not sent yet was found")
	}
}

func TestViewerKeepsItsTimelineThroughAJump(t *testing.T) {
	l, now := newLaneLog(), time.Unix(1_700_000_000, 0)
	fill(t, l, 5, 9_000_000, now)
	r := &recorder{}
	v := testViewer(r)
	v.begin(l, l.groupStart, 100*time.Microsecond)
	sendAll(t, v, l)
	// Another publisher: its times begin anew.
	v.run.shift += 9_000_000 + 5*3000
	v.begin(l, l.head, 0)
	fill(t, l, 5, 0, now)
	sendAll(t, v, l)
	checkStream(t, r.packets)
}

// TestUnfinishedFrame begins again in the middle of a frame: without a hole in the
// sequence numbers a player would take the beginning of the frame for all of it.
func TestUnfinishedFrame(t *testing.T) {
	l, now := newLaneLog(), time.Unix(1_700_000_000, 0)
	fill(t, l, 3, 0, now)
	r := &recorder{}
	v := testViewer(r)
	v.begin(l, l.groupStart, 0)
	o := l.at(v.next)
	if o.payloads.Len() < 2 {
		t.Fatal("the frame has one packet")
	}
	if err := v.write(nil, o, v.next, 0, now); err != nil {
		t.Fatal(err)
	}
	v.packet = 1
	v.begin(l, l.groupStart, 0)
	sendAll(t, v, l)
	if d := r.packets[1].SequenceNumber - r.packets[0].SequenceNumber; d != 2 {
		t.Errorf("the next packet has a sequence number %d higher, want a hole of one", d)
	}
	if r.packets[1].Timestamp == r.packets[0].Timestamp {
		t.Error("the next frame has the same timestamp")
	}
	hole := r.packets[0].SequenceNumber + 1
	if packet, _, ok := v.locate(hole); ok {
		t.Errorf("the hole is taken for packet %d", packet)
	}
}

// TestFrameIsFinished restarts a viewer that has half of a frame: the rest comes first.
func TestFrameIsFinished(t *testing.T) {
	s, r := newLadderStory(t), &recorder{}
	s.step("video/f")
	v := s.join(r, aim{layer: s.layer("video/f"), slice: 3, gap: 10 * time.Millisecond, burst: 1 << 20})
	s.step()
	s.step()
	left := func() int { return v.run.log.at(v.next).payloads.Len() - v.packet }
	for range 1000 {
		if v.packet > 0 && left() <= 3 {
			break
		}
		s.now = s.now.Add(10 * time.Millisecond)
		s.lane.advance(s.now)
		if v.state == viewerLive {
			s.step()
		}
	}
	if v.packet == 0 {
		t.Fatal("no frame is sent in slices")
	}
	s.tell(laneCommand{kind: commandRestart, viewer: v})
	if v.restarts != 1 {
		t.Error("the viewer was not restarted")
	}
	s.step()
	checkStream(t, r.packets)
}
