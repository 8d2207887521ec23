//go:build !race

package rtc

import (
	"testing"
	"time"

	"github.com/pion/rtcp"

	"trellis/edge/rtc/bwe"
)

// TestLaneAllocatesNothingPerViewer compares a lane of one viewer with one of
// two hundred: packets, the log of what was sent, and reports.
func TestLaneAllocatesNothingPerViewer(t *testing.T) {
	allocs := func(viewers int) float64 {
		out := &discard{}
		l := newTestLane(t, viewers, out)
		for _, v := range l.viewers {
			v.cfg.sent, v.cfg.transport = bwe.NewLog(time.Now()), 4
		}
		next := feed(l, 10_000)
		now := time.Unix(1_700_000_000, 0)
		step := func() {
			next()
			now = now.Add(2 * reportEvery)
			l.advance(now)
		}
		for range 2 * laneObjects { // until every slot has its memory
			step()
		}
		n := testing.AllocsPerRun(100, step)
		if out.packets == 0 {
			t.Fatal("nothing was sent")
		}
		return n
	}
	if one, many := allocs(1), allocs(200); many > one {
		t.Errorf("%v allocations per object with one viewer, %v with 200", one, many)
	}
}

// TestRepairsAllocateNothingPerViewer does the same with viewers that are sent repair packets.
func TestRepairsAllocateNothingPerViewer(t *testing.T) {
	allocs := func(viewers int) float64 {
		out := &discard{}
		next := feed(protectedLane(t, viewers, out, 0.3), 10_000)
		for range 2 * laneObjects {
			next()
		}
		return testing.AllocsPerRun(100, next)
	}
	if one, many := allocs(1), allocs(200); many > one {
		t.Errorf("%v allocations per object with one viewer, %v with 200", one, many)
	}
}

// TestSoundTwiceAllocatesNothingPerViewer does the same with sound that is sent
// twice.
func TestSoundTwiceAllocatesNothingPerViewer(t *testing.T) {
	allocs := func(n int) float64 {
		out := &discard{}
		var viewers []*viewer
		for range n {
			v := soundViewer(out, 109, 108)
			v.red = true
			viewers = append(viewers, v)
		}
		next := speak(soundLane(t, viewers...))
		for range 2 * laneObjects {
			next()
		}
		return testing.AllocsPerRun(100, next)
	}
	if one, many := allocs(1), allocs(200); many > one {
		t.Errorf("%v allocations per object with one viewer, %v with 200", one, many)
	}
}

// TestFeedbackAllocatesNothing: a compound packet with a NACK, a report and feedback
// on what has arrived, on its way to the lane that sends again what is missing, and
// to the estimator's reader.
func TestFeedbackAllocatesNothing(t *testing.T) {
	out := &discard{}
	l := newTestLane(t, 1, out)
	v := l.viewers[0]
	v.cfg.rtxSSRC, v.cfg.rtxPT = 2, 97
	v.cfg.sent, v.cfg.transport = bwe.NewLog(time.Now()), 4
	next := feed(l, 10_000)
	next()
	track := &viewerTrack{viewer: v, cfg: v.cfg}
	track.swap(&laneHold{lane: l})
	track.joined.Store(true)
	c := &viewerConn{session: &Session{edge: &Edge{metrics: l.metrics}}, steering: &steering{}, asks: newAsks()}
	c.sections.Store(&[]answered{{track: track}})
	compound := marshal(t, &rtcp.ReceiverReport{SSRC: 1, Reports: []rtcp.ReceptionReport{{SSRC: 1}}})
	compound = append(compound, marshal(t, &rtcp.TransportLayerNack{
		SenderSSRC: 1, MediaSSRC: 1, Nacks: []rtcp.NackPair{{PacketID: uint16(v.seq - 3), LostPackets: 1}},
	})...)
	arrived := marshal(t, &rtcp.TransportLayerCC{
		Header:     rtcp.Header{Count: rtcp.FormatTCC, Type: rtcp.TypeTransportSpecificFeedback, Length: 5},
		SenderSSRC: 1, MediaSSRC: 1, PacketStatusCount: 1,
		PacketChunks: []rtcp.PacketStatusChunk{&rtcp.RunLengthChunk{PacketStatusSymbol: rtcp.TypeTCCPacketReceivedSmallDelta, RunLength: 1}},
		RecvDeltas:   []*rtcp.RecvDelta{{Type: rtcp.TypeTCCPacketReceivedSmallDelta}},
	})
	reader, results := bwe.NewReader(v.cfg.sent), []bwe.Result(nil)
	now := time.Now()
	before := out.packets
	n := testing.AllocsPerRun(100, func() {
		c.read(compound, time.Now())
		if err := l.command(<-l.commands, now); err != nil {
			t.Fatal(err)
		}
		var err error
		if results, err = reader.Read(results[:0], now, arrived); err != nil || len(results) != 1 {
			t.Fatalf("%d results, %v", len(results), err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations for a compound packet", n)
	}
	if out.packets == before {
		t.Error("nothing was sent again")
	}
}
