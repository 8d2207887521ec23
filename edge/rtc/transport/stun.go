package transport

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // RFC 8489, Section 14.5: what MESSAGE-INTEGRITY is
	"encoding/binary"
)

const (
	stunHeader     = 20         // RFC 8489, Section 5
	stunCookie     = 0x2112A442 // of the same
	stunRequest    = 0x0001     // a Binding request
	stunIndication = 0x0011     // a Binding indication
	stunUsername   = 0x0006     // Section 14.3
	stunIntegrity  = 0x0008     // Section 14.5
)

// stunMessage is a STUN message, as far as it matters who sent it. It aliases what
// it was read from.
type stunMessage struct {
	kind uint16
	// ufrag is that of ours which it names, before the colon of its USERNAME (RFC
	// 8445, Section 7.2.2).
	ufrag []byte
	raw   []byte
	mac   int // where MESSAGE-INTEGRITY begins, zero without
}

// parseSTUN reads a message. False: it is none.
func parseSTUN(b []byte) (m stunMessage, ok bool) {
	if len(b) < stunHeader || b[0]>>6 != 0 || binary.BigEndian.Uint32(b[4:]) != stunCookie ||
		int(binary.BigEndian.Uint16(b[2:])) != len(b)-stunHeader {
		return m, false
	}
	m.kind, m.raw = binary.BigEndian.Uint16(b), b
	for at := stunHeader; at < len(b); {
		if len(b) < at+4 {
			return m, false
		}
		kind, size := binary.BigEndian.Uint16(b[at:]), int(binary.BigEndian.Uint16(b[at+2:]))
		padded := 4 + (size+3)&^3
		if len(b) < at+padded {
			return m, false
		}
		value := b[at+4:][:size]
		switch {
		case m.mac != 0: // what follows MESSAGE-INTEGRITY is not protected
		case kind == stunUsername:
			ufrag, _, found := bytes.Cut(value, []byte{':'})
			if m.ufrag != nil || !found {
				return m, false
			}
			m.ufrag = ufrag
		case kind == stunIntegrity:
			if size != sha1.Size {
				return m, false
			}
			m.mac = at
		}
		at += padded
	}
	return m, true
}

// authentic reports whether who sent the message knows the password: RFC 8489,
// Section 14.5. The length in the header is as if MESSAGE-INTEGRITY was the last.
func (m stunMessage) authentic(password []byte) bool {
	if m.mac == 0 {
		return false
	}
	var header [stunHeader]byte
	copy(header[:], m.raw)
	binary.BigEndian.PutUint16(header[2:], uint16(m.mac-stunHeader+4+sha1.Size))
	h := hmac.New(sha1.New, password)
	h.Write(header[:])
	h.Write(m.raw[stunHeader:m.mac])
	return hmac.Equal(h.Sum(nil), m.raw[m.mac+4:][:sha1.Size])
}
