package fanout

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
)

// inspected is an inspector with somebody who sends to it.
type inspected struct {
	*inspector

	t   *testing.T
	out *srtp.Context
	in  *srtp.Context
	now time.Time
}

func inspecting(t *testing.T) *inspected {
	t.Helper()
	key, salt := make([]byte, 16), make([]byte, 12)
	of := func() *srtp.Context {
		c, err := srtp.CreateContext(key, salt, srtp.ProtectionProfileAeadAes128Gcm)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	return &inspected{
		inspector: &inspector{all: &tally{}, rng: rand.New(rand.NewPCG(1, 2)), streams: map[uint32]*checked{}, missing: map[uint16]*wanted{}},
		t:         t, out: of(), in: of(), now: time.Unix(1000, 0),
	}
}

// send brings a packet, and says what became of it.
func (i *inspected) send(pt uint8, seq uint16, ts uint32, payload ...byte) fate {
	i.t.Helper()
	raw, err := (&rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: pt, SequenceNumber: seq, Timestamp: ts, SSRC: uint32(pt)}, Payload: payload}).Marshal()
	if err != nil {
		i.t.Fatal(err)
	}
	sealed, err := i.out.EncryptRTP(nil, raw, nil)
	if err != nil {
		i.t.Fatal(err)
	}
	i.now = i.now.Add(time.Millisecond)
	return i.packet(i.in, sealed, i.now)
}

// TestInspector: it counts what is wrong with a stream, and nothing else.
func TestInspector(t *testing.T) {
	i := inspecting(t)
	for n := range uint32(3 * 1 << 16) {
		i.send(videoType, uint16(65_000+n), n/9*3000)
	}
	if a := i.all; a.packets.Load() != 3<<16 || a.wraps.Load() != 3 || a.most.Load() != 3 || a.unopened.Load()+a.holes.Load()+a.signs.Load()+a.doubles.Load()+a.backwards.Load() != 0 {
		t.Fatalf("three wraps: %d packets, %d wraps, at most %d, and %s", a.packets.Load(), a.wraps.Load(), a.most.Load(), a.noted())
	}
	last := i.streams[videoType].seq
	at := i.streams[videoType].ts
	i.send(videoType, last+2, at) // one is missing
	i.send(videoType, last+6, at) // three are
	i.send(videoType, last+6, at) // again
	i.send(videoType, last+7, at-1)
	a := i.all
	if a.signs.Load() != 1 || a.gaps.Load() != 1 || a.holes.Load() != 3 || a.doubles.Load() != 1 || a.backwards.Load() != 1 || a.unopened.Load() != 0 {
		t.Errorf("%d signs, %d holes, %d doubles, %d backwards, %d unopened", a.signs.Load(), a.holes.Load(), a.doubles.Load(), a.backwards.Load(), a.unopened.Load())
	}
	forged := make([]byte, 60)
	forged[0] = 0x80
	if i.packet(i.in, forged, i.now) != fateLost || a.unopened.Load() != 1 {
		t.Error("a packet that nobody sealed opens")
	}
}

// TestLosses: what is made lost is asked for until it comes again, and no longer.
func TestLosses(t *testing.T) {
	i := inspecting(t)
	i.loss = 1
	for seq := range uint16(3) {
		if i.send(videoType, seq, 0) != fateLost {
			t.Fatal("not lost")
		}
	}
	i.loss = 0
	if n := i.nack(); n == nil || len(n.Nacks) != 1 || n.MediaSSRC != videoType || len(n.Nacks[0].PacketList()) != 3 {
		t.Fatalf("asks %v", n)
	}
	if i.send(rtxType, 0, 0, 0, 1, 42) != fateRepair || i.send(rtxType, 1, 0, 0, 9, 42) != fateRepair {
		t.Error("repairs are none")
	}
	if n := i.nack(); n == nil || len(n.Nacks[0].PacketList()) != 2 {
		t.Errorf("asks %v after a repair", n)
	}
	for range maxAsks {
		i.nack()
	}
	if n := i.nack(); n != nil {
		t.Errorf("still asks %v", n)
	}
	if a := i.all; a.asked.Load() != 3 || a.repaired.Load() != 1 || a.unasked.Load() != 1 || a.lost.Load() != 3 {
		t.Errorf("%d lost, %d asked, %d repaired, %d unasked", a.lost.Load(), a.asked.Load(), a.repaired.Load(), a.unasked.Load())
	}
}

// TestNarrow: as much passes as the path is wide.
func TestNarrow(t *testing.T) {
	i := inspecting(t)
	rate := 800_000
	i.narrow = func() int { return rate }
	passed := 0
	for seq := range uint16(1000) { // a second, at 8 Mbit/s
		if i.send(videoType, seq, 0, make([]byte, 960)...) == fateMedia {
			passed++
		}
	}
	if passed < 95 || passed > 115 { // the burst comes on top
		t.Errorf("%d of 1000 packets pass a path a tenth as wide", passed)
	}
	if rate = 0; i.send(videoType, 1000, 0) != fateMedia {
		t.Error("a wide path loses")
	}
}
