package moqlite

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"

	"trellis/wire"
)

// TestAgree: what a real client asks is understood, and what we answer is what its own
// encoder would write.
func TestAgree(t *testing.T) {
	asked := readVector(t, "lite02-client-setup")
	r := NewReader(bytes.NewReader(append(slices.Clone(asked), 1, 42)))
	m, err := r.ClientSetup()
	if err != nil || len(m.Versions) != 3 || !m.Offers(Version02) || m.Offers(Version03) {
		t.Errorf("got %x, %v", m.Versions, err)
	}
	if rest, err := r.Message(); err != nil || !bytes.Equal(rest, []byte{42}) {
		t.Errorf("behind it %x, %v", rest, err)
	}
	if got, want := AppendServerSetup(nil, Version02), readVector(t, "lite02-server-setup"); !bytes.Equal(got, want) {
		t.Errorf("answers %x, want %x", got, want)
	}
	for i := range asked {
		if m, err := NewReader(bytes.NewReader(asked[:i])).ClientSetup(); err == nil {
			t.Errorf("%d of %d bytes parse as %x", i, len(asked), m.Versions)
		} else if i > 0 && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d bytes: %v", i, err)
		}
	}
}

func TestAgreeRefused(t *testing.T) {
	read := func(b ...byte) func() error {
		return func() error { _, err := NewReader(bytes.NewReader(b)).ClientSetup(); return err }
	}
	wantCode(t, wire.CodeUnexpected, read(1, 0, 0))
	wantCode(t, wire.CodeBounds, read(append([]byte{0x20, 0xff, 0xff}, make([]byte, 1<<16)...)...))
	wantCode(t, wire.CodeBounds, read(0x20, 0, 2, 0x40, 65))
	wantCode(t, wire.CodeTooMany, read(0x20, 0, 3, 0, 0x40, 65))
	wantCode(t, wire.CodeWrongSize, read(0x20, 0, 2, 1, 1))
	wantCode(t, wire.CodeWrongSize, read(0x20, 0, 3, 0, 0, 9))
}

func FuzzParseClientSetup(f *testing.F) {
	f.Add(readVector(f, "lite02-client-setup")[3:])
	f.Add([]byte{0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseClientSetup(b)
		if err != nil {
			return
		}
		again, err := NewReader(bytes.NewReader(AppendClientSetup(nil, m))).ClientSetup()
		if err != nil || !slices.Equal(again.Versions, m.Versions) {
			t.Fatalf("%x, again %x, %v", m.Versions, again.Versions, err)
		}
	})
}
