package stream

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"trellis/edge/framing"
	"trellis/edge/rtc/packet"
)

// RemoteConfig describes a track of a peer connection that is received.
type RemoteConfig struct {
	Track    *webrtc.TrackRemote
	Receiver *webrtc.RTPReceiver
	// Timeline, WriteRTCP and MaxWait are those of InboundConfig.
	Timeline  *Timeline
	WriteRTCP func([]rtcp.Packet) error
	MaxWait   time.Duration
	// RoundTrip is asked for the last round trip to the peer with each of its sender
	// reports; false: none was measured.
	RoundTrip func() (time.Duration, bool)
	Log       *slog.Logger
}

// Remote feeds the packets of a track of pion's to an Inbound.
type Remote struct {
	*Inbound
	track    *webrtc.TrackRemote
	receiver *webrtc.RTPReceiver
	timeline *Timeline
	trip     func() (time.Duration, bool)
	armed    bool // a read deadline is set
}

const (
	// pollRepair is how often retransmissions are looked for: pion hands them out
	// only with the next read.
	pollRepair = 5 * time.Millisecond
	receiveMTU = 1500
)

// NewRemote returns a Remote for a track whose first packet has been seen, so that its
// codec is known.
func NewRemote(cfg RemoteConfig) (*Remote, error) {
	r := &Remote{track: cfg.Track, receiver: cfg.Receiver, timeline: cfg.Timeline, trip: cfg.RoundTrip}
	exts := cfg.Receiver.GetParameters().HeaderExtensions
	format, ok := r.format(uint8(cfg.Track.PayloadType()))
	if !ok {
		return nil, fmt.Errorf("receive %s: %w", cfg.Track.Codec().MimeType, framing.ErrCodec)
	}
	in, err := NewInbound(InboundConfig{
		SSRC: uint32(cfg.Track.SSRC()), Format: format, Lookup: r.format,
		Capture: ExtensionID(exts, AbsCaptureTimeURI), Depends: ExtensionID(exts, framing.DependencyURI),
		Timeline: cfg.Timeline, WriteRTCP: cfg.WriteRTCP, MaxWait: cfg.MaxWait, Log: cfg.Log,
	})
	r.Inbound = in
	return r, err
}

// format returns what the track's packets are, which pion has looked up already.
func (r *Remote) format(pt uint8) (Format, bool) {
	params := r.track.Codec()
	f := Format{PayloadType: pt}
	for _, fb := range params.RTCPFeedback {
		f.Repairs = f.Repairs || fb.Type == webrtc.TypeRTCPFBNACK && fb.Parameter == ""
	}
	var ok bool
	f.Codec, ok = CodecOf(params.MimeType)
	return f, ok
}

// Run feeds frames to sink until the track ends, which is when the peer connection
// closes.
func (r *Remote) Run(sink Sink) {
	var reports sync.WaitGroup
	reports.Go(r.readReports)
	r.receive(sink)
	reports.Wait() // it ends with the peer connection, as this did
}

func (r *Remote) receive(sink Sink) {
	buf := make([]byte, receiveMTU)
	for {
		if err := r.arm(time.Now()); err != nil {
			return // the track is closed
		}
		n, how, err := r.track.Read(buf)
		now := time.Now()
		switch {
		case err == nil:
			h, err := packet.ParseHeader(buf[:n])
			if err != nil {
				r.count.duplicates.Add(1)
				break // it was authenticated, so the peer is broken; count and go on
			}
			r.Receive(packet.Packet{Header: h, Payload: buf[h.Size:n], Arrival: now}, how.Get(webrtc.AttributeRtxSsrc) != nil, sink)
			continue
		case isTimeout(err):
		case errors.Is(err, io.ErrShortBuffer):
			r.count.lost.Add(1) // larger than any packet that was negotiated
		case errors.Is(err, webrtc.ErrCodecNotFound):
			r.count.duplicates.Add(1) // a payload type that was not negotiated
		default:
			return // pion has several errors for a track that was closed
		}
		r.Tick(now, sink)
	}
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// arm sets the read deadline to the next thing to do, if there is any.
func (r *Remote) arm(now time.Time) error {
	deadline, waiting := r.Next()
	if waiting && r.repairs && r.losses.Missing() > 0 {
		if poll := now.Add(pollRepair); poll.Before(deadline) {
			deadline = poll
		}
	}
	switch {
	case waiting:
		r.armed = true
		return r.track.SetReadDeadline(deadline)
	case r.armed:
		r.armed = false
		return r.track.SetReadDeadline(time.Time{})
	}
	return nil
}

// readReports feeds the peer's sender reports to the timeline until the track ends.
func (r *Remote) readReports() {
	read := r.receiver.Read
	if rid := r.track.RID(); rid != "" {
		read = func(b []byte) (int, interceptor.Attributes, error) { return r.receiver.ReadSimulcast(b, rid) }
	}
	buf := make([]byte, receiveMTU)
	for {
		n, _, err := read(buf)
		if err != nil {
			return
		}
		now := time.Now()
		packets, err := rtcp.Unmarshal(buf[:n])
		if err != nil {
			continue // an RTCP type that pion cannot read concerns nobody here
		}
		for _, p := range packets {
			if sr, ok := p.(*rtcp.SenderReport); ok && sr.SSRC == r.SSRC() {
				if trip, ok := r.trip(); ok {
					r.timeline.RoundTrip(trip)
				}
				r.Report(sr.NTPTime, sr.RTPTime, now)
			}
		}
	}
}
