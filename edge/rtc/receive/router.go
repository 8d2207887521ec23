package receive

import (
	"slices"

	"trellis/edge/rtc/packet"
)

// Section is a media section of an offer, as far as it tells packets apart.
type Section struct {
	MID string
	// RIDs names the streams that it sends (RFC 8853); empty: it sends one.
	RIDs []string
	// Media lists the payload types of media.
	Media []uint8
	// Repairs has those of retransmissions (RFC 4588), with the one that each repeats.
	Repairs map[uint8]uint8
	// SSRCs are those that it declares, in its order, and Groups pairs of them, the
	// second of which repeats the first (RFC 5576, Section 4.2, FID).
	SSRCs  []uint32
	Groups [][2]uint32
}

// IDs are the numbers of the header extensions that name a stream, zero without: RFC
// 8843, Section 15, and RFC 8852, Section 4.
type IDs struct{ MID, RID, RepairedRID uint8 }

// Stream is one stream of media that a publisher may send.
type Stream struct {
	Section int
	RID     string
}

// Route says what a packet is.
type Route struct {
	Stream int
	// Repair: it is a retransmission of a packet of the stream.
	Repair bool
	// PayloadType is that of the media in it.
	PayloadType uint8
	// Moved: the stream came from another SSRC before.
	Moved bool
}

// Refusal says why a packet belongs to nothing.
type Refusal uint8

// The refusals.
const (
	Taken        Refusal = iota
	NoStream             // nothing says of which stream it is
	NoFormat             // of a payload type that was not negotiated
	LeftBehind           // of an SSRC whose stream goes on with another, or that was never used
	TooManySSRCs         // more of them than are remembered
)

// maxSources bounds the SSRCs that are remembered, declared ones included.
const maxSources = 160

// Router tells which stream a packet belongs to. It belongs to one goroutine at a time.
//
// An SSRC is known by the offer, or by its first packet: by its MID and RID, else by its
// payload type (RFC 8843, Section 9.2). It stays with its stream. An SSRC that is new in a stream
// takes it over: the publisher has begun anew, and the one before is not heard any more.
type Router struct {
	ids      IDs
	sections []section
	streams  []stream
	sources  []source
	last     int // index of the source of the last packet
	repeats  map[uint32]uint32
}

type section struct {
	Section
	first   int // of its streams
	formats [128]format
}

// format is a payload type in a section.
type format struct {
	known, repair bool
	media         uint8
}

type stream struct {
	Stream
	ssrc  uint32
	begun bool
}

type source struct {
	ssrc    uint32
	stream  int
	repair  bool
	begun   bool
	retired bool
}

// NewRouter returns the Router of an offer.
func NewRouter(sections []Section, ids IDs) *Router {
	r := &Router{ids: ids, repeats: map[uint32]uint32{}}
	for i, s := range sections {
		sec := section{Section: s, first: len(r.streams)}
		for _, pt := range s.Media {
			sec.formats[pt&0x7f] = format{known: true, media: pt & 0x7f}
		}
		for pt, media := range s.Repairs {
			if sec.formats[media&0x7f].known {
				sec.formats[pt&0x7f] = format{known: true, repair: true, media: media & 0x7f}
			}
		}
		for _, rid := range s.RIDs {
			r.streams = append(r.streams, stream{Stream: Stream{Section: i, RID: rid}})
		}
		for _, g := range s.Groups {
			r.repeats[g[1]] = g[0]
		}
		if len(s.RIDs) == 0 {
			r.declare(s)
			r.streams = append(r.streams, stream{Stream: Stream{Section: i}})
		}
		r.sections = append(r.sections, sec)
	}
	return r
}

// declare makes the SSRCs of a section with one stream known, which is the next one. The first is the
// stream's; others that repeat nothing are of no use: FEC, or layers that nothing tells
// apart.
func (r *Router) declare(s Section) {
	found := false
	for _, ssrc := range s.SSRCs {
		if len(r.sources) == maxSources || r.find(ssrc) != nil {
			continue
		}
		_, repair := r.repeats[ssrc]
		r.sources = append(r.sources, source{ssrc: ssrc, stream: len(r.streams), repair: repair, retired: found && !repair})
		found = found || !repair
	}
}

// Streams lists the streams, by the numbers of Route.
func (r *Router) Streams() []Stream {
	all := make([]Stream, len(r.streams))
	for i, s := range r.streams {
		all[i] = s.Stream
	}
	return all
}

func (r *Router) find(ssrc uint32) *source {
	if r.last < len(r.sources) && r.sources[r.last].ssrc == ssrc {
		return &r.sources[r.last]
	}
	for i := range r.sources {
		if r.sources[i].ssrc == ssrc {
			r.last = i
			return &r.sources[i]
		}
	}
	return nil
}

// Route says what a packet is, or why it is nothing.
func (r *Router) Route(h *packet.Header) (Route, Refusal) {
	src := r.find(h.SSRC)
	if src == nil {
		var why Refusal
		if src, why = r.admit(h); why != Taken {
			return Route{}, why
		}
	}
	st := &r.streams[src.stream]
	f := r.sections[st.Section].formats[h.PayloadType&0x7f]
	switch {
	case src.retired:
		return Route{}, LeftBehind
	case !f.known || f.repair != src.repair:
		return Route{}, NoFormat
	}
	to := Route{Stream: src.stream, Repair: f.repair, PayloadType: f.media}
	if !src.repair && !src.begun {
		if to.Moved = st.begun; to.Moved {
			r.retire(src.stream, h.SSRC)
		}
		st.ssrc, st.begun = h.SSRC, true
	}
	src.begun = true
	return to, Taken
}

// retire leaves the sources of a stream behind for a new one: what an old one repeats is
// not of its numbers.
func (r *Router) retire(stream int, ssrc uint32) {
	for i := range r.sources {
		s := &r.sources[i]
		if s.stream == stream && s.begun && s.ssrc != ssrc && r.repeats[s.ssrc] != ssrc {
			s.retired = true
		}
	}
}

// admit finds the stream of an SSRC by its packet.
func (r *Router) admit(h *packet.Header) (*source, Refusal) {
	if len(r.sources) == maxSources {
		return nil, TooManySSRCs
	}
	i, why := r.section(h)
	if why != Taken {
		return nil, why
	}
	sec := &r.sections[i]
	f := sec.formats[h.PayloadType&0x7f]
	if !f.known {
		return nil, NoFormat
	}
	to, ok := r.stream(sec, h, f.repair)
	if !ok {
		return nil, NoStream // its next packet may say more
	}
	r.last = len(r.sources)
	r.sources = append(r.sources, source{ssrc: h.SSRC, stream: to, repair: f.repair})
	return &r.sources[r.last], Taken
}

// section finds the section of a packet: RFC 8843, Section 9.2.
func (r *Router) section(h *packet.Header) (int, Refusal) {
	if mid := h.Extension(r.ids.MID); len(mid) > 0 {
		i := slices.IndexFunc(r.sections, func(s section) bool { return s.MID == string(mid) })
		if i < 0 {
			return 0, NoStream
		}
		return i, Taken
	}
	found := -1
	for i := range r.sections {
		if !r.sections[i].formats[h.PayloadType&0x7f].known {
			continue
		}
		if found >= 0 {
			return 0, NoStream
		}
		found = i
	}
	if found < 0 {
		return 0, NoFormat
	}
	return found, Taken
}

// stream finds the stream of a packet within its section.
func (r *Router) stream(sec *section, h *packet.Header, repair bool) (int, bool) {
	if len(sec.RIDs) == 0 {
		return sec.first, true
	}
	if ssrc, ok := r.repeats[h.SSRC]; ok && repair {
		if media := r.find(ssrc); media != nil && !media.repair {
			return media.stream, true
		}
	}
	rid := h.Extension(r.ids.RID)
	if repaired := h.Extension(r.ids.RepairedRID); repair && len(repaired) > 0 {
		rid = repaired
	}
	if i := slices.Index(sec.RIDs, string(rid)); i >= 0 {
		return sec.first + i, true
	}
	return sec.first, len(sec.RIDs) == 1 && len(rid) == 0
}
