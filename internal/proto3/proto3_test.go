package proto3

import (
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// TestFields: fields come in their order, those of types that are not read with zero
// values, and what ends too early is an error.
func TestFields(t *testing.T) {
	b := Text(Number(nil, 1, 300), 2, "text")
	b = protowire.AppendFixed32(protowire.AppendTag(b, 3, protowire.Fixed32Type), 7)
	b = protowire.AppendFixed64(protowire.AppendTag(b, 4, protowire.Fixed64Type), 7)
	b = protowire.AppendGroup(protowire.AppendTag(b, 5, protowire.StartGroupType), 5, nil)
	b = Message(Bool(Bool(b, 6, true), 7, false), 8, nil)
	var order []int
	err := Fields(b, func(n int, f Field) error {
		order = append(order, n)
		if n == 1 && f.Number != 300 || n == 2 && f.Text() != "text" || n == 6 && !f.Bool() || (n == 3 || n == 4) && (f.Number != 0 || f.Bytes != nil) {
			t.Errorf("field %d: %+v", n, f)
		}
		return nil
	})
	if err != nil || len(order) != 7 || order[0] != 1 || order[6] != 8 {
		t.Errorf("fields %v, %v", order, err)
	}
	for _, bad := range [][]byte{{0x80}, {0x08}, {0x0a, 5, 1}, {0x0c}, {0x00}, {0x0b, 0x08}} {
		if err := Fields(bad, func(int, Field) error { return nil }); err == nil {
			t.Errorf("%x was taken", bad)
		}
	}
}

func TestZeros(t *testing.T) {
	if b := Text(Number(Bool(nil, 1, false), 2, 0), 3, ""); len(b) != 0 {
		t.Errorf("zeros are written: %x", b)
	}
	if b := Message(nil, 1, nil); len(b) != 2 {
		t.Errorf("an empty message is %x", b)
	}
}
