package moqlite

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// fuzzCodec holds that what parses encodes, and parses again to the same value.
func fuzzCodec(f *testing.F, name string) {
	f.Helper()
	codec := codecs[name]
	for _, m := range codec.values {
		for _, v := range Versions() {
			f.Add(m.Append(nil, v), uint8(v))
		}
	}
	for _, tc := range golden {
		if tc.codec == name {
			f.Add(tc.want.Append(nil, tc.version), uint8(tc.version))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, version uint8) {
		v := Version02 + Version(version%4)
		m, err := codec.parse(b, v)
		if err != nil {
			return
		}
		again, err := codec.parse(m.Append(nil, v), v)
		if err != nil {
			t.Fatalf("%+v does not parse again: %v", m, err)
		}
		if diff := cmp.Diff(m, again, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("(-first +again):\n%s", diff)
		}
	})
}

func FuzzParseSetup(f *testing.F)           { fuzzCodec(f, "Setup") }
func FuzzParseAnnounceRequest(f *testing.F) { fuzzCodec(f, "AnnounceRequest") }
func FuzzParseAnnounceInit(f *testing.F)    { fuzzCodec(f, "AnnounceInit") }
func FuzzParseAnnounceOK(f *testing.F)      { fuzzCodec(f, "AnnounceOK") }
func FuzzParseAnnounce(f *testing.F)        { fuzzCodec(f, "Announce") }
func FuzzParseTrack(f *testing.F)           { fuzzCodec(f, "Track") }
func FuzzParseTrackInfo(f *testing.F)       { fuzzCodec(f, "TrackInfo") }
func FuzzParseSubscribe(f *testing.F)       { fuzzCodec(f, "Subscribe") }
func FuzzParseSubscribeUpdate(f *testing.F) { fuzzCodec(f, "SubscribeUpdate") }
func FuzzParseGroup(f *testing.F)           { fuzzCodec(f, "Group") }
func FuzzParseFetch(f *testing.F)           { fuzzCodec(f, "Fetch") }
func FuzzParseProbe(f *testing.F)           { fuzzCodec(f, "Probe") }
func FuzzParseGoaway(f *testing.F)          { fuzzCodec(f, "Goaway") }
func FuzzParseDatagram(f *testing.F)        { fuzzCodec(f, "Datagram") }

func FuzzParseResponse(f *testing.F) {
	for _, tc := range golden {
		if m, ok := tc.want.(Response); ok {
			f.Add(m.responseType(tc.version), m.Append(nil, tc.version), uint8(tc.version))
		}
	}
	f.Fuzz(func(t *testing.T, typ uint64, b []byte, version uint8) {
		v := Version02 + Version(version%4)
		m, err := ParseResponse(typ, b, v)
		if err != nil {
			return
		}
		again, err := NewReader(bytes.NewReader(AppendResponse(nil, m, v))).Response(v)
		if diff := cmp.Diff(m, again); err != nil || diff != "" {
			t.Fatalf("%v (-first +again):\n%s", err, diff)
		}
	})
}

func FuzzParseFrameHeader(f *testing.F) {
	f.Add([]byte{0x80, 0x00, 0x9c, 0x40, 3}, uint8(5))
	f.Add([]byte{3}, uint8(4))
	f.Fuzz(func(t *testing.T, b []byte, version uint8) {
		v := Version02 + Version(version%4)
		h, n, err := ParseFrameHeader(b, v)
		if err != nil {
			return
		}
		if n > len(b) {
			t.Fatalf("took %d of %d bytes", n, len(b))
		}
		again, _, err := ParseFrameHeader(h.Append(nil, v), v)
		if err != nil || again != h {
			t.Fatalf("%+v, again %+v, %v", h, again, err)
		}
		streamed, err := NewReader(bytes.NewReader(b)).FrameHeader(v, 1<<62)
		if err != nil || streamed != h {
			t.Fatalf("%+v, from a stream %+v, %v", h, streamed, err)
		}
	})
}

// FuzzReader reads arbitrary bytes as a group stream: it must end, within the
// memory that the bytes justify.
func FuzzReader(f *testing.F) {
	f.Add(readVector(f, "lite05-group"), uint8(5))
	f.Add(readVector(f, "lite04-group"), uint8(4))
	f.Fuzz(func(t *testing.T, b []byte, version uint8) {
		r := NewReader(bytes.NewReader(b))
		_, _, frames, err := readGroup(r, Version03+Version(version%3))
		total := 0
		for _, frame := range frames {
			total += len(frame.payload)
		}
		if err == nil && total > len(b) {
			t.Fatalf("%d payload bytes out of %d", total, len(b))
		}
		if cap(r.buf) > max(2*len(b), firstBuffer) {
			t.Fatalf("%d bytes allocated for %d", cap(r.buf), len(b))
		}
	})
}
