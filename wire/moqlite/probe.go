package moqlite

import (
	"time"

	"github.com/quic-go/quic-go/quicvarint"
)

// Probe reports what a publisher believes the path to a subscriber can carry;
// in the other direction it asks for a target:
//
//	PROBE { bitrate_bps varint, [04+: rtt_ms varint] }
//
// Zero means unknown in both fields, so a sender rounds a real zero up to one.
type Probe struct {
	BitrateBps uint64
	RTT        time.Duration // in whole milliseconds on the wire
}

// Append writes the body of PROBE.
func (m Probe) Append(b []byte, v Version) []byte {
	b = quicvarint.Append(b, m.BitrateBps)
	if v >= Version04 {
		b = appendMillis(b, m.RTT)
	}
	return b
}

// ParseProbe reads the body of PROBE.
func ParseProbe(b []byte, v Version) (Probe, error) {
	c := cursor{b: b}
	m := Probe{BitrateBps: c.varint("probe bitrate")}
	if v >= Version04 {
		m.RTT = c.millis("probe rtt")
	}
	if err := c.end("probe"); err != nil {
		return Probe{}, err
	}
	return m, nil
}

// Goaway says that its sender will close the session soon (04, 05):
//
//	GOAWAY { uri str }
type Goaway struct {
	// URI is where to go instead; empty: just leave.
	URI string
}

// Append writes the body of GOAWAY.
func (m Goaway) Append(b []byte, _ Version) []byte { return appendString(b, m.URI) }

// ParseGoaway reads the body of GOAWAY.
func ParseGoaway(b []byte, _ Version) (Goaway, error) {
	c := cursor{b: b}
	m := Goaway{URI: c.string("goaway uri")}
	if err := c.end("goaway"); err != nil {
		return Goaway{}, err
	}
	return m, nil
}
