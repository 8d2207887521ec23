// Package proto3 reads and writes the fields of protocol buffers messages, for
// messages of which we need a few fields and no generated code.
package proto3

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// Field is the value of a field: a number, or bytes, which alias the message. One
// of another wire type than expected has the zero value of that.
type Field struct {
	Number uint64
	Bytes  []byte
}

// Text returns the bytes as a string.
func (f Field) Text() string { return string(f.Bytes) }

// Bool returns whether the number is not zero.
func (f Field) Bool() bool { return f.Number != 0 }

// Fields calls yield with the fields of a message, in their order.
func Fields(b []byte, yield func(n int, f Field) error) error {
	for len(b) > 0 {
		n, kind, size := protowire.ConsumeTag(b)
		if size < 0 {
			return fmt.Errorf("tag of a field: %w", protowire.ParseError(size))
		}
		b = b[size:]
		var f Field
		switch kind {
		case protowire.VarintType:
			f.Number, size = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			f.Bytes, size = protowire.ConsumeBytes(b)
		case protowire.Fixed32Type, protowire.Fixed64Type, protowire.StartGroupType:
			size = protowire.ConsumeFieldValue(n, kind, b)
		default:
			return errors.New("the end of a group without its start")
		}
		if size < 0 {
			return fmt.Errorf("field %d: %w", n, protowire.ParseError(size))
		}
		b = b[size:]
		if err := yield(int(n), f); err != nil {
			return fmt.Errorf("field %d: %w", n, err)
		}
	}
	return nil
}

// Number appends a field of a number. Proto3 leaves zeros out.
func Number(b []byte, n protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), v)
}

// Bool appends a field of a truth value.
func Bool(b []byte, n protowire.Number, v bool) []byte { return Number(b, n, protowire.EncodeBool(v)) }

// Text appends a field of a string. Proto3 leaves empty ones out.
func Text(b []byte, n protowire.Number, v string) []byte {
	if v == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, n, protowire.BytesType), v)
}

// Message appends a field of a message, even an empty one: it is the one that is set.
func Message(b []byte, n protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), v)
}
