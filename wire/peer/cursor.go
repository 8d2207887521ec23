package peer

import (
	"fmt"
	"unicode/utf8"

	"github.com/quic-go/quic-go/quicvarint"
)

// cursor reads fields from the front of b. The first error sticks: parsers read
// all fields and look at err once. After an error every field reads as zero.
type cursor struct {
	b   []byte
	err error
}

func (c *cursor) fail(err error) {
	if c.err == nil {
		c.err = err
		c.b = nil
	}
}

// varint reads an (i).
func (c *cursor) varint() uint64 {
	if c.err != nil {
		return 0
	}
	v, n, err := quicvarint.Parse(c.b)
	if err != nil {
		c.fail(ErrShort)
		return 0
	}
	c.b = c.b[n:]
	return v
}

// upTo reads an (i) that is at most limit.
func (c *cursor) upTo(limit uint64, what string) uint64 {
	v := c.varint()
	if v > limit {
		c.fail(fmt.Errorf("%w: %s %d, at most %d", ErrBounds, what, v, limit))
		return 0
	}
	return v
}

// zigzag reads a (z).
func (c *cursor) zigzag() int64 {
	v := c.varint()
	return int64(v>>1) ^ -int64(v&1)
}

// octet reads an (8).
func (c *cursor) octet() byte {
	if c.err == nil && len(c.b) == 0 {
		c.fail(ErrShort)
	}
	if c.err != nil {
		return 0
	}
	v := c.b[0]
	c.b = c.b[1:]
	return v
}

// bytes reads a (b) of at most limit bytes, which alias the input.
func (c *cursor) bytes(limit int, what string) []byte {
	n := c.upTo(uint64(limit), what)
	if c.err == nil && n > uint64(len(c.b)) {
		c.fail(ErrShort)
	}
	if c.err != nil {
		return nil
	}
	v := c.b[:n:n]
	c.b = c.b[n:]
	return v
}

// text reads an (s) of at most limit bytes.
func (c *cursor) text(limit int, what string) string {
	b := c.bytes(limit, what)
	if !utf8.Valid(b) {
		c.fail(fmt.Errorf("%w: %s is not UTF-8", ErrMalformed, what))
		return ""
	}
	return string(b)
}

// node reads an (s) that is a node id.
func (c *cursor) node() string {
	id := c.text(MaxNodeIDBytes, "node id")
	if c.err == nil {
		if err := CheckNodeID(id); err != nil {
			c.fail(err)
			return ""
		}
	}
	return id
}

// count reads the length of a list whose items take at least itemBytes each. A
// count that the bytes at hand cannot hold is ErrShort before anything is
// allocated for it.
func (c *cursor) count(limit, itemBytes int, what string) int {
	n := c.upTo(uint64(limit), what)
	if c.err == nil && n > uint64(len(c.b)/itemBytes) {
		c.fail(ErrShort)
	}
	if c.err != nil {
		return 0
	}
	return int(n)
}

// hops reads Count (i), Hop (s)...
func (c *cursor) hops() []string { return c.nodes(MaxHops, "hops") }

// nodes reads Count (i), Node (s)...
func (c *cursor) nodes(limit int, what string) []string {
	n := c.count(limit, 2, what)
	if n == 0 {
		return nil
	}
	nodes := make([]string, 0, n)
	for range n {
		nodes = append(nodes, c.node())
	}
	if c.err != nil {
		return nil
	}
	return nodes
}

// nodeOrNone reads an (s) that is a node id, or empty.
func (c *cursor) nodeOrNone() string {
	if c.err == nil && len(c.b) > 0 && c.b[0] == 0 {
		c.b = c.b[1:]
		return ""
	}
	return c.node()
}

// CheckNodeID reports what is wrong with a node id.
func CheckNodeID(id string) error {
	if id == "" || len(id) > MaxNodeIDBytes {
		return fmt.Errorf("%w: node id of %d bytes, want 1 to %d", ErrMalformed, len(id), MaxNodeIDBytes)
	}
	for _, r := range []byte(id) {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '_', r == '-':
		default:
			return fmt.Errorf("%w: node id %q has a byte %#x", ErrMalformed, id, r)
		}
	}
	return nil
}

func appendZigzag(b []byte, v int64) []byte {
	return quicvarint.Append(b, uint64(v<<1)^uint64(v>>63))
}

func appendText[T string | []byte](b []byte, s T) []byte {
	b = quicvarint.Append(b, uint64(len(s)))
	return append(b, s...)
}

func appendHops(b []byte, hops []string) []byte {
	b = quicvarint.Append(b, uint64(len(hops)))
	for _, h := range hops {
		b = appendText(b, h)
	}
	return b
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}
