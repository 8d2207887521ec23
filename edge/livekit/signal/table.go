package signal

import (
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"trellis/internal/proto3"
)

// message is a message of which each field is written down once, to be parsed and
// appended by. The order is that in which they are appended.
type message interface{ fields() []field }

// field is where a field of a message is kept: a *string, *bool, *uint32 or *uint64,
// which have no zero on the wire, a message, which is always there, or a value.
type field struct {
	n  int
	to any
}

// value is a field with a form of its own.
type value interface {
	read(f proto3.Field) error
	append(b []byte, n protowire.Number) []byte
}

// parse reads the fields of m that are known and passes over others.
func parse(m message, b []byte) error {
	all := m.fields()
	return proto3.Fields(b, func(n int, f proto3.Field) error {
		for _, known := range all {
			if known.n == n {
				return read(known.to, f)
			}
		}
		return nil
	})
}

func read(to any, f proto3.Field) error {
	switch to := to.(type) {
	case nil: // what it says is not needed
	case *string:
		*to = f.Text()
	case *bool:
		*to = f.Bool()
	case *uint32:
		*to = uint32(f.Number) //nolint:gosec // as protocol buffers do
	case *uint64:
		*to = f.Number
	case message:
		return parse(to, f.Bytes)
	case value:
		return to.read(f)
	default:
		panic(fmt.Sprintf("signal: a field is kept in a %T", to))
	}
	return nil
}

func appendMessage(b []byte, m message) []byte {
	for _, f := range m.fields() {
		n := protowire.Number(f.n) //nolint:gosec // they are written down
		switch to := f.to.(type) {
		case *string:
			b = proto3.Text(b, n, *to)
		case *bool:
			b = proto3.Bool(b, n, *to)
		case *uint32:
			b = proto3.Number(b, n, uint64(*to))
		case *uint64:
			b = proto3.Number(b, n, *to)
		case message:
			b = proto3.Message(b, n, appendMessage(nil, to))
		case value:
			b = to.append(b, n)
		default:
			panic(fmt.Sprintf("signal: a field is kept in a %T", to))
		}
	}
	return b
}

// appendOne appends the one field that is set in a Request or Response. It is there
// even if it is zero, or empty.
func appendOne(b []byte, n protowire.Number, content any) []byte {
	if n == 0 { // none is
		return b
	}
	switch c := content.(type) {
	case *uint64:
		return protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), *c)
	case message:
		return proto3.Message(b, n, appendMessage(nil, c))
	}
	return proto3.Message(b, n, nil)
}

// made returns what p points to, which it makes where there is nothing.
func made[T any](p **T) *T {
	if *p == nil {
		*p = new(T)
	}
	return *p
}

// body is a message that has no type of its own.
type body []field

func (m body) fields() []field { return m }

// nonEmpty is a message that is left out if nothing is in it.
type nonEmpty []field

func (m nonEmpty) read(f proto3.Field) error { return parse(body(m), f.Bytes) }

func (m nonEmpty) append(b []byte, n protowire.Number) []byte {
	if inner := appendMessage(nil, body(m)); len(inner) > 0 {
		return proto3.Message(b, n, inner)
	}
	return b
}

// optional is a message that may not be there.
type optional[T any, P interface {
	*T
	message
}] struct{ to **T }

func (o optional[T, P]) read(f proto3.Field) error { return parse(P(made(o.to)), f.Bytes) }

func (o optional[T, P]) append(b []byte, n protowire.Number) []byte {
	if *o.to == nil {
		return b
	}
	return proto3.Message(b, n, appendMessage(nil, P(*o.to)))
}

// list is any number of messages.
type list[T any, P interface {
	*T
	message
}] struct{ to *[]T }

func (l list[T, P]) read(f proto3.Field) error {
	var m T
	err := parse(P(&m), f.Bytes)
	*l.to = append(*l.to, m)
	return err
}

func (l list[T, P]) append(b []byte, n protowire.Number) []byte {
	for i := range *l.to {
		b = proto3.Message(b, n, appendMessage(nil, P(&(*l.to)[i])))
	}
	return b
}

// entries is a map of texts.
type entries struct{ to *map[string]string }

func (e entries) read(f proto3.Field) error {
	var key, v string
	err := parse(body{{1, &key}, {2, &v}}, f.Bytes)
	if *e.to == nil {
		*e.to = map[string]string{}
	}
	(*e.to)[key] = v
	return err
}

func (e entries) append(b []byte, n protowire.Number) []byte {
	for _, key := range slices.Sorted(maps.Keys(*e.to)) {
		v := (*e.to)[key]
		b = proto3.Message(b, n, appendMessage(nil, body{{1, &key}, {2, &v}}))
	}
	return b
}
