package rtc

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/pion/sdp/v3"

	"trellis/edge/framing"
	"trellis/edge/rtc/stream"
	"trellis/edge/rtc/transport"
)

// Limits of an offer. A browser's has two sections, 6 to 12 kB, about 60 formats and
// 300 attributes.
const (
	maxOfferBytes = 64 << 10
	maxSections   = 16
	maxFormats    = 128 // as many as there are payload types
	maxAttributes = 1024
	// maxRIDs and maxSSRCs bound the layers that a section announces, each of which has
	// its own receiver: three, with their retransmissions, and FEC.
	maxRIDs  = 8
	maxSSRCs = 32
)

// offer is a client's SDP offer, as far as we understand it.
type offer struct {
	desc  sdp.SessionDescription
	media []*offeredMedia
	data  *sdp.MediaDescription // a section of data channels that we can open, nil without
}

// offeredMedia is one media section.
type offeredMedia struct {
	desc   *sdp.MediaDescription
	audio  bool
	codecs []offeredCodec
	fec    uint8    // payload type of FlexFEC, zero without
	fecFMT string   // its a=fmtp without the number
	names  []string // encoding names of everything offered, for error messages
}

// offeredCodec is a format of a section that we could use.
type offeredCodec struct {
	codec    framing.Codec
	pt       uint8
	red      uint8  // payload type of the codec with redundancy (RFC 2198), zero without
	rtx      uint8  // payload type of its retransmissions, zero without
	mapping  string // its a=rtpmap without the number
	fmtp     string
	feedback []string    // its a=rtcp-fb without the number
	profile  h264Profile // H.264 only
}

// parseOffer reads an SDP offer. At most one audio and one video section are
// accepted: WHIP and WHEP carry one of each (RFC 9725, Section 4.4.1).
func parseOffer(text string) (*offer, error) {
	if len(text) > maxOfferBytes {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrBadOffer, len(text), maxOfferBytes)
	}
	o := &offer{}
	if err := o.desc.UnmarshalString(text); err != nil {
		return nil, fmt.Errorf("%w: not an SDP session description: %w", ErrBadOffer, err)
	}
	if n := len(o.desc.MediaDescriptions); n == 0 || n > maxSections {
		return nil, fmt.Errorf("%w: %d media sections, need 1 to %d", ErrBadOffer, n, maxSections)
	}
	if err := o.checkSize(maxAttributes); err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for i, md := range o.desc.MediaDescriptions {
		kind := md.MediaName.Media
		switch {
		case kind != "audio" && kind != "video":
			return nil, fmt.Errorf("%w: media section %d is %q: only audio and video are carried", ErrBadOffer, i, kind)
		case seen[kind]:
			return nil, fmt.Errorf("%w: more than one %s section", ErrBadOffer, kind)
		case len(md.MediaName.Formats) > maxFormats:
			return nil, fmt.Errorf("%w: more than %d formats in the %s section", ErrBadOffer, maxFormats, kind)
		}
		seen[kind] = true
		if err := checkTransport(&o.desc, md); err != nil {
			return nil, fmt.Errorf("%w: %s section: %w", ErrBadOffer, kind, err)
		}
		m := &offeredMedia{desc: md, audio: kind == "audio"}
		m.readFormats()
		o.media = append(o.media, m)
	}
	return o, o.checkBundle()
}

// checkSize bounds what an offer makes us look at.
func (o *offer) checkSize(most int) error {
	attributes := len(o.desc.Attributes)
	if _, lite := o.desc.Attribute("ice-lite"); lite {
		// RFC 8445, Section 6.1.1: neither side would check that the other is there.
		return fmt.Errorf("%w: a=ice-lite: we are lite, too", ErrBadOffer)
	}
	for _, md := range o.desc.MediaDescriptions {
		attributes += len(md.Attributes)
		rids, ssrcs := 0, map[string]bool{}
		for _, a := range md.Attributes {
			switch a.Key {
			case "rid":
				rids++
			case "ssrc":
				ssrc, _, _ := strings.Cut(a.Value, " ")
				ssrcs[ssrc] = true
			}
		}
		if rids > maxRIDs || len(ssrcs) > maxSSRCs {
			return fmt.Errorf("%w: %d rids and %d SSRCs in a section, at most %d and %d",
				ErrBadOffer, rids, len(ssrcs), maxRIDs, maxSSRCs)
		}
	}
	if attributes > most {
		return fmt.Errorf("%w: %d attributes, at most %d", ErrBadOffer, attributes, most)
	}
	return nil
}

// checkBundle makes sure that all sections share one transport: RFC 9725, Section
// 4.4.1. A single section does so whether it says it or not.
func (o *offer) checkBundle() error {
	group := ""
	for _, a := range o.desc.Attributes {
		if rest, ok := strings.CutPrefix(a.Value, "BUNDLE"); ok && a.Key == "group" {
			group = rest
		}
	}
	if o.data != nil {
		if mid, _ := o.data.Attribute("mid"); !slices.Contains(strings.Fields(group), mid) {
			o.data = nil // a transport of its own it cannot have
		}
	}
	if group == "" && len(o.media) == 1 {
		return nil
	}
	mids := strings.Fields(group)
	for _, m := range o.media {
		if mid, _ := m.desc.Attribute("mid"); !slices.Contains(mids, mid) {
			return fmt.Errorf("%w: the %s section is not in the BUNDLE group", ErrBadOffer, m.desc.MediaName.Media)
		}
	}
	return nil
}

// checkTransport reports what of ICE and DTLS a section lacks (RFC 8829, Section 5.2.1).
func checkTransport(desc *sdp.SessionDescription, md *sdp.MediaDescription) error {
	for _, key := range []string{"ice-ufrag", "ice-pwd", "fingerprint"} {
		if _, ok := md.Attribute(key); ok {
			continue
		}
		if _, ok := desc.Attribute(key); !ok {
			return fmt.Errorf("no a=%s", key)
		}
	}
	// RFC 5888, Section 4: a token, so that a group can list it between spaces.
	mid, ok := md.Attribute("mid")
	switch {
	case !ok || mid == "":
		return fmt.Errorf("no a=mid")
	case strings.ContainsFunc(mid, unicode.IsSpace):
		return fmt.Errorf("a=mid:%q is not one word", mid)
	}
	return nil
}

func (m *offeredMedia) readFormats() {
	fmtps, feedback, rtx := map[string]string{}, map[string][]string{}, map[string]uint8{}
	red := m.readRED()
	for _, a := range m.desc.Attributes {
		pt, rest, _ := strings.Cut(a.Value, " ")
		switch a.Key {
		case "fmtp":
			fmtps[pt] = rest
			if apt, ok := strings.CutPrefix(rest, "apt="); ok { // RFC 4588, Section 8.1
				apt, _, _ = strings.Cut(apt, ";")
				rtx[apt] = payloadType(pt)
			}
		case "rtcp-fb":
			feedback[pt] = append(feedback[pt], rest)
		}
	}
	for _, a := range m.desc.Attributes {
		if a.Key != "rtpmap" {
			continue
		}
		pt, mapping, _ := strings.Cut(a.Value, " ")
		name, _, _ := strings.Cut(mapping, "/")
		if !slices.Contains(m.desc.MediaName.Formats, pt) {
			continue
		}
		if strings.EqualFold(mapping, fecMapping) && !m.audio {
			m.fec, m.fecFMT = payloadType(pt), fmtps[pt]
		}
		if isHelper(name) {
			continue
		}
		if slices.ContainsFunc(m.codecs, func(c offeredCodec) bool { return c.pt == payloadType(pt) }) {
			continue // said before
		}
		if !slices.Contains(m.names, name) {
			m.names = append(m.names, name)
		}
		c, ok := usable(m.desc.MediaName.Media+"/"+name, fmtps[pt])
		if c.pt = payloadType(pt); !ok || c.pt == 0 {
			continue
		}
		c.rtx, c.red, c.mapping = rtx[pt], red[c.pt], mapping
		c.feedback = slices.Concat(feedback[pt], feedback["*"])
		m.codecs = append(m.codecs, c)
	}
}

// readRED returns the payload types of redundant audio by those of what they hold:
// "red/48000/2" with the format parameters "111/111".
func (m *offeredMedia) readRED() map[uint8]uint8 {
	types := map[string]uint8{}
	for _, a := range m.desc.Attributes {
		pt, mapping, _ := strings.Cut(a.Value, " ")
		if a.Key == "rtpmap" && strings.EqualFold(mapping, redMapping) && slices.Contains(m.desc.MediaName.Formats, pt) {
			types[pt] = payloadType(pt)
		}
	}
	red := map[uint8]uint8{}
	for _, a := range m.desc.Attributes {
		pt, rest, _ := strings.Cut(a.Value, " ")
		if first, _, ok := strings.Cut(rest, "/"); ok && a.Key == "fmtp" && types[pt] != 0 {
			red[payloadType(first)] = types[pt]
		}
	}
	return red
}

// fecMapping is the a=rtpmap of FlexFEC, in the version that browsers have.
const fecMapping = "flexfec-03/90000"

// redMapping is the a=rtpmap of redundant audio, without its number.
const redMapping = "red/48000/2"

// payloadType reads a number that RTP can carry, beside RTCP on one port (RFC
// 5761, Section 4), zero if it is none. Zero itself is a static type that no codec of ours has.
func payloadType(s string) uint8 {
	n, err := strconv.ParseUint(s, 10, 7)
	if err != nil || n >= 64 && n < 96 {
		return 0
	}
	return uint8(n)
}

// isHelper tells formats that carry no media of their own.
func isHelper(name string) bool {
	switch strings.ToLower(name) {
	case "rtx", "red", "ulpfec", "flexfec-03", "cn", "telephone-event":
		return true
	}
	return false
}

// usable reports whether we can carry a format, by its parameters.
func usable(mimeType, fmtp string) (offeredCodec, bool) {
	codec, ok := stream.CodecOf(mimeType)
	if !ok {
		return offeredCodec{}, false
	}
	oc := offeredCodec{codec: codec, fmtp: fmtp}
	params := parseFMTP(fmtp)
	switch codec {
	case framing.H264:
		// RFC 6184, Section 8.1: the mode is 0 if absent, and then no packet may
		// hold a part of a NAL unit, which our frames do not fit.
		if params["packetization-mode"] != "1" {
			return oc, false
		}
		oc.profile, ok = parseH264Profile(params["profile-level-id"])
		return oc, ok
	case framing.VP9: // RFC 9628, Section 7: absent means 0
		return oc, params["profile-id"] == "" || params["profile-id"] == "0"
	case framing.AV1:
		return oc, params["profile"] == "" || params["profile"] == "0"
	case framing.Opus, framing.VP8:
	}
	return oc, true
}

func parseFMTP(s string) map[string]string {
	params := map[string]string{}
	for p := range strings.SplitSeq(s, ";") {
		k, v, _ := strings.Cut(strings.TrimSpace(p), "=")
		params[strings.ToLower(k)] = v
	}
	return params
}

// h264Profile orders the profiles that we carry by what they can decode: each
// decodes streams of those before it.
type h264Profile uint8

const (
	profileConstrainedBaseline h264Profile = iota + 1
	profileBaseline
	profileMain
	profileHigh
)

// parseH264Profile reads a profile-level-id. The level is not compared: browsers
// decode above the level that they offer.
func parseH264Profile(s string) (h264Profile, bool) {
	if s == "" {
		return profileBaseline, true // RFC 6184, Section 8.1: the default
	}
	v, err := strconv.ParseUint(s, 16, 24)
	if err != nil || len(s) != 6 {
		return 0, false
	}
	switch idc := byte(v >> 16); idc {
	case 110, 122, 244:
		// High 10, High 4:2:2 and High 4:4:4 Predictive: whoever decodes one of them
		// decodes High (ITU-T H.264, A.2.5 to A.2.7). Chromium without a hardware
		// decoder offers the last, and not High.
		return profileHigh, true
	default:
		return h264ProfileOf(idc, byte(v>>8))
	}
}

// h264ProfileOf returns the profile of profile_idc and the constraint flags.
func h264ProfileOf(idc, constraints byte) (h264Profile, bool) {
	switch idc {
	case 66:
		// Encoders use none of what plain Baseline adds, and no browser decodes it;
		// both names stand for constrained baseline in practice.
		if constraints&0x40 != 0 {
			return profileConstrainedBaseline, true
		}
		return profileBaseline, true
	case 77:
		if constraints&0x80 != 0 {
			return profileConstrainedBaseline, true
		}
		return profileMain, true
	case 100:
		return profileHigh, true
	}
	return 0, false
}

// decodes reports whether who offers c can decode a stream with that codec
// string, as catalogs have it.
func (c offeredCodec) decodes(codecString string) bool {
	p, err := framing.ParseParams(codecString)
	if err != nil || p.Codec != c.codec {
		return false
	}
	switch p.Codec {
	case framing.H264:
		profile, ok := h264ProfileOf(p.Profile, p.Constraints)
		// Baseline streams are as good as constrained ones, see h264ProfileOf.
		return ok && (profile <= c.profile || profile == profileBaseline)
	case framing.VP9, framing.AV1:
		return p.Profile == 0
	case framing.Opus, framing.VP8:
	}
	return true
}

// section returns the audio or the video section, nil if it was not offered.
func (o *offer) section(audio bool) *offeredMedia {
	for _, m := range o.media {
		if m.audio == audio {
			return m
		}
	}
	return nil
}

// direction returns the section's direction: RFC 8866, Section 6.7.
func (o *offer) direction(m *offeredMedia) string {
	for _, attrs := range [][]sdp.Attribute{m.desc.Attributes, o.desc.Attributes} {
		for _, a := range attrs {
			switch a.Key {
			case "sendrecv", "sendonly", "recvonly", "inactive":
				return a.Key
			}
		}
	}
	return "sendrecv"
}

// extension returns the number of a header extension in a section, zero if it is
// not offered or fits no one-byte header (RFC 8285, Section 4.2).
func (m *offeredMedia) extension(uri string) uint8 {
	for _, a := range m.desc.Attributes {
		if a.Key != "extmap" {
			continue
		}
		fields := strings.Fields(a.Value)
		if len(fields) < 2 || fields[1] != uri {
			continue
		}
		id, _, _ := strings.Cut(fields[0], "/")
		if n, err := strconv.ParseUint(id, 10, 8); err == nil && n >= 1 && n <= 14 {
			return uint8(n)
		}
	}
	return 0
}

// attribute returns an attribute of the first section or of the session.
func (o *offer) attribute(key string) string {
	if v, ok := o.media[0].desc.Attribute(key); ok {
		return v
	}
	v, _ := o.desc.Attribute(key)
	return v
}

// remote returns what the offer says of its transport.
func (o *offer) remote() transport.Remote {
	return transport.Remote{
		Ufrag: o.attribute("ice-ufrag"), Pwd: o.attribute("ice-pwd"),
		Fingerprints: o.fingerprints(), Passive: o.attribute("setup") == "passive",
	}
}

// fingerprints returns all a=fingerprint values.
func (o *offer) fingerprints() []string {
	var all []string
	for _, attrs := range [][]sdp.Attribute{o.desc.Attributes, o.media[0].desc.Attributes} {
		for _, a := range attrs {
			if a.Key == "fingerprint" {
				all = append(all, a.Value)
			}
		}
	}
	return all
}
