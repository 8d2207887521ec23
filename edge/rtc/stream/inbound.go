package stream

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"trellis/edge/framing"
)

// FrameInfo is what is known of a frame when it begins.
type FrameInfo struct {
	// PTS is the presentation time in microseconds on the peer's Timeline.
	PTS int64
	// Key marks a frame from which decoding can begin.
	Key bool
	// Arrival is when the first packet of the frame was received.
	Arrival time.Time
	// Captured is what the capture time extension said, zero if it was not there.
	Captured time.Time
	// Layer is that of the frame, where InboundConfig.Layers is set.
	Layer framing.Layer
}

// Sink takes the frames of an Inbound, on the goroutine of Run. Between Begin
// and the Data with last, or Broken, no other frame begins.
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

// InboundConfig describes a track that is received.
type InboundConfig struct {
	Track    *webrtc.TrackRemote
	Receiver *webrtc.RTPReceiver
	// Timeline is shared by the tracks of a peer.
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
	// pollRepair is how often retransmissions are looked for: pion hands them out
	// only with the next read.
	pollRepair = 5 * time.Millisecond
	// captureSlots is how many frames may be in flight between the packet that
	// brought their capture time and their delivery.
	captureSlots = 64
	receiveMTU   = 1500
)

// Inbound receives one track: it orders packets, asks for what is missing and
// makes frames.
type Inbound struct {
	// Fixed at construction.
	cfg      InboundConfig
	repairs  bool  // the peer retransmits on NACK
	adapts   bool  // how long to wait follows the round trip
	capture  uint8 // id of the abs-capture-time extension, zero without
	depends  uint8 // id of the dependency descriptor, zero without
	timeline trackTimeline
	count    inboundCounters

	// Owned by Run.
	codec        framing.Codec
	payload      uint8
	redundant    uint8 // payload type of sound with redundancy, zero before there is any
	blocks       []framing.REDBlock
	sounds       sounds // with redundancy
	reorder      *framing.Reorder
	losses       *framing.Losses
	depacketizer framing.Depacketizer
	header       rtp.Header
	events       []framing.Event
	due          []uint16
	captured     [captureSlots]capturedFrame
	nextCaptured int
	armed        bool // a read deadline is set
}

type capturedFrame struct {
	timestamp uint32
	at        time.Time
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

// NewInbound returns an Inbound for a track whose first packet has been seen, so
// that its codec is known.
func NewInbound(cfg InboundConfig) (*Inbound, error) {
	params := cfg.Track.Codec()
	codec, ok := CodecOf(params.MimeType)
	redundant := isRED(params.MimeType)
	if redundant {
		codec, ok = framing.Opus, true
	}
	if !ok {
		return nil, fmt.Errorf("receive %s: %w", params.MimeType, framing.ErrCodec)
	}
	in := &Inbound{
		cfg: cfg, codec: codec, payload: uint8(params.PayloadType),
		capture:  ExtensionID(cfg.Receiver.GetParameters().HeaderExtensions, AbsCaptureTimeURI),
		depends:  ExtensionID(cfg.Receiver.GetParameters().HeaderExtensions, framing.DependencyURI),
		timeline: cfg.Timeline.track(codec),
	}
	if redundant {
		in.payload, in.redundant = 0, in.payload
	}
	for _, fb := range params.RTCPFeedback {
		in.repairs = in.repairs || fb.Type == webrtc.TypeRTCPFBNACK && fb.Parameter == ""
	}
	if in.cfg.MaxWait == 0 {
		in.cfg.MaxWait = waitReorder
		if in.repairs {
			in.cfg.MaxWait = waitRepair
			in.adapts = !codec.Audio()
		}
	}
	return in, in.reset()
}

// Codec returns the track's codec. While Run is active, only its Sink may ask.
func (in *Inbound) Codec() framing.Codec { return in.codec }

// SSRC returns the stream's SSRC.
func (in *Inbound) SSRC() uint32 { return uint32(in.cfg.Track.SSRC()) }

// Run feeds frames to sink until the track ends, which is when the peer
// connection closes.
func (in *Inbound) Run(sink Sink) {
	var reports sync.WaitGroup
	reports.Go(in.readReports)
	in.receive(sink)
	reports.Wait() // it ends with the peer connection, as this did
}

func (in *Inbound) receive(sink Sink) {
	buf := make([]byte, receiveMTU)
	for {
		if err := in.arm(time.Now()); err != nil {
			return // the track is closed
		}
		n, how, err := in.cfg.Track.Read(buf)
		now := time.Now()
		switch {
		case err == nil:
			if how.Get(webrtc.AttributeRtxSsrc) != nil && n >= 4 {
				in.losses.Answered(binary.BigEndian.Uint16(buf[2:]), now)
			}
			in.packet(buf[:n], now, sink)
		case isTimeout(err):
		case errors.Is(err, io.ErrShortBuffer):
			in.count.lost.Add(1) // larger than any packet that was negotiated
		case errors.Is(err, webrtc.ErrCodecNotFound):
			in.count.duplicates.Add(1) // a payload type that was not negotiated
		default:
			return // pion has several errors for a track that was closed
		}
		in.drain(now, sink)
		in.ask(now)
	}
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// arm sets the read deadline to the next thing to do, if there is any.
func (in *Inbound) arm(now time.Time) error {
	deadline, waiting := in.reorder.Deadline()
	if in.repairs && in.losses.Missing() > 0 {
		if poll := now.Add(pollRepair); !waiting || poll.Before(deadline) {
			deadline, waiting = poll, true
		}
	}
	switch {
	case waiting:
		in.armed = true
		return in.cfg.Track.SetReadDeadline(deadline)
	case in.armed:
		in.armed = false
		return in.cfg.Track.SetReadDeadline(time.Time{})
	}
	return nil
}

// packet takes one RTP packet.
func (in *Inbound) packet(b []byte, now time.Time, sink Sink) {
	n, err := in.header.Unmarshal(b)
	if err != nil {
		in.count.duplicates.Add(1)
		return // it was authenticated, so the peer is broken; count and go on
	}
	pt := in.header.PayloadType
	if pt != in.payload && (pt != in.redundant || pt == 0) && !in.switched(sink) {
		in.count.duplicates.Add(1)
		return
	}
	payload := b[n:]
	if in.header.Padding {
		// RFC 3550, Section 5.1: the last byte counts the padding, itself included.
		pad := 0
		if len(payload) > 0 {
			pad = int(payload[len(payload)-1])
		}
		payload = payload[:max(0, len(payload)-max(pad, 1))]
	}
	in.count.packets.Add(1)
	in.count.bytes.Add(uint64(len(payload)))
	if in.capture != 0 {
		if ext := in.header.GetExtension(in.capture); len(ext) >= 8 {
			in.captured[in.nextCaptured%captureSlots] = capturedFrame{
				timestamp: in.header.Timestamp, at: NTPTime(binary.BigEndian.Uint64(ext)),
			}
			in.nextCaptured++
		}
	}
	var dependency []byte
	if in.depends != 0 {
		dependency = in.header.GetExtension(in.depends)
	}
	seq := in.header.SequenceNumber
	if pt == in.redundant && pt != 0 {
		in.sounds.note(seq, in.header.Timestamp, len(payload) == 0)
		if len(payload) > 0 {
			if payload = in.unwrap(payload, seq, now, sink); payload == nil {
				in.count.duplicates.Add(1)
				return
			}
		}
	}
	in.losses.Received(seq, now)
	if !in.reorder.Push(framing.Packet{
		Seq: seq, Timestamp: in.header.Timestamp, Marker: in.header.Marker, Arrival: now, Payload: payload,
		Dependency: dependency,
	}) {
		in.count.duplicates.Add(1)
	}
}

// switched handles a new payload type, which pion has looked up already, and
// reports whether we can go on with it.
func (in *Inbound) switched(sink Sink) bool {
	mimeType := in.cfg.Track.Codec().MimeType
	if isRED(mimeType) && in.codec == framing.Opus {
		in.redundant = in.header.PayloadType
		return true
	}
	codec, ok := CodecOf(mimeType)
	if !ok {
		return false
	}
	in.payload = in.header.PayloadType
	if codec == in.codec {
		return true // with other parameters
	}
	in.codec = codec
	if err := in.reset(); err != nil {
		return false
	}
	sink.Switched(codec)
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
				Arrival: e.Arrival, Captured: in.capturedAt(e.Timestamp), Layer: e.Layer,
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

func (in *Inbound) capturedAt(timestamp uint32) time.Time {
	for i := range in.captured {
		if c := &in.captured[i]; c.timestamp == timestamp && !c.at.IsZero() {
			return c.at
		}
	}
	return time.Time{}
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

// readReports feeds the peer's sender reports to the timeline until the track ends.
func (in *Inbound) readReports() {
	read := in.cfg.Receiver.Read
	if rid := in.cfg.Track.RID(); rid != "" {
		read = func(b []byte) (int, interceptor.Attributes, error) { return in.cfg.Receiver.ReadSimulcast(b, rid) }
	}
	buf := make([]byte, receiveMTU)
	for {
		n, _, err := read(buf)
		if err != nil {
			return
		}
		packets, err := rtcp.Unmarshal(buf[:n])
		if err != nil {
			continue // an RTCP type that pion cannot read concerns nobody here
		}
		for _, p := range packets {
			if sr, ok := p.(*rtcp.SenderReport); ok && sr.SSRC == in.SSRC() {
				in.timeline.report(sr.NTPTime, sr.RTPTime)
			}
		}
	}
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
