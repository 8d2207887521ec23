package rtc

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"

	"trellis/edge/rtc/transport"
	"trellis/internal/relay"
	"trellis/wire/hang"
)

// sealedOut protects packets with the roll-over counter that their index names, and
// opens them as a receiver that has to guess it (RFC 3711, Appendix A).
type sealedOut struct {
	t        *testing.T
	seal     *srtp.Context
	open     *srtp.Context
	raw, out []byte
	got      func(h *rtp.Header, payload []byte)
}

func newSealedOut(t *testing.T) *sealedOut {
	t.Helper()
	o := &sealedOut{t: t}
	var err error
	for _, c := range []**srtp.Context{&o.seal, &o.open} {
		if *c, err = srtp.CreateContext(make([]byte, 16), make([]byte, 12), srtp.ProtectionProfileAeadAes128Gcm); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

func (o *sealedOut) Send(_ *transport.Batch, header, payload []byte, ssrc uint32, index uint64) error {
	o.raw = append(append(o.raw[:0], header...), payload...)
	o.seal.SetROC(ssrc, uint32(index>>16))
	var err error
	if o.out, err = o.seal.EncryptRTP(o.out[:0], o.raw, nil); err != nil {
		return err
	}
	plain, err := o.open.DecryptRTP(nil, o.out, nil)
	if err != nil {
		o.t.Fatalf("packet %d of SSRC %d does not open: %v", index, ssrc, err)
	}
	var h rtp.Header
	n, err := h.Unmarshal(plain)
	if err != nil {
		return err
	}
	o.got(&h, plain[n:])
	return nil
}

func (o *sealedOut) SendRTCP(*transport.Batch, []byte) error { return nil }

// TestWraps shows a viewer four small pictures a second for fifteen hours: the
// timestamp wraps, the sequence numbers do so several times, and since each packet
// is asked for again once, those of the retransmissions too. The receiver's roll-over
// counters follow, and nothing is missing, doubled or changed.
func TestWraps(t *testing.T) {
	for _, rtx := range []bool{true, false} {
		t.Run(fmt.Sprintf("rtx=%v", rtx), func(t *testing.T) { testWraps(t, rtx) })
	}
}

func testWraps(t *testing.T, rtx bool) {
	t.Helper()
	const (
		every   = 250 * time.Millisecond
		frames  = int(15 * time.Hour / every)
		rtxSSRC = 2
	)
	out := newSealedOut(t)
	l := newTestLane(t, 1, out)
	v := l.viewers[0]
	if rtx {
		v.cfg.rtxSSRC, v.cfg.rtxPT = rtxSSRC, 97
	} else {
		v.cfg.audio = true // pictures are not sent again without
	}

	sent := map[uint16][]byte{} // and not asked for again
	var fresh []uint16          // of the newest frame
	var last rtp.Header
	var asked bool // what comes is what was asked for
	var packets, again, turns, timeTurns, rtxTurns int
	lastRTX := -1
	out.got = func(h *rtp.Header, payload []byte) {
		if !asked {
			if packets > 0 {
				if h.SequenceNumber != last.SequenceNumber+1 {
					t.Fatalf("sequence %d after %d", h.SequenceNumber, last.SequenceNumber)
				}
				if rise := h.Timestamp - last.Timestamp; rise != 90_000/4 {
					t.Fatalf("timestamp rises by %d", rise)
				}
				turns += turn(int(last.SequenceNumber), int(h.SequenceNumber))
				timeTurns += turn(int(last.Timestamp), int(h.Timestamp))
			}
			last = *h
			sent[h.SequenceNumber] = bytes.Clone(payload)
			fresh = append(fresh, h.SequenceNumber)
			packets++
			return
		}
		again++
		seq := h.SequenceNumber
		if rtx {
			rtxTurns += turn(lastRTX, int(seq))
			lastRTX = int(seq)
			seq, payload = binary.BigEndian.Uint16(payload), payload[2:]
		}
		if !bytes.Equal(sent[seq], payload) || rtx != (h.SSRC == rtxSSRC) {
			t.Fatalf("packet %d comes again as another", seq)
		}
		delete(sent, seq)
	}

	now := time.Unix(1_700_000_000, 0)
	var object []byte
	for i := range frames {
		pts := int64(i+1) * every.Microseconds()
		object = hang.AppendLegacyHeader(object[:0], uint64(pts))
		object = binary.BigEndian.AppendUint64(append(object, 0x11), uint64(i))
		asked, fresh = false, fresh[:0]
		l.layers[0].append(laneInput{
			ObjectHeader: relay.ObjectHeader{Time: pts, Ingress: now.UnixMicro()}, payload: object, first: i%240 == 0,
		}, now)
		asked = true
		for _, seq := range fresh {
			l.resend(v, seq, now)
		}
		now = now.Add(every)
	}
	if len(sent) > 0 || again != packets {
		t.Errorf("%d packets were sent, %d again, %d of them not", packets, again, len(sent))
	}
	if turns < 3 || timeTurns < 1 || rtx && rtxTurns < 3 {
		t.Errorf("sequence numbers wrapped %d times, timestamps %d, retransmissions %d", turns, timeTurns, rtxTurns)
	}
}

// turn is 1 if a counter that only rises has wrapped.
func turn(last, next int) int {
	if next < last {
		return 1
	}
	return 0
}

// TestFirstSequence: a receiver takes the first packet that reaches it to have a
// roll-over counter of zero, so the first few must not be the ones around a wrap.
func TestFirstSequence(t *testing.T) {
	for range 1000 {
		if v := newViewer(viewerConfig{}); v.seq >= 1<<15 || v.rtxSeq >= 1<<15 {
			t.Fatalf("begins with %d, retransmissions with %d", v.seq, v.rtxSeq)
		}
	}
}
