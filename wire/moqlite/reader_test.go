package moqlite

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/quic-go/quic-go/quicvarint"

	"trellis/wire"
)

// However the bytes come in, the same items come out.
func TestReaderChunks(t *testing.T) {
	long := Goaway{URI: strings.Repeat("u", 3000)}
	b := AppendStream(nil, StreamGoaway, long, Version05)
	b = FrameHeader{Delta: -70000, Size: 5}.Append(b, Version05)
	b = append(b, "hello"...)
	b = AppendResponse(b, SubscribeDrop{First: 1, Last: 2, Code: 3}, Version05)
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"at once":     func(r io.Reader) io.Reader { return r },
		"one by one":  iotest.OneByteReader,
		"by halves":   iotest.HalfReader,
		"end early":   iotest.DataErrReader,
		"one and end": func(r io.Reader) io.Reader { return iotest.DataErrReader(iotest.OneByteReader(r)) },
	} {
		r := NewReader(wrap(bytes.NewReader(b)))
		typ, err := r.Varint()
		if err != nil || StreamType(typ) != StreamGoaway {
			t.Fatalf("%s: type %d, %v", name, typ, err)
		}
		body, err := r.Message()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got, err := ParseGoaway(body, Version05); err != nil || got != long {
			t.Errorf("%s: goaway of %d bytes, %v", name, len(got.URI), err)
		}
		h, err := r.FrameHeader(Version05, 5)
		if err != nil || h != (FrameHeader{-70000, 5}) {
			t.Errorf("%s: frame %+v, %v", name, h, err)
		}
		payload := make([]byte, 5)
		if _, err := io.ReadFull(r, payload); err != nil || string(payload) != "hello" {
			t.Errorf("%s: payload %q, %v", name, payload, err)
		}
		m, err := r.Response(Version05)
		if diff := cmp.Diff(Response(SubscribeDrop{1, 2, 3}), m); err != nil || diff != "" {
			t.Errorf("%s: %v, %v", name, err, diff)
		}
		if _, err := r.Varint(); err != io.EOF { //nolint:errorlint // exactly io.EOF is promised
			t.Errorf("%s: at the end: %v, want io.EOF", name, err)
		}
	}
}

// A stream that ends inside an item is told from one that ends between items.
func TestReaderEnds(t *testing.T) {
	b := AppendStream(nil, StreamTrack, bobVideo, Version05)
	for i := range b {
		r := NewReader(bytes.NewReader(b[:i]))
		_, err := r.Varint()
		if i == 0 {
			if err != io.EOF { //nolint:errorlint // exactly io.EOF is promised
				t.Errorf("empty stream: %v, want io.EOF", err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.Message()
		want := io.ErrUnexpectedEOF
		if i == 1 {
			want = io.EOF // between the type and the message
		}
		if !errors.Is(err, want) {
			t.Errorf("%d of %d bytes: %v, want %v", i, len(b), err, want)
		}
	}
	r := NewReader(bytes.NewReader([]byte{0x02}))
	if _, err := r.FrameHeader(Version05, 9); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("half a frame header: %v", err)
	}
	broken := errors.New("broken")
	r = NewReader(io.MultiReader(bytes.NewReader([]byte{0x40}), iotest.ErrReader(broken)))
	if _, err := r.Varint(); !errors.Is(err, broken) {
		t.Errorf("broken stream: %v", err)
	}
}

// A length on the wire reserves nothing.
func TestReaderAllocatesForArrivedBytesOnly(t *testing.T) {
	for _, size := range []uint64{MaxMessage + 1, 1<<62 - 1} {
		r := NewReader(bytes.NewReader(quicvarint.Append(nil, size)))
		wantCode(t, wire.CodeTooLarge, func() error { _, err := r.Message(); return err })
		r = NewReader(bytes.NewReader(quicvarint.Append(nil, size)))
		wantCode(t, wire.CodeTooLarge, func() error { _, err := r.FrameHeader(Version04, MaxMessage); return err })
	}
	// The largest message is announced, a hundred bytes of it arrive.
	r := NewReader(bytes.NewReader(append(quicvarint.Append(nil, MaxMessage), make([]byte, 100)...)))
	if _, err := r.Message(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
	if got := cap(r.buf); got > firstBuffer {
		t.Errorf("%d bytes allocated for 100 that arrived", got)
	}
	// And all of it: the buffer holds that and no more.
	r = NewReader(bytes.NewReader(append(quicvarint.Append(nil, MaxMessage), make([]byte, MaxMessage)...)))
	if body, err := r.Message(); err != nil || len(body) != MaxMessage {
		t.Fatal(len(body), err)
	}
	if got := cap(r.buf); got > 2*MaxMessage {
		t.Errorf("%d bytes allocated for a message of %d", got, MaxMessage)
	}
}
