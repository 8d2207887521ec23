package rtc

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"

	"trellis/edge/framing"
	"trellis/edge/rtc/receive"
	"trellis/edge/rtc/stream"
)

// acceptedMedia is what a publisher may send in a section of its offer.
type acceptedMedia struct {
	*offeredMedia
	mid     string
	codecs  []offeredCodec
	rids    []string // of its streams (RFC 8853); empty: it is one
	formats map[uint8]stream.Format
}

// accept says what we take of a section. False: it has no codec that we carry.
func (m *offeredMedia) accept() (acceptedMedia, bool) {
	a := acceptedMedia{offeredMedia: m, formats: map[uint8]stream.Format{}}
	a.mid, _ = m.desc.Attribute("mid")
	for _, c := range m.codecs {
		if !sendable(c) {
			continue
		}
		a.codecs = append(a.codecs, c)
		f := stream.Format{PayloadType: c.pt, Codec: c.codec, Repairs: !m.audio && slices.Contains(c.feedback, "nack")}
		a.formats[c.pt] = f
		if c.red != 0 && c.codec == framing.Opus {
			a.formats[c.red] = stream.Format{PayloadType: c.red, Codec: c.codec, RED: true}
		}
	}
	if !m.audio {
		a.rids = m.sends()
	}
	return a, len(a.codecs) > 0
}

// sendable reports whether viewers can be sent what a publisher makes in a format: of
// H.264 the profiles that browsers decode, though they offer others.
func sendable(c offeredCodec) bool {
	if c.codec != framing.H264 {
		return true
	}
	id := parseFMTP(c.fmtp)["profile-level-id"]
	if id == "" {
		return true // RFC 6184, Section 8.1: baseline
	}
	v, err := strconv.ParseUint(id, 16, 24)
	_, ok := h264ProfileOf(byte(v>>16), byte(v>>8))
	return err == nil && ok
}

// sends returns the names of the streams that a section offers to send: RFC 8853, Section
// 5.1. Of alternatives we take the first.
func (m *offeredMedia) sends() []string {
	var known, rids []string
	for _, a := range m.desc.Attributes {
		if id, rest, ok := strings.Cut(a.Value, " "); ok && a.Key == "rid" && strings.HasPrefix(rest, "send") &&
			isRID(id) && !slices.Contains(known, id) {
			known = append(known, id)
		}
	}
	value, _ := m.desc.Attribute("simulcast")
	fields := strings.Fields(value)
	for i := 0; i+1 < len(fields); i += 2 {
		if fields[i] != "send" {
			continue
		}
		for alternatives := range strings.SplitSeq(fields[i+1], ";") {
			id, _, _ := strings.Cut(alternatives, ",")
			if id = strings.TrimPrefix(id, "~"); slices.Contains(known, id) && !slices.Contains(rids, id) {
				rids = append(rids, id)
			}
		}
	}
	if len(rids) == 0 {
		return known
	}
	return rids
}

// isRID reports whether a name is one of a stream: RFC 8851, Section 10, which leaves out
// "-" and "_", that clients use.
func isRID(s string) bool {
	return s != "" && len(s) <= 32 && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
}

// section says how its packets are told from others.
func (a *acceptedMedia) section() receive.Section {
	s := receive.Section{MID: a.mid, RIDs: a.rids, Repairs: map[uint8]uint8{}}
	for pt := range a.formats {
		s.Media = append(s.Media, pt)
	}
	for _, c := range a.codecs {
		if c.rtx != 0 && !a.audio {
			s.Repairs[c.rtx] = c.pt
		}
	}
	for _, attr := range a.desc.Attributes {
		switch attr.Key {
		case "ssrc":
			id, _, _ := strings.Cut(attr.Value, " ")
			if ssrc, err := strconv.ParseUint(id, 10, 32); err == nil && !slices.Contains(s.SSRCs, uint32(ssrc)) {
				s.SSRCs = append(s.SSRCs, uint32(ssrc))
			}
		case "ssrc-group":
			var media, again uint32
			if n, err := fmt.Sscanf(attr.Value, "FID %d %d", &media, &again); err == nil && n == 2 {
				s.Groups = append(s.Groups, [2]uint32{media, again})
			}
		}
	}
	return s
}

// lookup finds the format of a payload type.
func (a *acceptedMedia) lookup(pt uint8) (stream.Format, bool) {
	f, ok := a.formats[pt]
	return f, ok
}

// describe writes the section of the answer, but for its transport: we receive it.
func (a *acceptedMedia) describe() answeredSection {
	section := newSection(a.desc)
	md := section.desc.WithPropertyAttribute("rtcp-mux")
	if _, ok := a.desc.Attribute("rtcp-rsize"); ok {
		md.WithPropertyAttribute("rtcp-rsize")
	}
	// In the order of the offer: publishers use the first that they can.
	for _, pt := range a.desc.MediaName.Formats {
		a.describeFormat(md, pt)
	}
	uris := []string{stream.AbsCaptureTimeURI, sdp.SDESMidURI, sdp.TransportCCURI}
	if !a.audio {
		uris = append(uris, framing.DependencyURI, sdp.SDESRTPStreamIDURI, sdp.SDESRepairRTPStreamIDURI)
	}
	for _, uri := range uris {
		if id := a.extension(uri); id != 0 {
			md.WithValueAttribute("extmap", fmt.Sprintf("%d %s", id, uri))
		}
	}
	for _, rid := range a.rids {
		md.WithValueAttribute("rid", rid+" recv")
	}
	if len(a.rids) > 0 {
		md.WithValueAttribute("simulcast", "recv "+strings.Join(a.rids, ";"))
	}
	md.WithPropertyAttribute("recvonly")
	return section
}

// describeFormat adds a format of the offer, if it is accepted: a codec, its redundancy,
// or its retransmissions.
func (a *acceptedMedia) describeFormat(md *sdp.MediaDescription, pt string) {
	n := payloadType(pt)
	if n == 0 || slices.Contains(md.MediaName.Formats, pt) {
		return
	}
	for _, c := range a.codecs {
		var mapping, fmtp string
		switch {
		case n == c.pt:
			mapping, fmtp = c.mapping, c.fmtp
		case n == c.red && a.formats[n].RED:
			mapping, fmtp = redMapping, fmt.Sprintf("%d/%d", c.pt, c.pt)
		case n == c.rtx && !a.audio:
			mapping, fmtp = fmt.Sprintf("rtx/%d", c.codec.ClockRate()), fmt.Sprintf("apt=%d", c.pt)
		default:
			continue
		}
		md.MediaName.Formats = append(md.MediaName.Formats, pt)
		md.WithValueAttribute("rtpmap", pt+" "+mapping)
		if fmtp != "" {
			md.WithValueAttribute("fmtp", pt+" "+fmtp)
		}
		if n != c.pt {
			return
		}
		feedback := []string{"transport-cc"}
		if !a.audio {
			feedback = append(feedback, "ccm fir", "nack", "nack pli")
		}
		for _, fb := range feedback {
			if slices.Contains(c.feedback, fb) {
				md.WithValueAttribute("rtcp-fb", pt+" "+fb)
			}
		}
		return
	}
}
