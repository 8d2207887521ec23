package moqlite

import (
	"github.com/quic-go/quic-go/quicvarint"

	"trellis/wire"
)

// maxHops bounds the chain of hops of an announcement, as other
// implementations do.
const maxHops = 32

// AnnounceRequest asks for the broadcasts below a prefix, for as long as its
// stream is open:
//
//	ANNOUNCE_REQUEST { prefix str, [04+: exclude_hop varint] }
type AnnounceRequest struct {
	Prefix string
	// ExcludeHop is the requester's own hop id, 0 for none: broadcasts that
	// passed it are of no interest.
	ExcludeHop uint64
}

// Append writes the body of ANNOUNCE_REQUEST.
func (m AnnounceRequest) Append(b []byte, v Version) []byte {
	b = appendString(b, m.Prefix)
	if v.HasHopIDs() {
		b = quicvarint.Append(b, m.ExcludeHop)
	}
	return b
}

// ParseAnnounceRequest reads the body of ANNOUNCE_REQUEST.
func ParseAnnounceRequest(b []byte, v Version) (AnnounceRequest, error) {
	c := cursor{b: b}
	m := AnnounceRequest{Prefix: c.path("announce prefix")}
	if v.HasHopIDs() {
		m.ExcludeHop = c.varint("announce exclude_hop")
	}
	if err := c.end("announce request"); err != nil {
		return AnnounceRequest{}, err
	}
	return m, nil
}

// AnnounceOK is the first reply to a request (05):
//
//	ANNOUNCE_OK { responder_hop varint, active_count varint }
type AnnounceOK struct {
	// Hop is the responder's hop id; it is not repeated in the announcements.
	Hop uint64
	// Active is how many announcements that follow are the initial set.
	Active uint64
}

// Append writes the body of ANNOUNCE_OK.
func (m AnnounceOK) Append(b []byte, _ Version) []byte {
	return quicvarint.Append(quicvarint.Append(b, m.Hop), m.Active)
}

// ParseAnnounceOK reads the body of ANNOUNCE_OK.
func ParseAnnounceOK(b []byte, _ Version) (AnnounceOK, error) {
	c := cursor{b: b}
	m := AnnounceOK{Hop: c.varint("announce ok hop"), Active: c.varint("announce ok count")}
	if err := c.end("announce ok"); err != nil {
		return AnnounceOK{}, err
	}
	return m, nil
}

// Announce says that a broadcast began or ended:
//
//	ANNOUNCE { status u8, suffix str, [02: nothing more] [03: hop_count varint]
//	           [04+: hop_count varint, hop_count x hop varint] }
type Announce struct {
	Active bool
	// Suffix is the name below the prefix asked for, empty on an exact match.
	Suffix string
	// Hops are the hop ids from the publisher on, 0 for unknown. On 04 the
	// responder is the last of them; on 05 it is not among them. 03 carries
	// only how many there are, which is read as so many zeros.
	Hops []uint64
}

// Status bytes. 05 senders may say "updated" for an announcement that replaces
// a live one.
const (
	announceEnded   = 0
	announceActive  = 1
	announceUpdated = 2
)

// Append writes the body of ANNOUNCE.
func (m Announce) Append(b []byte, v Version) []byte {
	status := byte(announceEnded)
	if m.Active {
		status = announceActive
	}
	b = appendString(append(b, status), m.Suffix)
	if !v.HasHops() {
		return b
	}
	b = quicvarint.Append(b, uint64(len(m.Hops)))
	if v.HasHopIDs() {
		for _, hop := range m.Hops {
			b = quicvarint.Append(b, hop)
		}
	}
	return b
}

// ParseAnnounce reads the body of ANNOUNCE.
func ParseAnnounce(b []byte, v Version) (Announce, error) {
	c := cursor{b: b}
	var m Announce
	switch status := c.u8("announce status"); {
	case status == announceEnded:
	case status == announceActive, status == announceUpdated && v >= Version05:
		m.Active = true
	default:
		c.fail(wire.CodeDecode, "announce: status %d", status)
	}
	m.Suffix = c.path("announce suffix")
	var count uint64
	if v.HasHops() {
		count = c.varint("announce hop count")
	}
	if count > maxHops {
		c.fail(wire.CodeBounds, "announce: %d hops, at most %d", count, maxHops)
		return Announce{}, c.err
	}
	if count > 0 {
		m.Hops = make([]uint64, count)
	}
	if v.HasHopIDs() {
		for i := range m.Hops {
			m.Hops[i] = c.varint("announce hop")
		}
	}
	if err := c.end("announce"); err != nil {
		return Announce{}, err
	}
	return m, nil
}

// AnnounceInit is the first reply to a request (02): what is there already.
//
//	ANNOUNCE_INIT { count varint, count x suffix str }
type AnnounceInit struct{ Suffixes []string }

// maxInitial bounds what one message announces; each takes a byte at least.
const maxInitial = MaxMessage / 2

// Append writes the body of ANNOUNCE_INIT.
func (m AnnounceInit) Append(b []byte, _ Version) []byte {
	b = quicvarint.Append(b, uint64(len(m.Suffixes)))
	for _, s := range m.Suffixes {
		b = appendString(b, s)
	}
	return b
}

// ParseAnnounceInit reads the body of ANNOUNCE_INIT.
func ParseAnnounceInit(b []byte, _ Version) (AnnounceInit, error) {
	c := cursor{b: b}
	count := c.varint("announce init count")
	if count > maxInitial {
		c.fail(wire.CodeBounds, "announce init: %d broadcasts, at most %d", count, maxInitial)
	}
	var m AnnounceInit
	for range count {
		if c.err != nil {
			break
		}
		m.Suffixes = append(m.Suffixes, c.path("announce init suffix"))
	}
	if err := c.end("announce init"); err != nil {
		return AnnounceInit{}, err
	}
	return m, nil
}
