package peer_test

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"trellis/wire/peer"
)

// seed adds the golden vectors, and for messages their bodies.
func seed(f *testing.F) {
	f.Helper()
	files, err := filepath.Glob("testdata/*.hex")
	if err != nil || len(files) == 0 {
		f.Fatal("no golden vectors", err)
	}
	for _, file := range files {
		b := readHex(f, file)
		f.Add(b)
		if _, body, _, err := peer.ParseMessage(b); err == nil {
			f.Add(body)
		}
	}
}

// fuzzValue: what parses must encode, and parse again to the same value.
func fuzzValue[V interface{ Append([]byte) []byte }](f *testing.F, parse func([]byte) (V, error)) {
	f.Helper()
	seed(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := parse(b)
		if err != nil {
			return
		}
		again, err := parse(v.Append(nil))
		if err != nil {
			t.Fatalf("%+v does not parse again: %v", v, err)
		}
		if d := cmp.Diff(v, again, cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("changed (-first +again):\n%s", d)
		}
	})
}

func FuzzParseHello(f *testing.F)          { fuzzValue(f, peer.ParseHello) }
func FuzzParseGoAway(f *testing.F)         { fuzzValue(f, peer.ParseGoAway) }
func FuzzParseLanes(f *testing.F)          { fuzzValue(f, peer.ParseLanes) }
func FuzzParseAdvert(f *testing.F)         { fuzzValue(f, peer.ParseAdvert) }
func FuzzParseKnown(f *testing.F)          { fuzzValue(f, peer.ParseKnown) }
func FuzzParseGraft(f *testing.F)          { fuzzValue(f, peer.ParseGraft) }
func FuzzParsePrune(f *testing.F)          { fuzzValue(f, peer.ParsePrune) }
func FuzzParseFresh(f *testing.F)          { fuzzValue(f, peer.ParseFresh) }
func FuzzParseKeep(f *testing.F)           { fuzzValue(f, peer.ParseKeep) }
func FuzzParseSubscribe(f *testing.F)      { fuzzValue(f, peer.ParseSubscribe) }
func FuzzParseSubscribeOK(f *testing.F)    { fuzzValue(f, peer.ParseSubscribeOK) }
func FuzzParseSubscribeError(f *testing.F) { fuzzValue(f, peer.ParseSubscribeError) }
func FuzzParseUnsubscribe(f *testing.F)    { fuzzValue(f, peer.ParseUnsubscribe) }
func FuzzParseTrackEnd(f *testing.F)       { fuzzValue(f, peer.ParseTrackEnd) }
func FuzzParseDemand(f *testing.F)         { fuzzValue(f, peer.ParseDemand) }
func FuzzParseResume(f *testing.F)         { fuzzValue(f, peer.ParseResume) }
func FuzzParsePause(f *testing.F)          { fuzzValue(f, peer.ParsePause) }
func FuzzParseRefresh(f *testing.F)        { fuzzValue(f, peer.ParseRefresh) }
func FuzzParsePlan(f *testing.F)           { fuzzValue(f, peer.ParsePlan) }
func FuzzParsePath(f *testing.F)           { fuzzValue(f, peer.ParsePath) }
func FuzzParseNodeValue(f *testing.F)      { fuzzValue(f, peer.ParseNodeValue) }
func FuzzParseLinkValue(f *testing.F)      { fuzzValue(f, peer.ParseLinkValue) }
func FuzzParseBroadcastValue(f *testing.F) { fuzzValue(f, peer.ParseBroadcastValue) }
func FuzzParseProbe(f *testing.F)          { fuzzValue(f, peer.ParseProbe) }

func FuzzParseMessage(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		typ, body, rest, err := peer.ParseMessage(b)
		if err != nil {
			return
		}
		again, body2, rest2, err := peer.ParseMessage(append(peer.AppendMessage(nil, raw{typ, body}), rest...))
		if err != nil || again != typ || string(body) != string(body2) || string(rest) != string(rest2) {
			t.Fatalf("message changed: %v", err)
		}
	})
}

func FuzzParseGroupHeader(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		h, n, err := peer.ParseGroupHeader(b)
		if err != nil {
			return
		}
		enc := h.Append(nil)
		_, skip, err := peer.ParseStreamType(enc)
		if err != nil || n > len(b) {
			t.Fatal(n, err)
		}
		if again, _, err := peer.ParseGroupHeader(enc[skip:]); err != nil || again != h {
			t.Fatalf("%+v became %+v, %v", h, again, err)
		}
	})
}

// FuzzParseFrame reads a whole stream of frames without payloads, and chunk
// sizes where frames announce them.
func FuzzParseFrame(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		var dec, enc, dec2 peer.FrameCoder
		for len(b) > 0 {
			v, n, err := dec.Parse(b)
			if err != nil {
				return
			}
			var out []byte
			if v.End {
				out = peer.AppendEnd(nil, v.Objects)
			} else {
				out = enc.AppendObject(nil, v)
			}
			if again, _, err := dec2.Parse(out); err != nil || again != v {
				t.Fatalf("%+v became %+v, %v", v, again, err)
			}
			b = b[n:]
			if v.Chunked {
				size, n, err := peer.ParseChunkSize(b)
				if err != nil || size > peer.MaxObjectBytes {
					return
				}
				b = b[n:]
			}
		}
	})
}
