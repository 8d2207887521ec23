package stream

import (
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"

	"trellis/edge/framing"
	"trellis/edge/rtc/packet"
)

// FrameInfo is what is known of a frame when it begins.
type FrameInfo struct {
	// PTS is the presentation time in microseconds on the peer's Timeline.
	PTS int64
	// Key marks a frame from which decoding can begin.
	Key bool
	// Arrival is when the first packet of the frame was received.
	Arrival time.Time
	// Capture is what is known of when it was captured.
	Capture Capture
	// Layer is that of the frame, where InboundConfig.Layers is set.
	Layer framing.Layer
}

// Sink takes the frames of an Inbound, within its methods. Between Begin and the Data
// with last, or Broken, no other frame begins.
type Sink interface {
	// Begin opens a frame.
	Begin(f FrameInfo)
	// Data brings the next bytes of the open frame as they arrive; last closes it.
	// The bytes are valid during the call only.
	Data(b []byte, last bool)
	// Broken closes the open frame: the rest of it is lost.
	Broken()
	// Lost says that whole frames are missing here.
	Lost()
	// Switched says that the peer sends another codec from here on.
	Switched(c framing.Codec)
}

// Format is what a payload type stands for.
type Format struct {
	PayloadType uint8
	Codec       framing.Codec
	// RED: the codec comes with redundancy (RFC 2198).
	RED bool
	// Repairs: the peer sends again what it is asked for by NACK.
	Repairs bool
}

// InboundConfig describes a stream that is received.
type InboundConfig struct {
	// SSRC and Format are those of its first packet.
	SSRC   uint32
	Format Format
	// Lookup finds the format of another payload type; false: it was not negotiated.
	Lookup func(payloadType uint8) (Format, bool)
	// Capture and Depends are the numbers of the extensions for the capture time and the
	// dependency descriptor, zero without.
	Capture, Depends uint8
	// Timeline is shared by the streams of a peer.
	Timeline *Timeline
	// WriteRTCP sends feedback to the peer.
	WriteRTCP func([]rtcp.Packet) error
	// MaxWait is how long a missing packet holds up those behind it. Default:
	// 250 ms where it can be asked for again, and for pictures up to a second where
	// the round trip is so long that two tries take that; else 50 ms.
	MaxWait time.Duration
	// Layers has the layers of a picture come as frames of their own: see
	// framing.DepacketizerConfig.
	Layers bool
	Log    *slog.Logger
}

const (
	waitRepair  = 250 * time.Millisecond
	waitReorder = 50 * time.Millisecond
	// Pictures of a distant peer wait for a second try, which may take farMargin more than
	// the round trips, but not longer than waitFar.
	waitFar   = time.Second
	farMargin = 50 * time.Millisecond
	// assumedRTT spaces repeated requests at the least. A lite agent does not measure
	// it; too small only costs duplicates.
	assumedRTT = 60 * time.Millisecond
)

// Inbound receives one stream: it orders packets, asks for what is missing and makes
// frames. It has no goroutine and no timer: who feeds it calls Receive with each packet,
// and Tick when Next says. But for SSRC and Stats, its methods are called one at a time.
type Inbound struct {
	// Fixed at construction.
	cfg      InboundConfig
	repairs  bool // the peer retransmits on NACK
	adapts   bool // how long to wait follows the round trip
	timeline trackTimeline
	count    inboundCounters
	ssrc     atomic.Uint32

	codec        framing.Codec
	payload      uint8
	redundant    uint8 // payload type of sound with redundancy, zero before there is any
	blocks       []framing.REDBlock
	sounds       sounds // with redundancy
	reorder      *framing.Reorder
	losses       *framing.Losses
	depacketizer framing.Depacketizer
	events       []framing.Event
	due          []uint16
	captures     captures
}

type inboundCounters struct {
	packets, bytes, missed, recovered, lost, nacks, repeated, duplicates, frames, keyframes, broken atomic.Uint64
}

// InboundStats counts what became of the packets of a track.
type InboundStats struct {
	Packets    uint64 `json:"packets"`
	Bytes      uint64 `json:"bytes"`
	Missed     uint64 `json:"missed"`     // packets that were not there in order
	Recovered  uint64 `json:"recovered"`  // of those, came in time
	Lost       uint64 `json:"lost"`       // of those, given up
	NACKs      uint64 `json:"nacks"`      // packets asked for again
	Repeated   uint64 `json:"repeated"`   // of the missed ones, taken from what a later one repeated
	Duplicates uint64 `json:"duplicates"` // packets that were of no use
	Frames     uint64 `json:"frames"`     // whole frames
	Keyframes  uint64 `json:"keyframes"`
	Broken     uint64 `json:"broken"` // frames given up, or runs of them
}

// NewInbound returns an Inbound for a stream whose first packet has been seen, so that
// its codec is known.
func NewInbound(cfg InboundConfig) (*Inbound, error) {
	in := &Inbound{cfg: cfg, repairs: cfg.Format.Repairs, timeline: cfg.Timeline.track(cfg.Format.Codec)}
	in.ssrc.Store(cfg.SSRC)
	in.use(cfg.Format)
	if in.cfg.MaxWait == 0 {
		in.cfg.MaxWait = waitReorder
		if in.repairs {
			in.cfg.MaxWait = waitRepair
			in.adapts = !in.codec.Audio()
		}
	}
	return in, in.reset()
}

// use takes a format as that of the packets from here on.
func (in *Inbound) use(f Format) {
	in.codec, in.payload = f.Codec, f.PayloadType
	if f.RED {
		in.payload, in.redundant = 0, f.PayloadType
	}
}

// Codec returns the stream's codec.
func (in *Inbound) Codec() framing.Codec { return in.codec }

// SSRC returns the stream's SSRC. It is safe for concurrent use.
func (in *Inbound) SSRC() uint32 { return in.ssrc.Load() }

// Moved says that the stream goes on with another SSRC, numbers and timestamps of its own:
// what was received and not handed on is lost. It may change the codec, too.
func (in *Inbound) Moved(ssrc uint32, f Format, sink Sink) error {
	in.ssrc.Store(ssrc)
	before := in.codec
	in.redundant = 0
	in.use(f)
	in.sounds, in.captures = sounds{}, captures{}
	in.timeline = in.cfg.Timeline.track(f.Codec)
	if err := in.reset(); err != nil {
		return err
	}
	if f.Codec != before {
		sink.Switched(f.Codec)
		return nil
	}
	in.count.broken.Add(1)
	sink.Lost()
	return nil
}

// Receive takes a packet, and hands on what is in order with it. repair: it came because
// it was asked for.
func (in *Inbound) Receive(p packet.Packet, repair bool, sink Sink) {
	if repair {
		in.losses.Answered(p.Seq, p.Arrival)
	}
	in.packet(&p, sink)
	in.Tick(p.Arrival, sink)
}

// Tick does what is due at now: it hands on packets whose predecessors are given up, and
// asks for those that are missing.
func (in *Inbound) Tick(now time.Time, sink Sink) {
	in.drain(now, sink)
	in.ask(now)
}

// Next returns when Tick will have something to do, if there is nothing else to
// receive before.
func (in *Inbound) Next() (time.Time, bool) {
	at, waits := in.reorder.Deadline()
	if in.repairs {
		if ask, ok := in.losses.Next(); ok && (!waits || ask.Before(at)) {
			return ask, true
		}
	}
	return at, waits
}

// Report feeds a sender report of the stream to the timeline, and when it arrived.
func (in *Inbound) Report(ntp uint64, timestamp uint32, arrival time.Time) {
	in.timeline.report(ntp, timestamp, arrival)
}

// packet takes one RTP packet.
func (in *Inbound) packet(p *packet.Packet, sink Sink) {
	pt := p.PayloadType
	if pt != in.payload && (pt != in.redundant || pt == 0) && !in.switched(pt, sink) {
		in.count.duplicates.Add(1)
		return
	}
	payload := p.Unpadded()
	in.count.packets.Add(1)
	in.count.bytes.Add(uint64(len(payload)))
	if ext := p.Extension(in.cfg.Capture); ext != nil {
		in.captures.note(p.Timestamp, ext)
	}
	if pt == in.redundant && pt != 0 {
		in.sounds.note(p.Seq, p.Timestamp, len(payload) == 0)
		if len(payload) > 0 {
			if payload = in.unwrap(payload, p, sink); payload == nil {
				in.count.duplicates.Add(1)
				return
			}
		}
	}
	in.losses.Received(p.Seq, p.Arrival)
	if !in.reorder.Push(framing.Packet{
		Seq: p.Seq, Timestamp: p.Timestamp, Marker: p.Marker, Arrival: p.Arrival, Payload: payload,
		Dependency: p.Extension(in.cfg.Depends),
	}) {
		in.count.duplicates.Add(1)
	}
}

// switched handles a new payload type, and reports whether we can go on with it.
func (in *Inbound) switched(pt uint8, sink Sink) bool {
	f, ok := in.cfg.Lookup(pt)
	switch {
	case !ok:
		return false
	case f.RED && f.Codec == in.codec:
		in.redundant = pt
		return true
	case f.Codec == in.codec:
		in.payload = pt // with other parameters
		return true
	}
	in.use(f)
	if err := in.reset(); err != nil {
		return false
	}
	sink.Switched(f.Codec)
	return true
}

// reset begins anew with the current codec.
func (in *Inbound) reset() (err error) {
	in.losses = framing.NewLosses(framing.LossesConfig{MaxAge: in.cfg.MaxWait})
	if in.reorder, err = framing.NewReorder(framing.ReorderConfig{MaxWait: in.cfg.MaxWait}); err != nil {
		return err
	}
	in.depacketizer, err = framing.NewDepacketizer(in.codec, framing.DepacketizerConfig{Layers: in.cfg.Layers})
	return err
}

// drain hands on what is in order, or given up, by now.
func (in *Inbound) drain(now time.Time, sink Sink) {
	for {
		p, ok := in.reorder.Pop(now)
		if !ok {
			return
		}
		if p.Lost > 0 {
			in.losses.GiveUp(p.Seq - 1)
			in.count.lost.Add(uint64(p.Lost))
		}
		in.events = in.depacketizer.Push(p, in.events[:0])
		in.deliver(sink)
	}
}

func (in *Inbound) deliver(sink Sink) {
	for i := range in.events {
		e := &in.events[i]
		switch e.Kind {
		case framing.FrameBegin:
			if e.Key {
				in.count.keyframes.Add(1)
			}
			sink.Begin(FrameInfo{
				PTS: in.timeline.pts(e.Timestamp, e.Arrival), Key: e.Key,
				Arrival: e.Arrival, Capture: in.capture(e.Timestamp, e.Arrival), Layer: e.Layer,
			})
		case framing.FrameData:
			last := i+1 < len(in.events) && in.events[i+1].Kind == framing.FrameEnd
			sink.Data(e.Data, last)
		case framing.FrameEnd:
			in.count.frames.Add(1)
			if i == 0 || in.events[i-1].Kind != framing.FrameData {
				sink.Data(nil, true)
			}
		case framing.FrameBroken:
			in.count.broken.Add(1)
			sink.Broken()
		case framing.FramesLost:
			in.count.broken.Add(1)
			sink.Lost()
		}
	}
}

// capture returns what is known of when a frame was captured.
func (in *Inbound) capture(timestamp uint32, arrival time.Time) Capture {
	c := in.timeline.captured(timestamp, arrival)
	e, ok := in.captures.of(timestamp, in.codec.ClockRate())
	if !ok {
		return c
	}
	if d := e.at.Sub(c.At) - e.offset; c.At.IsZero() || d > captureApart || d < -captureApart {
		c.Now = time.Time{}
	} else {
		c.Now = c.Now.Add(e.offset)
	}
	c.At, c.Extended, c.Offset = e.at, true, e.hasOffset
	return c
}

// ask requests what is missing and due: RFC 4585, Section 6.2.1.
func (in *Inbound) ask(now time.Time) {
	missed, recovered := in.losses.Totals()
	in.count.missed.Store(missed)
	in.count.recovered.Store(recovered)
	if !in.repairs {
		return
	}
	in.due = in.losses.Due(now, in.pace(), in.due[:0])
	if len(in.due) == 0 {
		return
	}
	in.count.nacks.Add(uint64(len(in.due)))
	err := in.cfg.WriteRTCP([]rtcp.Packet{&rtcp.TransportLayerNack{
		MediaSSRC: in.SSRC(), Nacks: rtcp.NackPairsFromSequenceNumbers(in.due),
	}})
	if err != nil {
		in.cfg.Log.Debug("request retransmission", slog.Any("err", err))
	}
}

// pace returns the round trip by which requests are repeated, and has what is missing
// waited for as long as two of them take.
func (in *Inbound) pace() time.Duration {
	rtt, ok := in.losses.RTT()
	if !ok {
		return assumedRTT
	}
	if in.adapts {
		wait := min(max(2*rtt+rtt/4+farMargin, waitRepair), waitFar)
		in.losses.SetMaxAge(wait)
		in.reorder.SetMaxWait(wait)
	}
	return max(rtt, assumedRTT)
}

// Stats returns the counters.
func (in *Inbound) Stats() InboundStats {
	c := &in.count
	return InboundStats{
		Packets: c.packets.Load(), Bytes: c.bytes.Load(), Missed: c.missed.Load(), Recovered: c.recovered.Load(),
		Lost: c.lost.Load(), NACKs: c.nacks.Load(), Repeated: c.repeated.Load(), Duplicates: c.duplicates.Load(),
		Frames: c.frames.Load(), Keyframes: c.keyframes.Load(), Broken: c.broken.Load(),
	}
}
