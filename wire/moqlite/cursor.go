package moqlite

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/quic-go/quic-go/quicvarint"

	"trellis/wire"
)

// maxPathParts bounds a path, as other implementations do.
const maxPathParts = 32

// ProtocolError says what is wrong with bytes that a peer sent, and the code
// to answer with.
type ProtocolError struct {
	Code   wire.Code
	Reason string
}

// Error returns the reason.
func (e *ProtocolError) Error() string { return "moq-lite: " + e.Reason }

func protocolErrorf(code wire.Code, format string, args ...any) *ProtocolError {
	return &ProtocolError{Code: code, Reason: fmt.Sprintf(format, args...)}
}

// cursor takes fields off a body. The first error sticks and later fields read
// as zero, so that a parser is a list of its fields.
type cursor struct {
	b   []byte
	err error
}

func (c *cursor) fail(code wire.Code, format string, args ...any) {
	if c.err == nil {
		c.err = protocolErrorf(code, format, args...)
	}
	c.b = nil
}

// end returns the first error; bytes left over are one.
func (c *cursor) end(message string) error {
	if c.err == nil && len(c.b) > 0 {
		c.fail(wire.CodeWrongSize, "%s: %d bytes too many", message, len(c.b))
	}
	return c.err
}

func (c *cursor) varint(field string) uint64 {
	n, size, err := quicvarint.Parse(c.b)
	if err != nil {
		c.fail(wire.CodeWrongSize, "%s: message ends early", field)
		return 0
	}
	c.b = c.b[size:]
	return n
}

func (c *cursor) u8(field string) uint8 {
	if len(c.b) == 0 {
		c.fail(wire.CodeWrongSize, "%s: message ends early", field)
		return 0
	}
	n := c.b[0]
	c.b = c.b[1:]
	return n
}

func (c *cursor) bool(field string) bool {
	n := c.u8(field)
	if n > 1 {
		c.fail(wire.CodeDecode, "%s: bool of value %d", field, n)
	}
	return n == 1
}

// bytes returns the bytes behind a length; they alias the body.
func (c *cursor) bytes(field string) []byte {
	n := c.varint(field)
	if n > uint64(len(c.b)) {
		c.fail(wire.CodeWrongSize, "%s: %d bytes announced, %d there", field, n, len(c.b))
		return nil
	}
	b := c.b[:n]
	c.b = c.b[n:]
	return b
}

func (c *cursor) string(field string) string {
	b := c.bytes(field)
	if !utf8.Valid(b) {
		c.fail(wire.CodeDecode, "%s: not UTF-8", field)
		return ""
	}
	return string(b)
}

// path reads a string and drops empty parts, as every implementation does on
// reading: "/a//b/" means "a/b".
func (c *cursor) path(field string) string {
	s := CleanPath(c.string(field))
	if strings.Count(s, "/") >= maxPathParts {
		c.fail(wire.CodeBounds, "%s: more than %d parts", field, maxPathParts)
		return ""
	}
	return s
}

// CleanPath drops leading, trailing and doubled slashes.
func CleanPath(s string) string {
	s = strings.Trim(s, "/")
	for strings.Contains(s, "//") {
		s = strings.ReplaceAll(s, "//", "/")
	}
	return s
}

// maxMillis is the longest time in milliseconds that a time.Duration holds:
// 292 years, which is as good as unbounded.
const maxMillis = uint64(1<<63-1) / uint64(time.Millisecond)

func (c *cursor) millis(field string) time.Duration {
	return time.Duration(min(c.varint(field), maxMillis)) * time.Millisecond
}

// appendMillis writes d in whole milliseconds; what is below zero counts as zero.
func appendMillis(b []byte, d time.Duration) []byte {
	return quicvarint.Append(b, uint64(max(d.Milliseconds(), 0)))
}
