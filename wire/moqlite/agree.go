package moqlite

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/quic-go/quic-go/quicvarint"

	"trellis/wire"
)

// Where no subprotocol was agreed on, the client opens a bidirectional stream on which
// the two sides agree on a version, in the layout of moqt-14:
//
//	0x20 length u16 CLIENT_SETUP { count varint, count x version varint, parameters }
//	0x21 length u16 SERVER_SETUP { version varint, parameters }
//	parameters = count varint, count x { type varint, even: value varint, odd: value bytes }
//
// The stream stays open for as long as the session lasts.

// Types of the two messages.
const (
	agreeClient = 0x20
	agreeServer = 0x21
)

// agreedBase and the version make the number of a version.
const agreedBase = 0xff0dad00

// maxOffered bounds the versions that a client may offer, and its parameters.
const maxOffered = 64

// ClientSetup says which versions a client speaks, the best first. Its parameters are
// of moqt; they are read over.
type ClientSetup struct{ Versions []uint64 }

// Offers reports whether the client speaks v.
func (m ClientSetup) Offers(v Version) bool { return slices.Contains(m.Versions, agreedBase+uint64(v)) }

// AppendClientSetup appends the whole message of a client that speaks these versions.
func AppendClientSetup(b []byte, m ClientSetup) []byte {
	body := quicvarint.Append(nil, uint64(len(m.Versions)))
	for _, v := range m.Versions {
		body = quicvarint.Append(body, v)
	}
	return appendAgree(b, agreeClient, append(body, 0))
}

// AppendServerSetup appends the whole answer.
func AppendServerSetup(b []byte, v Version) []byte {
	return appendAgree(b, agreeServer, append(quicvarint.Append(nil, agreedBase+uint64(v)), 0))
}

func appendAgree(b []byte, typ uint64, body []byte) []byte {
	if len(body) > math.MaxUint16 {
		panic("moqlite: a setup of more than 64 KiB")
	}
	b = binary.BigEndian.AppendUint16(quicvarint.Append(b, typ), uint16(len(body)))
	return append(b, body...)
}

// ParseClientSetup reads the body of CLIENT_SETUP.
func ParseClientSetup(b []byte) (ClientSetup, error) {
	c := cursor{b: b}
	count := c.varint("client setup count")
	if count > maxOffered {
		c.fail(wire.CodeBounds, "client setup: %d versions, at most %d", count, maxOffered)
	}
	var m ClientSetup
	for range count {
		if c.err != nil {
			break
		}
		m.Versions = append(m.Versions, c.varint("client setup version"))
	}
	parameters := c.varint("client setup parameters")
	if parameters > maxOffered {
		c.fail(wire.CodeTooMany, "client setup: %d parameters, at most %d", parameters, maxOffered)
	}
	for range parameters {
		if c.err != nil {
			break
		}
		if c.varint("client setup parameter")%2 == 0 {
			c.varint("client setup parameter value")
		} else {
			c.bytes("client setup parameter value")
		}
	}
	if err := c.end("client setup"); err != nil {
		return ClientSetup{}, err
	}
	return m, nil
}

// ClientSetup reads the message of a client with which a stream begins.
func (r *Reader) ClientSetup() (ClientSetup, error) {
	typ, err := r.Varint()
	if err != nil {
		return ClientSetup{}, err
	}
	if typ != agreeClient {
		return ClientSetup{}, protocolErrorf(wire.CodeUnexpected, "a stream of type %d before any version is agreed on", typ)
	}
	if err := r.fill(2); err != nil {
		return ClientSetup{}, inside(err)
	}
	size := int(binary.BigEndian.Uint16(r.buf[r.pos:]))
	r.pos += 2
	if size > MaxMessage {
		return ClientSetup{}, protocolErrorf(wire.CodeBounds, "client setup: %d bytes, at most %d", size, MaxMessage)
	}
	if err := r.fill(size); err != nil {
		return ClientSetup{}, inside(err)
	}
	m, err := ParseClientSetup(r.buf[r.pos : r.pos+size])
	r.pos += size
	return m, err
}
