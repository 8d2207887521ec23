package moqlite

import (
	"github.com/quic-go/quic-go/quicvarint"

	"trellis/wire"
)

// ProbeLevel says what a side can report on a Probe stream.
type ProbeLevel uint8

// Levels of probing.
const (
	ProbeNone     ProbeLevel = 0
	ProbeReport   ProbeLevel = 1 // tells the bitrate it estimates
	ProbeIncrease ProbeLevel = 2 // also pads up to a bitrate asked for
)

// Role is what a client wants to do in a session. It narrows, never grants.
type Role uint8

// Roles of a client.
const (
	RoleBoth       Role = 0
	RolePublisher  Role = 1
	RoleSubscriber Role = 2
)

// Setup is sent once in each direction on a Setup stream (05):
//
//	SETUP { count varint, count x { id varint, len varint, value } }
type Setup struct {
	Probe ProbeLevel
	// Role is sent by clients only.
	Role Role
	// Origin is the hop id of the sender, 0 for none.
	Origin uint64
	// Path is set by clients where no URL carries the path. It is forbidden
	// over WebTransport.
	Path string
}

// Parameters of SETUP. Cost (0x4) belongs to the next version and is ignored
// like every unknown one.
const (
	setupProbe  = 0x1
	setupPath   = 0x2
	setupRole   = 0x3
	setupOrigin = 0x5
)

// maxSetupParameters is the limit of the JavaScript client.
const maxSetupParameters = 64

// Append writes the body of SETUP, leaving out parameters that say nothing.
func (m Setup) Append(b []byte, _ Version) []byte {
	count := len(b)
	b = append(b, 0)
	number := func(id, value uint64) {
		if value == 0 {
			return
		}
		b[count]++
		b = quicvarint.Append(b, id)
		b = quicvarint.Append(b, uint64(quicvarint.Len(value)))
		b = quicvarint.Append(b, value)
	}
	number(setupProbe, uint64(m.Probe))
	if m.Path != "" {
		b[count]++
		b = quicvarint.Append(b, setupPath)
		b = appendString(b, m.Path)
	}
	number(setupRole, uint64(m.Role))
	number(setupOrigin, m.Origin)
	return b
}

// ParseSetup reads the body of SETUP.
func ParseSetup(b []byte, _ Version) (Setup, error) {
	var m Setup
	c := cursor{b: b}
	count := c.varint("setup count")
	if count > maxSetupParameters {
		c.fail(wire.CodeTooMany, "setup: %d parameters, at most %d", count, maxSetupParameters)
		return Setup{}, c.err
	}
	seen := make(map[uint64]bool, min(count, 8))
	for range count {
		id := c.varint("setup parameter")
		value := cursor{b: c.bytes("setup parameter value")}
		if c.err != nil {
			return Setup{}, c.err
		}
		if seen[id] {
			return Setup{}, protocolErrorf(wire.CodeProtocol, "setup: parameter %#x twice", id)
		}
		seen[id] = true
		switch id {
		case setupProbe:
			m.Probe = ProbeLevel(min(value.varint("setup probe"), uint64(ProbeIncrease)))
		case setupPath:
			m.Path, value = string(value.b), cursor{}
		case setupRole:
			if role := value.varint("setup role"); role <= uint64(RoleSubscriber) {
				m.Role = Role(role)
			}
		case setupOrigin:
			m.Origin = value.varint("setup origin")
		default:
			value = cursor{}
		}
		if err := value.end("setup parameter"); err != nil {
			return Setup{}, err
		}
	}
	if err := c.end("setup"); err != nil {
		return Setup{}, err
	}
	return m, nil
}
