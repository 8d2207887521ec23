package rtc

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"

	"trellis/edge/rtc/channels"
	"trellis/edge/rtc/stream"
	"trellis/edge/rtc/transport"
)

// cname names us as a source of media; one per process is enough, since all
// tracks of a viewer come from one clock (RFC 7022).
const cname = "trellis"

// answered is what the answer to a viewer's offer says of one section.
type answered struct {
	media *offeredMedia
	codec offeredCodec
	track *viewerTrack // nil: the broadcast has none of this kind
	msid  string       // a=msid; empty: all tracks are of one stream
	// open keeps all formats that we could send in the answer: the section may carry
	// another track some day, and some clients offer only what was answered before.
	open bool

	// data is a section of data channels instead, refused one that we reject.
	data, refused *sdp.MediaDescription
}

// offered returns the section that is accepted.
func (s answered) offered() *sdp.MediaDescription {
	if s.data != nil {
		return s.data
	}
	return s.media.desc
}

// writeAnswer answers a viewer's offer: we send, over one transport, with ICE as
// a lite agent (RFC 8829, RFC 8839).
func writeAnswer(o *offer, sections []answered, local transport.Local, fingerprint string) (string, error) {
	all := make([]answeredSection, len(sections))
	for i, s := range sections {
		if s.refused != nil {
			all[i].desc = refuse(s.refused)
			continue
		}
		all[i] = newSection(s.offered())
		md := all[i].desc
		if s.data != nil {
			describeChannels(md)
			continue
		}
		s.describe(md)
		if s.open {
			s.keepFormats(md)
		}
	}
	return composeAnswer(o, all, local, fingerprint)
}

// answeredSection is a section of an answer, but for its transport.
type answeredSection struct {
	mid  string // empty: it is rejected
	desc *sdp.MediaDescription
}

// newSection returns the beginning of a section that is accepted.
func newSection(offered *sdp.MediaDescription) answeredSection {
	mid, _ := offered.Attribute("mid")
	md := &sdp.MediaDescription{
		MediaName: sdp.MediaName{
			Media: offered.MediaName.Media, Port: sdp.RangedPort{Value: 9}, Protos: slices.Clone(offered.MediaName.Protos),
		},
		ConnectionInformation: &sdp.ConnectionInformation{
			NetworkType: "IN", AddressType: "IP4", Address: &sdp.Address{Address: "0.0.0.0"},
		},
	}
	return answeredSection{mid: mid, desc: md.WithValueAttribute("mid", mid)}
}

// composeAnswer puts sections and the transport that they share together.
func composeAnswer(o *offer, sections []answeredSection, local transport.Local, fingerprint string) (string, error) {
	d := &sdp.SessionDescription{
		Origin: sdp.Origin{
			Username: "-", SessionID: o.desc.Origin.SessionID, SessionVersion: o.desc.Origin.SessionVersion,
			NetworkType: "IN", AddressType: "IP4", UnicastAddress: "0.0.0.0",
		},
		SessionName:      "-",
		TimeDescriptions: []sdp.TimeDescription{{}},
	}
	var bundled []string
	for _, s := range sections {
		if s.mid != "" {
			bundled = append(bundled, s.mid)
		}
	}
	d.WithPropertyAttribute("ice-lite").
		WithValueAttribute("group", "BUNDLE "+strings.Join(bundled, " ")).
		WithPropertyAttribute("extmap-allow-mixed").
		WithValueAttribute("msid-semantic", "WMS *")
	setup := "passive"
	if o.attribute("setup") == "passive" {
		setup = "active"
	}
	first := true
	for _, s := range sections {
		md := s.desc
		d.WithMedia(md)
		if s.mid == "" {
			continue
		}
		md.WithValueAttribute("ice-ufrag", local.Ufrag).
			WithValueAttribute("ice-pwd", local.Pwd).
			WithValueAttribute("fingerprint", fingerprint).
			WithValueAttribute("setup", setup)
		if first {
			for _, c := range local.Candidates {
				md.WithValueAttribute("candidate", c)
			}
			md.WithPropertyAttribute("end-of-candidates")
		}
		first = false
	}
	b, err := d.Marshal()
	if err != nil {
		return "", fmt.Errorf("write answer: %w", err)
	}
	return string(b), nil
}

// describeChannels writes a section of data channels: RFC 8841.
func describeChannels(md *sdp.MediaDescription) {
	md.MediaName.Formats = []string{channelFormat}
	md.WithValueAttribute("sctp-port", strconv.Itoa(channels.Port)).
		WithValueAttribute("max-message-size", strconv.Itoa(channels.MaxMessage))
}

// channelFormat is the format of sections with data channels: RFC 8832, Section 8.2.2.
const channelFormat = "webrtc-datachannel"

// offersChannels reports whether a section has data channels that we can open.
func offersChannels(desc *sdp.SessionDescription, md *sdp.MediaDescription) bool {
	port, _ := md.Attribute("sctp-port")
	return md.MediaName.Media == "application" && md.MediaName.Port.Value != 0 && slices.Contains(md.MediaName.Formats, channelFormat) &&
		slices.Contains(md.MediaName.Protos, "SCTP") && port == strconv.Itoa(channels.Port) && checkTransport(desc, md) == nil
}

// refuse answers a section by rejecting it: RFC 8829, Section 5.3.1.
func refuse(offered *sdp.MediaDescription) *sdp.MediaDescription {
	md := &sdp.MediaDescription{
		MediaName: sdp.MediaName{
			Media: offered.MediaName.Media, Protos: slices.Clone(offered.MediaName.Protos), Formats: slices.Clone(offered.MediaName.Formats),
		},
		ConnectionInformation: &sdp.ConnectionInformation{
			NetworkType: "IN", AddressType: "IP4", Address: &sdp.Address{Address: "0.0.0.0"},
		},
	}
	if mid, ok := offered.Attribute("mid"); ok {
		md.WithValueAttribute("mid", mid)
	}
	return md.WithPropertyAttribute("inactive")
}

// keepFormats adds the formats besides the one that is used.
func (s answered) keepFormats(md *sdp.MediaDescription) {
	for _, c := range s.media.codecs {
		if c.pt == s.codec.pt {
			continue
		}
		pt := strconv.Itoa(int(c.pt))
		md.MediaName.Formats = append(md.MediaName.Formats, pt)
		md.WithValueAttribute("rtpmap", pt+" "+c.mapping)
		if c.fmtp != "" {
			md.WithValueAttribute("fmtp", pt+" "+c.fmtp)
		}
		for _, fb := range []string{"nack pli", "ccm fir", "nack", "transport-cc"} {
			if slices.Contains(c.feedback, fb) {
				md.WithValueAttribute("rtcp-fb", pt+" "+fb)
			}
		}
		if c.rtx != 0 && !s.media.audio {
			rtx := strconv.Itoa(int(c.rtx))
			md.MediaName.Formats = append(md.MediaName.Formats, rtx)
			md.WithValueAttribute("rtpmap", fmt.Sprintf("%s rtx/%d", rtx, c.codec.ClockRate())).
				WithValueAttribute("fmtp", fmt.Sprintf("%s apt=%s", rtx, pt))
		}
	}
}

// describe writes one section, but for its transport.
func (s answered) describe(md *sdp.MediaDescription) {
	pt := strconv.Itoa(int(s.codec.pt))
	md.MediaName.Formats = []string{pt}
	md.WithPropertyAttribute("rtcp-mux").
		WithPropertyAttribute("rtcp-rsize").
		WithValueAttribute("rtpmap", pt+" "+s.codec.mapping)
	if s.codec.fmtp != "" {
		md.WithValueAttribute("fmtp", pt+" "+s.codec.fmtp)
	}
	feedback := []string{"nack pli", "ccm fir"}
	if s.track != nil && s.track.cfg.repeatable() {
		feedback = append(feedback, "nack")
	}
	if s.track != nil && s.track.cfg.transport != 0 {
		feedback = append(feedback, "transport-cc")
	}
	for _, fb := range feedback {
		if slices.Contains(s.codec.feedback, fb) {
			md.WithValueAttribute("rtcp-fb", pt+" "+fb)
		}
	}
	if s.track == nil {
		md.WithPropertyAttribute("inactive")
		return
	}
	cfg := s.track.cfg
	if cfg.rtxPT != 0 {
		rtx := strconv.Itoa(int(cfg.rtxPT))
		md.MediaName.Formats = append(md.MediaName.Formats, rtx)
		md.WithValueAttribute("rtpmap", fmt.Sprintf("%s rtx/%d", rtx, cfg.clockRate)).
			WithValueAttribute("fmtp", fmt.Sprintf("%s apt=%s", rtx, pt)).
			WithValueAttribute("ssrc-group", fmt.Sprintf("FID %d %d", cfg.ssrc, cfg.rtxSSRC)) // RFC 5576, Section 4.2
	}
	if cfg.redPT != 0 {
		red := strconv.Itoa(int(cfg.redPT))
		md.MediaName.Formats = append(md.MediaName.Formats, red)
		md.WithValueAttribute("rtpmap", red+" "+redMapping).
			WithValueAttribute("fmtp", fmt.Sprintf("%s %s/%s", red, pt, pt))
	}
	if cfg.fecPT != 0 {
		fec := strconv.Itoa(int(cfg.fecPT))
		md.MediaName.Formats = append(md.MediaName.Formats, fec)
		md.WithValueAttribute("rtpmap", fec+" "+fecMapping)
		if s.media.fecFMT != "" {
			md.WithValueAttribute("fmtp", fec+" "+s.media.fecFMT)
		}
		md.WithValueAttribute("ssrc-group", fmt.Sprintf("FEC-FR %d %d", cfg.ssrc, cfg.fecSSRC)) // RFC 5956, Section 4.3
	}
	if cfg.capture != 0 {
		md.WithValueAttribute("extmap", fmt.Sprintf("%d %s", cfg.capture, stream.AbsCaptureTimeURI))
	}
	if cfg.playout != 0 {
		md.WithValueAttribute("extmap", fmt.Sprintf("%d %s", cfg.playout, stream.PlayoutDelayURI))
	}
	if cfg.transport != 0 {
		md.WithValueAttribute("extmap", fmt.Sprintf("%d %s", cfg.transport, stream.TransportCCURI))
	}
	// Players put the tracks of one stream in step with each other.
	msid := cmp.Or(s.msid, cname+" "+md.MediaName.Media)
	md.WithPropertyAttribute("sendonly").WithValueAttribute("msid", msid)
	for _, ssrc := range []uint32{cfg.ssrc, cfg.rtxSSRC, cfg.fecSSRC} {
		if ssrc != 0 {
			md.WithValueAttribute("ssrc", fmt.Sprintf("%d cname:%s", ssrc, cname)).
				WithValueAttribute("ssrc", fmt.Sprintf("%d msid:%s", ssrc, msid))
		}
	}
}
