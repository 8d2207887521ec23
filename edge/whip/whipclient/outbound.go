package whipclient

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"trellis/edge/framing"
	"trellis/edge/rtc/stream"
)

// reportInterval is the time between sender reports. The first goes out with
// the first frame, so that the server can align audio and video from the start.
const reportInterval = time.Second

// outbound is one published track: a webrtc.TrackLocal that packetizes.
type outbound struct {
	codec framing.Codec
	id    string
	rid   string
	pc    *webrtc.PeerConnection
	clock func() time.Time // that frames are stamped with
	asked *references
	bound atomic.Bool
	count counters

	// Set in Bind, before bound.
	writer  webrtc.TrackLocalWriter
	ssrc    uint32
	pt      uint8
	capture uint8 // id of the abs-capture-time extension, 0 if not negotiated
	midID   uint8 // of those that say of which layer a packet is, likewise
	ridID   uint8

	// Set once all is negotiated.
	mid string

	// Owned by the writing goroutine.
	packetizer framing.Packetizer
	payloads   framing.Payloads
	seq        uint16
	tsBase     uint32
	reported   time.Time
}

func newOutbound(src Source, s *session, asked *references) (*outbound, error) {
	p, err := framing.NewPacketizer(src.Codec, framing.PacketizerConfig{})
	if err != nil {
		return nil, err
	}
	return &outbound{
		codec: src.Codec, id: src.Codec.String(), rid: src.RID, pc: s.pc, clock: s.cfg.Clock, asked: asked, packetizer: p,
		seq: cmp.Or(src.Sequence, uint16(rand.Uint32())), tsBase: rand.Uint32(),
	}, nil
}

// Bind implements webrtc.TrackLocal. It is called once the answer is known.
func (o *outbound) Bind(ctx webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	for _, c := range ctx.CodecParameters() {
		if codec, ok := stream.CodecOf(c.MimeType); ok && codec == o.codec {
			o.writer, o.ssrc, o.pt = ctx.WriteStream(), uint32(ctx.SSRC()), uint8(c.PayloadType)
			o.capture = stream.ExtensionID(ctx.HeaderExtensions(), stream.AbsCaptureTimeURI)
			o.midID = stream.ExtensionID(ctx.HeaderExtensions(), sdp.SDESMidURI)
			o.ridID = stream.ExtensionID(ctx.HeaderExtensions(), sdp.SDESRTPStreamIDURI)
			o.bound.Store(true)
			return c, nil
		}
	}
	return webrtc.RTPCodecParameters{}, fmt.Errorf("%s was not negotiated: %w", o.codec, webrtc.ErrUnsupportedCodec)
}

// Unbind implements webrtc.TrackLocal.
func (o *outbound) Unbind(webrtc.TrackLocalContext) error { return nil }

// ID implements webrtc.TrackLocal.
func (o *outbound) ID() string { return o.id }

// RID implements webrtc.TrackLocal.
func (o *outbound) RID() string { return o.rid }

// StreamID implements webrtc.TrackLocal.
func (o *outbound) StreamID() string { return "trellis" }

// Kind implements webrtc.TrackLocal.
func (o *outbound) Kind() webrtc.RTPCodecType {
	if o.codec.Audio() {
		return webrtc.RTPCodecTypeAudio
	}
	return webrtc.RTPCodecTypeVideo
}

func (o *outbound) write(f Frame) error {
	if !o.bound.Load() {
		return fmt.Errorf("write %s: not negotiated", o.codec)
	}
	now := time.Now()
	o.payloads.Reset()
	if err := o.packetizer.Packetize(f.Data, f.Key || o.codec.Audio(), &o.payloads); err != nil {
		return fmt.Errorf("write %s at %v: %w", o.codec, f.PTS, err)
	}
	ts := o.tsBase + stream.Ticks(f.PTS.Microseconds(), o.codec.ClockRate())
	if now.Sub(o.reported) >= reportInterval {
		o.reported = now
		if err := o.report(now, ts); err != nil {
			return fmt.Errorf("report %s: %w", o.codec, err)
		}
	}
	n := o.payloads.Len()
	for i := range n {
		h := rtp.Header{
			Version: 2, PayloadType: o.pt, SSRC: o.ssrc, SequenceNumber: o.seq, Timestamp: ts,
			Marker: i == n-1 && !o.codec.Audio(),
		}
		if i == 0 && o.capture != 0 {
			var ext [8]byte
			binary.BigEndian.PutUint64(ext[:], stream.NTP(o.clock()))
			if err := h.SetExtension(o.capture, ext[:]); err != nil {
				return fmt.Errorf("write %s: %w", o.codec, err)
			}
		}
		if err := o.nameLayer(&h); err != nil {
			return fmt.Errorf("write %s: %w", o.codec, err)
		}
		payload := o.payloads.At(i)
		if _, err := o.writer.WriteRTP(&h, payload); err != nil {
			return fmt.Errorf("write %s: %w", o.codec, err)
		}
		o.seq++
		o.count.packets.Add(1)
		o.count.bytes.Add(uint64(len(payload)))
	}
	o.count.frames.Add(1)
	return nil
}

// nameLayer says of which layer a packet is, in all of them: no one tells us which the
// server has heard (RFC 8852, Section 3.1).
func (o *outbound) nameLayer(h *rtp.Header) error {
	if o.rid == "" || o.midID == 0 || o.ridID == 0 {
		return nil
	}
	if err := h.SetExtension(o.midID, []byte(o.mid)); err != nil {
		return err
	}
	return h.SetExtension(o.ridID, []byte(o.rid))
}

// report sends a sender report: the frame that is due now has this timestamp.
// RFC 3550, Section 6.4.1.
func (o *outbound) report(now time.Time, ts uint32) error {
	packets := []rtcp.Packet{&rtcp.SenderReport{
		SSRC: o.ssrc, NTPTime: stream.NTP(o.clock()), RTPTime: ts,
		PacketCount: uint32(o.count.packets.Load()), OctetCount: uint32(o.count.bytes.Load()),
	}}
	if answer := o.asked.answer(o.ssrc, now); answer != nil {
		packets = append(packets, answer)
	}
	return o.pc.WriteRTCP(packets)
}

// readFeedback counts what the server asks for until the session ends. NACKs are
// answered by pion's responder on the way here.
func (o *outbound) readFeedback(sender *webrtc.RTPSender, keyframe chan<- struct{}) {
	for {
		packets, err := o.feedback(sender)
		if err != nil {
			return
		}
		for _, p := range packets {
			switch p := p.(type) {
			case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
				o.count.keyframes.Add(1)
				select {
				case keyframe <- struct{}{}:
				default: // the last request is still waiting
				}
			case *rtcp.TransportLayerNack:
				for _, pair := range p.Nacks {
					o.count.nacks.Add(uint64(len(pair.PacketList())))
				}
			}
		}
	}
}

func (o *outbound) feedback(sender *webrtc.RTPSender) (packets []rtcp.Packet, err error) {
	if o.rid != "" {
		packets, _, err = sender.ReadSimulcastRTCP(o.rid)
	} else {
		packets, _, err = sender.ReadRTCP()
	}
	return packets, err
}

func (o *outbound) stats() PublishStats {
	return PublishStats{
		Frames: o.count.frames.Load(), Packets: o.count.packets.Load(), Bytes: o.count.bytes.Load(),
		KeyframeRequests: o.count.keyframes.Load(), NACKs: o.count.nacks.Load(),
	}
}
