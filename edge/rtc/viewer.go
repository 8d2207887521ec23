package rtc

import (
	"encoding/binary"
	"math/rand/v2"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"trellis/edge/rtc/stream"
)

// rtpWriter is where a viewer's packets go: a webrtc.TrackLocalWriter.
type rtpWriter interface {
	WriteRTP(h *rtp.Header, payload []byte) (int, error)
}

// viewerConfig is what was negotiated for one track of one viewer.
type viewerConfig struct {
	out       rtpWriter
	writeRTCP func([]rtcp.Packet) error
	ssrc      uint32
	rtxSSRC   uint32 // zero without retransmission format
	pt, rtxPT uint8
	capture   uint8 // id of the abs-capture-time extension, zero without
	clockRate uint32
	audio     bool
}

// viewerState is where a viewer of a lane stands.
type viewerState uint8

const (
	viewerWaiting    viewerState = iota // for something to begin with
	viewerCatchingUp                    // is being sent what is cached
	viewerLive                          // gets each object as it comes
)

// viewer is one viewer of a lane. Its sequence numbers and timestamps are ours:
// without holes, whatever was dropped or restarted on the way. It belongs to the
// lane's goroutine.
type viewer struct {
	cfg   viewerConfig
	state viewerState

	run    viewerRun
	before viewerRun // the one before, still asked for again
	next   uint64    // object to send next
	packet int       // packet of it to send next
	seq    uint16    // of the next packet
	tsBase uint32
	ticks  int64     // newest timestamp sent, before tsBase is added
	sent   bool      // anything was
	last   time.Time // when it was
	moved  bool      // it comes from another lane, with other times

	plain, marked rtp.Header // without and with the capture time extension
	captureTime   [8]byte    // of marked, by reference
	rtxSeq        uint16
	scratch       []byte // a retransmission

	packets, octets uint32 // for sender reports
	reportDue       time.Time
	nextBurst       time.Time // while catching up
	resend          allowance
	restartAfter    time.Time // earliest time of the next restart
	restarts        int
}

// viewerRun is a stretch of consecutive objects that was sent to a viewer. It
// maps sequence numbers back to packets, and objects to timestamps.
type viewerRun struct {
	valid       bool
	firstSeq    uint16
	firstPacket uint64
	firstObject uint64
	live        uint64 // objects before it were sent late, to catch up
	base        int64  // timestamp before the first object
	shift       int64  // what is added to the objects' own time
	count       uint64 // packets sent
}

// ticks returns the timestamp of an object. What a viewer catches up on is sent
// in one burst and carries timestamps one tick apart, ending at the live edge:
// with their own, a player would take the oldest as "now" and stay that far
// behind for good. From there on objects have their own time, and never an
// earlier one than was sent.
func (r *viewerRun) ticks(object uint64, own int64) int64 {
	least := r.base + 1 + int64(object-r.firstObject)
	if object < r.live {
		return least
	}
	return max(own+r.shift, least)
}

func newViewer(cfg viewerConfig) *viewer {
	v := &viewer{cfg: cfg, seq: uint16(rand.Uint32()), tsBase: rand.Uint32(), rtxSeq: uint16(rand.Uint32())}
	v.plain = rtp.Header{Version: 2, PayloadType: cfg.pt, SSRC: cfg.ssrc}
	v.marked = v.plain
	if cfg.capture != 0 {
		if err := v.marked.SetExtension(cfg.capture, v.captureTime[:]); err != nil {
			v.cfg.capture = 0 // an id that fits no header; play without
		}
	}
	return v
}

// begin starts a run at object first of the log; what is there already is sent
// as fast as the lane lets it.
func (v *viewer) begin(l *laneLog, first uint64) {
	if v.run.valid && !v.moved {
		v.before = v.run
	}
	r := viewerRun{
		valid: true, firstSeq: v.seq, firstPacket: l.packets, firstObject: first, live: l.head, shift: v.run.shift,
	}
	switch {
	case first < l.head:
		r.firstPacket = l.at(first).firstPacket
		r.base = l.at(l.head-1).ticks + r.shift - int64(l.head-first)
		if v.sent {
			r.base = max(r.base, v.ticks)
		}
	case v.sent:
		r.base = v.ticks
	default:
		r.base = minTicks
	}
	v.run, v.next, v.packet = r, first, 0
	v.state = viewerCatchingUp
}

// move prepares a viewer to join another lane, where the track goes on: its
// packets cannot be asked for again, and its timestamps go on from what was sent.
func (v *viewer) move() {
	v.state, v.moved = viewerWaiting, v.sent
	v.run.valid, v.before.valid = false, false
}

// settle puts the times of the lane that a viewer moved to in line with what the
// viewer has seen: the newest object there is as much later than the last one
// that was sent as the clock says.
func (v *viewer) settle(newest int64, now time.Time) {
	if !v.moved {
		return
	}
	v.moved = false
	gap := ticksOf(now.Sub(v.last).Microseconds(), v.cfg.clockRate)
	v.run.shift = v.ticks + max(gap, 1) - newest
}

// minTicks is below every timestamp that an object can have.
const minTicks = -1 << 60

// write sends packet i of object o, numbered n in the log.
func (v *viewer) write(o *laneObject, n uint64, i int, now time.Time) error {
	h := &v.plain
	if i == 0 && v.cfg.capture != 0 && o.ingress != 0 {
		h = &v.marked
		binary.BigEndian.PutUint64(v.captureTime[:], stream.NTP(time.UnixMicro(o.ingress)))
	}
	ticks := v.run.ticks(n, o.ticks)
	h.SequenceNumber, h.Timestamp = v.seq, v.tsBase+uint32(ticks)
	h.Marker = i == o.payloads.Len()-1 && !v.cfg.audio
	payload := o.payloads.At(i)
	v.seq++
	v.run.count++
	v.packets++
	v.octets += uint32(len(payload))
	v.ticks = max(v.ticks, ticks)
	if !v.sent {
		v.sent, v.ticks = true, ticks
	}
	v.last = now
	_, err := v.cfg.out.WriteRTP(h, payload)
	return err
}

// locate maps a sequence number that the viewer lost to its packet, and the run
// that it was sent in.
func (v *viewer) locate(seq uint16) (packet uint64, run *viewerRun, ok bool) {
	for _, r := range []*viewerRun{&v.run, &v.before} {
		if !r.valid || r.count == 0 {
			continue
		}
		// Distance from the newest packet of the run, modulo the sequence space.
		last := r.firstSeq + uint16(r.count-1)
		if back := uint64(last - seq); back < r.count {
			return r.firstPacket + r.count - 1 - back, r, true
		}
	}
	return 0, nil, false
}

// rewrite sends a packet again: RFC 4588, Section 4, or the packet itself where
// the viewer did not negotiate a retransmission format.
func (v *viewer) rewrite(o *laneObject, n uint64, i int, seq uint16, run *viewerRun) error {
	h := v.plain
	h.Timestamp = v.tsBase + uint32(run.ticks(n, o.ticks))
	h.Marker = i == o.payloads.Len()-1 && !v.cfg.audio
	payload := o.payloads.At(i)
	if v.cfg.rtxSSRC == 0 || v.cfg.rtxPT == 0 {
		h.SequenceNumber = seq
	} else {
		h.SSRC, h.PayloadType, h.SequenceNumber = v.cfg.rtxSSRC, v.cfg.rtxPT, v.rtxSeq
		v.rtxSeq++
		v.scratch = binary.BigEndian.AppendUint16(v.scratch[:0], seq)
		v.scratch = append(v.scratch, payload...)
		payload = v.scratch
	}
	_, err := v.cfg.out.WriteRTP(&h, payload)
	return err
}

// report sends a sender report (RFC 3550, Section 6.4.1): at time ntp of the
// broadcast, a frame would have this many ticks.
func (v *viewer) report(ntp uint64, ticks int64) error {
	return v.cfg.writeRTCP([]rtcp.Packet{&rtcp.SenderReport{
		SSRC: v.cfg.ssrc, NTPTime: ntp, RTPTime: v.tsBase + uint32(ticks+v.run.shift),
		PacketCount: v.packets, OctetCount: v.octets,
	}})
}

// allowance is a token bucket. Time is an argument.
type allowance struct {
	tokens float64
	filled time.Time
}

// take removes one token of at most burst, which fill at rate per second.
func (a *allowance) take(now time.Time, rate, burst float64) bool {
	if a.filled.IsZero() {
		a.tokens = burst
	} else {
		a.tokens = min(burst, a.tokens+now.Sub(a.filled).Seconds()*rate)
	}
	a.filled = now
	if a.tokens < 1 {
		return false
	}
	a.tokens--
	return true
}
