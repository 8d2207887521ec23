package moqlite

import "github.com/quic-go/quic-go/quicvarint"

// Fetch asks for one group that exists already:
//
//	FETCH { broadcast str, track str, priority u8, group varint }
//
// The reply is the group's frames, without a header before them.
type Fetch struct {
	Broadcast string
	Track     string
	Priority  uint8
	Group     uint64
}

// Append writes the body of FETCH.
func (m Fetch) Append(b []byte, _ Version) []byte {
	b = appendString(appendString(b, m.Broadcast), m.Track)
	return quicvarint.Append(append(b, m.Priority), m.Group)
}

// ParseFetch reads the body of FETCH.
func ParseFetch(b []byte, _ Version) (Fetch, error) {
	c := cursor{b: b}
	m := Fetch{
		Broadcast: c.path("fetch broadcast"),
		Track:     c.string("fetch track"),
		Priority:  c.u8("fetch priority"),
		Group:     c.varint("fetch group"),
	}
	if err := c.end("fetch"); err != nil {
		return Fetch{}, err
	}
	return m, nil
}
