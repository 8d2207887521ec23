package hang

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/quic-go/quic-go/quicvarint"
)

func decode(t *testing.T, s string) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(s), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func unhex(tb testing.TB, s string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// Golden objects, written by hand.
var (
	legacyGolden = []struct {
		hex  string
		want Legacy
	}{
		{"00", Legacy{0, []byte{}}},                                 // a marker at time zero
		{"80004e20f8fffe", Legacy{20000, []byte{0xf8, 0xff, 0xfe}}}, // Opus silence at 20 ms
	}
	locGolden = []struct {
		hex  string
		want LOC
	}{
		{"0510" + "80004e20" + "f8", LOC{20000, 1_000_000, []byte{0xf8}}},       // timestamp only
		{"0708" + "80015f90" + "08" + "07" + "f8", LOC{7, 90000, []byte{0xf8}}}, // timescale 90000, timestamp 7
		{"05" + "0603" + "07" + "01aa" + "f8", LOC{3, 1_000_000, []byte{0xf8}}}, // old key, then key 13 with one byte
		{"02" + "1005", LOC{5, 1_000_000, []byte{}}},                            // empty payload
	}
)

func TestLegacy(t *testing.T) {
	for _, tc := range legacyGolden {
		b := unhex(t, tc.hex)
		got, err := ParseLegacy(b)
		if diff := cmp.Diff(tc.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", tc.hex, err, diff)
		}
		if again := got.Append(nil); !bytes.Equal(again, b) {
			t.Errorf("%s encodes as %x", tc.hex, again)
		}
		for i := range len(b) - len(tc.want.Payload) {
			if _, err := ParseLegacy(b[:i]); !errors.Is(err, ErrFrame) {
				t.Errorf("%s: %d bytes: %v, want ErrFrame", tc.hex, i, err)
			}
		}
	}
}

func TestLOC(t *testing.T) {
	for _, tc := range locGolden {
		b := unhex(t, tc.hex)
		got, err := ParseLOC(b)
		if diff := cmp.Diff(tc.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", tc.hex, err, diff)
		}
		again, err := ParseLOC(got.Append(nil))
		if diff := cmp.Diff(tc.want, again); err != nil || diff != "" {
			t.Errorf("%s again: %v %s", tc.hex, err, diff)
		}
		for i := range len(b) - len(tc.want.Payload) {
			if _, err := ParseLOC(b[:i]); !errors.Is(err, ErrFrame) {
				t.Errorf("%s: %d bytes: %v, want ErrFrame", tc.hex, i, err)
			}
		}
	}
	for what, s := range map[string]string{
		"no timestamp":         "00f8",
		"timescale zero":       "0408000805",
		"a key beyond 62 bits": "0affffffffffffffff000200",
		"a property too long":  "040109aabb",
	} {
		if got, err := ParseLOC(unhex(t, s)); !errors.Is(err, ErrFrame) {
			t.Errorf("%s: %+v, %v; want ErrFrame", what, got, err)
		}
	}
}

func TestLOCMicros(t *testing.T) {
	for _, tc := range []struct {
		f    LOC
		want uint64
	}{
		{LOC{Time: 5, Timescale: 1_000_000}, 5},
		{LOC{Time: 90000, Timescale: 90000}, 1_000_000},
		{LOC{Time: 1, Timescale: 3}, 333333},
		{LOC{Time: quicvarint.Max, Timescale: 1}, quicvarint.Max},
		{LOC{Time: quicvarint.Max, Timescale: quicvarint.Max}, 1_000_000},
		{LOC{}, 0},
	} {
		if got := tc.f.PTSMicros(); got != tc.want {
			t.Errorf("%+v: %d µs, want %d", tc.f, got, tc.want)
		}
	}
}

func TestParseFrame(t *testing.T) {
	for _, tc := range []struct {
		container Container
		hex       string
		want      uint64
		err       error
	}{
		{Container{}, "07f8", 7, nil},
		{Container{Kind: ContainerLegacy}, "07f8", 7, nil},
		{Container{Kind: ContainerLOC}, "021007f8", 7, nil},
		{Container{Kind: ContainerLOC}, "", 0, ErrFrame},
		{Container{Kind: ContainerCMAF}, "07f8", 0, ErrOpaque},
	} {
		pts, payload, err := tc.container.ParseFrame(unhex(t, tc.hex))
		if pts != tc.want || !errors.Is(err, tc.err) || err == nil && !bytes.Equal(payload, []byte{0xf8}) {
			t.Errorf("%+v %s: %d, %x, %v", tc.container, tc.hex, pts, payload, err)
		}
	}
}

func FuzzParseLegacy(f *testing.F) {
	for _, tc := range legacyGolden {
		f.Add(unhex(f, tc.hex))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := ParseLegacy(b)
		if err != nil {
			return
		}
		again, err := ParseLegacy(got.Append(nil))
		if diff := cmp.Diff(got, again); err != nil || diff != "" {
			t.Fatal(err, diff)
		}
	})
}

func FuzzParseLOC(f *testing.F) {
	for _, tc := range locGolden {
		f.Add(unhex(f, tc.hex))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := ParseLOC(b)
		if err != nil {
			return
		}
		_ = got.PTSMicros() // must not divide by zero or overflow
		again, err := ParseLOC(got.Append(nil))
		if diff := cmp.Diff(got, again); err != nil || diff != "" {
			t.Fatal(err, diff)
		}
	})
}

func FuzzParseCatalog(f *testing.F) {
	f.Add(readCatalog(f))
	f.Add([]byte(`{"video":{"renditions":{"v":{"codec":"vp8","container":{"kind":"loc"}}}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := ParseCatalog(b)
		if err != nil {
			return
		}
		doc, err := got.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseCatalog(doc)
		if err != nil || len(again.VideoTracks()) != len(got.VideoTracks()) || len(again.AudioTracks()) != len(got.AudioTracks()) {
			t.Fatalf("%v: %s reads as %+v, was %+v", err, doc, again, got)
		}
		var d Document
		if _, err := d.Apply(0, 0, b); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Apply(0, 1, b); err != nil {
			t.Fatal(err) // a catalog is a patch that changes nothing
		}
	})
}

func BenchmarkParseLegacy(b *testing.B) {
	frame := Legacy{1 << 40, make([]byte, 200)}.Append(nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseLegacy(frame); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendLegacyHeader(b *testing.B) {
	b.ReportAllocs()
	var buf [8]byte
	for b.Loop() {
		AppendLegacyHeader(buf[:0], 1<<40)
	}
}

func BenchmarkParseLOC(b *testing.B) {
	frame := LOC{1 << 40, 90000, make([]byte, 200)}.Append(nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseLOC(frame); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseCatalog(b *testing.B) {
	doc := readCatalog(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseCatalog(doc); err != nil {
			b.Fatal(err)
		}
	}
}
