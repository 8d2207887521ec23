package rtc

import (
	"encoding/binary"
	"math/rand/v2"
	"time"

	"trellis/edge/rtc/bwe"
	"trellis/edge/rtc/transport"
	"trellis/internal/allowance"
)

// packetOut is where a viewer's packets go: a *transport.Conn.
type packetOut interface {
	// Send puts an RTP packet into the lane's batch, protected. index is its
	// extended sequence number in the SSRC.
	Send(b *transport.Batch, header, payload []byte, ssrc uint32, index uint64) error
	// SendRTCP puts a compound packet into the lane's batch, protected.
	SendRTCP(b *transport.Batch, compound []byte) error
}

// viewerConfig is what was negotiated for one track of one viewer.
type viewerConfig struct {
	out       packetOut
	ssrc      uint32
	rtxSSRC   uint32 // zero without retransmission format
	pt, rtxPT uint8
	redPT     uint8 // payload type of sound with redundancy, zero without
	fecPT     uint8 // payload type of repair packets, zero without
	fecSSRC   uint32
	capture   uint8 // id of the abs-capture-time extension, zero without
	transport uint8 // id of the transport-wide sequence number extension, zero without
	playout   uint8 // id of the playout-delay extension, zero without
	clockRate uint32
	audio     bool
	sent      *bwe.Log // of all tracks of the connection; nil without transport
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
	// What a lane looks at whenever it wakes, of all of its viewers: it is kept together, for the
	// memory of a viewer comes from far each time (see touch).
	state     viewerState
	sent      bool      // anything was
	moved     bool      // it comes from another lane, with other times
	red       bool      // it is sent its sound twice
	redUsed   bool      // it was; then packets are not sent again as they were not sent
	fec       *fecGroup // nil until its picture is first protected
	layer     *layer    // that it is sent, nil for none
	reportDue time.Time
	next      uint64 // object to send next
	packet    int    // packet of it to send next
	aim       aim    // where it should be
	probing   probe  // what is left of the one that is being sent

	// And what it needs to send something.
	cfg             viewerConfig
	seq             uint64 // of the next packet, extended beyond 16 bits
	run             viewerRun
	tsBase          uint32
	packets, octets uint32        // for sender reports
	ticks           int64         // newest timestamp sent, before tsBase is added
	last            time.Time     // when anything was sent
	kept            time.Duration // the longest playout delay that it was told
	header          [maxHeader]byte

	before       viewerRun // the run before, still asked for again
	rtxSeq       uint64    // of the next retransmission, extended
	scratch      []byte    // a retransmission, or a report
	nextBurst    time.Time // while catching up
	resends      resends
	restartAfter time.Time // earliest time of the next restart
	restarts     int
}

// viewerRun is a stretch of consecutive objects that was sent to a viewer. It
// maps sequence numbers back to packets, and objects to timestamps.
type viewerRun struct {
	valid       bool
	log         *laneLog // that it is a stretch of
	firstSeq    uint64
	firstPacket uint64
	firstObject uint64
	live        uint64 // objects before it were sent late, to catch up
	base        int64  // timestamp before the first object
	shift       int64  // what is added to the objects' own time
	late        uint64 // packets of those objects
	pace        int64  // ticks between two packets to catch up
	count       uint64 // packets sent
}

// ticks returns the timestamp of object n. What a viewer catches up on carries the
// times at which it is meant to leave, from the live edge on: with its own, a player
// would take the oldest as "now" and stay that far behind for good; with times that
// have nothing to do with those of arrival, Chromium takes live frames for early
// ones and holds them back. From there on objects have their own time, and never
// an earlier one than was sent.
func (r *viewerRun) ticks(n uint64, o *laneObject) int64 {
	least := r.base + 1 + int64(n-r.firstObject) + int64(min(o.firstPacket-r.firstPacket, r.late))*r.pace
	if n < r.live {
		return least
	}
	return max(o.ticks+r.shift, least)
}

// planned is the time between two packets to catch up that their timestamps tell of. Sent
// faster, those of the live edge would seem to be late by what was gained.
func (r *viewerRun) planned(clockRate uint32) time.Duration {
	return time.Duration(r.pace) * time.Second / time.Duration(clockRate)
}

func newViewer(cfg viewerConfig) *viewer {
	return &viewer{
		cfg: cfg, tsBase: rand.Uint32(), seq: firstSequence(), rtxSeq: firstSequence(),
		resends: resends{allowed: allowance.New(resendRate, resendBurst)},
	}
}

// firstSequence is random (RFC 3550, Section 5.1), but not close to a wrap: who
// loses the packets before it would begin with the wrong roll-over counter and
// never open one (RFC 3711, Section 3.3.1).
func firstSequence() uint64 { return uint64(rand.Uint32N(1 << 15)) }

// begin starts a run at object first of the log; what is there already is sent
// one packet every pace.
func (v *viewer) begin(l *laneLog, first uint64, pace time.Duration) {
	if v.packet > 0 {
		// The frame that was being sent has no end. Without a hole players would take
		// what they have of it for all.
		v.seq++
	}
	if v.run.valid && !v.moved {
		v.before = v.run
	}
	r := viewerRun{
		valid: true, log: l, firstSeq: v.seq, firstPacket: l.packets, firstObject: first, live: l.head, shift: v.run.shift,
	}
	switch {
	case first < l.head:
		r.firstPacket = l.at(first).firstPacket
		r.late, r.pace = l.packets-r.firstPacket, int64(pace)*int64(v.cfg.clockRate)/int64(time.Second)
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
	v.layer, v.aim = nil, aim{}
	v.run.valid, v.before.valid = false, false
	v.protectPicture(fecPlan{})
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

// maxHeader is an RTP header with the extensions that we send: 3 bytes of
// transport-wide sequence number, 17 of capture time and 4 of playout delay.
const maxHeader = 12 + 4 + 24

// playoutMost is the longest time that viewers are allowed to keep pictures back, in
// the extension's units: they know best.
const playoutMost = 1000

// rtpHeader writes a header: RFC 3550, Section 5.1.
func (v *viewer) rtpHeader(pt uint8, marker bool, seq uint16, ts, ssrc uint32) {
	h := v.header[:12]
	h[0], h[1] = 2<<6, pt
	if marker {
		h[1] |= 0x80
	}
	binary.BigEndian.PutUint16(h[2:], seq)
	binary.BigEndian.PutUint32(h[4:], ts)
	binary.BigEndian.PutUint32(h[8:], ssrc)
}

// extend adds the header extensions that were negotiated, in one-byte form (RFC
// 8285, Section 4.2). captured is empty where there is nothing to say of that.
func (v *viewer) extend(captured []byte, payload int, kind bwe.Kind, now time.Time) []byte {
	h := v.header[:16]
	if v.cfg.transport != 0 {
		seq := v.cfg.sent.Add(now, payload+packetOverhead, kind)
		h = append(h, v.cfg.transport<<4|1, byte(seq>>8), byte(seq))
	}
	if v.cfg.capture != 0 && len(captured) > 0 {
		h = append(h, v.cfg.capture<<4|byte(len(captured)-1))
		h = append(h, captured...)
	}
	if v.cfg.playout != 0 && v.kept > 0 {
		least := uint32(v.aim.playout / playoutUnit)
		h = append(h, v.cfg.playout<<4|2, byte(least>>4), byte(least<<4|playoutMost>>8), playoutMost&0xff)
	}
	if len(h) == 16 {
		return h[:12]
	}
	for len(h)%4 != 0 {
		h = append(h, 0)
	}
	h[0] |= 0x10
	binary.BigEndian.PutUint32(h[12:], 0xBEDE_0000|uint32(len(h)-16)/4)
	return h
}

// write sends packet i of object o, numbered n in the log.
func (v *viewer) write(b *transport.Batch, o *laneObject, n uint64, i int, now time.Time) error {
	ticks := v.run.ticks(n, o)
	seq := v.seq
	payload, pt := o.payloads.At(i), v.cfg.pt
	if v.red && o.red.Len() > 0 {
		payload, pt = v.redPayload(o), v.cfg.redPT
	}
	v.rtpHeader(pt, i == o.payloads.Len()-1 && !v.cfg.audio, uint16(seq), v.tsBase+uint32(ticks), v.cfg.ssrc)
	h := v.extend(o.capture.of(n <= v.run.live), len(payload), bwe.Media, now)
	v.seq++
	v.run.count++
	v.packets++
	v.octets += uint32(len(payload))
	v.ticks = max(v.ticks, ticks)
	if !v.sent {
		v.sent, v.ticks = true, ticks
	}
	v.last = now
	if v.fec != nil && v.fec.plan.share > 0 {
		v.cover(h, n, i, seq, now)
	}
	return v.cfg.out.Send(b, h, payload, v.cfg.ssrc, seq)
}

// locate maps a sequence number that the viewer lost to its packet, and the run
// that it was sent in.
func (v *viewer) locate(seq uint16) (packet uint64, run *viewerRun, ok bool) {
	for _, r := range []*viewerRun{&v.run, &v.before} {
		if !r.valid || r.count == 0 {
			continue
		}
		// Distance from the newest packet of the run, modulo the sequence space.
		last := uint16(r.firstSeq + r.count - 1)
		if back := uint64(last - seq); back < r.count {
			return r.firstPacket + r.count - 1 - back, r, true
		}
	}
	return 0, nil, false
}

// rewrite sends a packet again: RFC 4588, Section 4, or the packet itself where
// the viewer did not negotiate a retransmission format.
func (v *viewer) rewrite(
	b *transport.Batch, o *laneObject, n uint64, i int, seq uint16, run *viewerRun, now time.Time,
) error {
	if v.cfg.rtxSSRC != 0 && v.cfg.rtxPT != 0 {
		return v.repeat(b, o, n, i, seq, run, bwe.Resend, now)
	}
	payload := o.payloads.At(i)
	// How far back it is tells in which turn of the 16 bits it was sent.
	index := v.seq - 1 - uint64(uint16(v.seq-1)-seq)
	v.rtpHeader(v.cfg.pt, i == o.payloads.Len()-1 && !v.cfg.audio, seq, v.tsBase+uint32(run.ticks(n, o)), v.cfg.ssrc)
	return v.cfg.out.Send(b, v.extend(o.capture.of(n <= run.live), len(payload), bwe.Resend, now), payload, v.cfg.ssrc, index)
}

// repeat sends a packet again in the retransmission format.
func (v *viewer) repeat(
	b *transport.Batch, o *laneObject, n uint64, i int, seq uint16, run *viewerRun, kind bwe.Kind, now time.Time,
) error {
	index := v.rtxSeq
	v.rtxSeq++
	v.scratch = binary.BigEndian.AppendUint16(v.scratch[:0], seq)
	v.scratch = append(v.scratch, o.payloads.At(i)...)
	v.rtpHeader(v.cfg.rtxPT, i == o.payloads.Len()-1, uint16(index), v.tsBase+uint32(run.ticks(n, o)), v.cfg.rtxSSRC)
	return v.cfg.out.Send(b, v.extend(nil, len(v.scratch), kind, now), v.scratch, v.cfg.rtxSSRC, index)
}

// report sends a sender report (RFC 3550, Section 6.4.1): at time ntp of the
// broadcast, a frame would have this many ticks.
func (v *viewer) report(b *transport.Batch, ntp uint64, ticks int64) error {
	v.scratch = appendReport(v.scratch[:0], v.cfg.ssrc, ntp, v.tsBase+uint32(ticks+v.run.shift), v.packets, v.octets)
	return v.cfg.out.SendRTCP(b, v.scratch)
}
