package moqlite

import "github.com/quic-go/quic-go/quicvarint"

// MaxDatagram is the largest datagram, header included, that is sent.
const MaxDatagram = 1200

// Datagram is a group of a single frame that travels without a stream (05):
//
//	{ subscribe_id varint, sequence varint, time varint, payload }
//
// The payload reaches to the end.
type Datagram struct {
	SubscribeID uint64
	Sequence    uint64
	// Time is absolute, in units of the track's timescale.
	Time    uint64
	Payload []byte
}

// Append writes the datagram.
func (m Datagram) Append(b []byte, _ Version) []byte {
	b = quicvarint.Append(quicvarint.Append(b, m.SubscribeID), m.Sequence)
	return append(quicvarint.Append(b, m.Time), m.Payload...)
}

// ParseDatagram reads a whole datagram. Payload aliases b.
func ParseDatagram(b []byte, _ Version) (Datagram, error) {
	c := cursor{b: b}
	m := Datagram{
		SubscribeID: c.varint("datagram subscribe id"),
		Sequence:    c.varint("datagram sequence"),
		Time:        c.varint("datagram time"),
	}
	if c.err != nil {
		return Datagram{}, c.err
	}
	m.Payload = c.b
	return m, nil
}
