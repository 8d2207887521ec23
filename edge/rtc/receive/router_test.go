package receive

import (
	"encoding/binary"
	"testing"

	"trellis/edge/rtc/packet"
)

var testIDs = IDs{MID: 1, RID: 2, RepairedRID: 3}

// header is that of a packet with extensions: number and value in turn.
func header(tb testing.TB, ssrc uint32, pt uint8, exts ...any) *packet.Header {
	tb.Helper()
	b := []byte{0x80, pt, 0, 1, 0, 0, 0, 0}
	b = binary.BigEndian.AppendUint32(b, ssrc)
	if len(exts) > 0 {
		var all []byte
		for i := 0; i < len(exts); i += 2 {
			value := exts[i+1].(string)
			all = append(all, byte(exts[i].(int))<<4|byte(len(value)-1))
			all = append(all, value...)
		}
		for len(all)%4 != 0 {
			all = append(all, 0)
		}
		b[0] |= 0x10
		b = append(b, 0xbe, 0xde, 0, byte(len(all)/4))
		b = append(b, all...)
	}
	h, err := packet.ParseHeader(b)
	if err != nil {
		tb.Fatal(err)
	}
	return &h
}

type routing struct {
	h    *packet.Header
	want Route
	why  Refusal
}

func check(t *testing.T, r *Router, all []routing) {
	t.Helper()
	for i, c := range all {
		if got, why := r.Route(c.h); got != c.want || why != c.why {
			t.Errorf("packet %d: %+v, %v, want %+v, %v", i, got, why, c.want, c.why)
		}
	}
}

// sound and picture are what a browser offers: streams 0, and 1 to 3.
func soundAndLayers() []Section {
	return []Section{
		{MID: "0", Media: []uint8{111, 63}},
		{MID: "1", RIDs: []string{"q", "h", "f"}, Media: []uint8{96, 98}, Repairs: map[uint8]uint8{97: 96, 99: 98}},
	}
}

// TestLayers: streams are known by their names, which only the first packets have;
// retransmissions by those that they repeat.
func TestLayers(t *testing.T) {
	r := NewRouter(soundAndLayers(), testIDs)
	if n := len(r.Streams()); n != 4 || r.Streams()[3] != (Stream{Section: 1, RID: "f"}) {
		t.Fatalf("%+v", r.Streams())
	}
	check(t, r, []routing{
		{header(t, 10, 96), Route{}, NoStream}, // not yet
		{header(t, 10, 96, 1, "1"), Route{}, NoStream},
		{header(t, 10, 96, 1, "1", 2, "f"), Route{Stream: 3, PayloadType: 96}, Taken},
		{header(t, 10, 96), Route{Stream: 3, PayloadType: 96}, Taken},
		{header(t, 11, 96, 2, "q"), Route{Stream: 1, PayloadType: 96}, Taken}, // the payload type says the section
		{header(t, 20, 97, 1, "1", 3, "f"), Route{Stream: 3, Repair: true, PayloadType: 96}, Taken},
		{header(t, 20, 97), Route{Stream: 3, Repair: true, PayloadType: 96}, Taken},
		{header(t, 21, 97, 1, "1", 2, "q"), Route{Stream: 1, Repair: true, PayloadType: 96}, Taken},
		{header(t, 22, 97, 1, "1"), Route{}, NoStream},
		{header(t, 23, 96, 1, "1", 2, "x"), Route{}, NoStream},
		{header(t, 24, 96, 1, "9", 2, "q"), Route{}, NoStream},
		{header(t, 25, 50, 1, "1", 2, "q"), Route{}, NoFormat},
		{header(t, 26, 50), Route{}, NoFormat},
		{header(t, 10, 111), Route{}, NoFormat}, // of another section
		{header(t, 10, 97), Route{}, NoFormat},  // a retransmission among media
		{header(t, 10, 98), Route{Stream: 3, PayloadType: 98}, Taken},
		{header(t, 20, 99), Route{Stream: 3, Repair: true, PayloadType: 98}, Taken},
		{header(t, 30, 63), Route{Stream: 0, PayloadType: 63}, Taken},
		{header(t, 30, 111), Route{Stream: 0, PayloadType: 111}, Taken},
	})
}

// TestDeclared: SSRCs that the offer names need nothing else, in sections of the same
// payload types neither.
func TestDeclared(t *testing.T) {
	r := NewRouter([]Section{
		{MID: "a", Media: []uint8{96}, Repairs: map[uint8]uint8{97: 96}, SSRCs: []uint32{1, 2, 3}, Groups: [][2]uint32{{1, 2}}},
		{MID: "b", Media: []uint8{96}, SSRCs: []uint32{7}},
		{MID: "c", RIDs: []string{"l", "h"}, Media: []uint8{100}, Repairs: map[uint8]uint8{101: 100}, Groups: [][2]uint32{{50, 51}}},
	}, testIDs)
	check(t, r, []routing{
		{header(t, 2, 97), Route{Stream: 0, Repair: true, PayloadType: 96}, Taken},
		{header(t, 1, 96), Route{Stream: 0, PayloadType: 96}, Taken},
		{header(t, 7, 96), Route{Stream: 1, PayloadType: 96}, Taken},
		{header(t, 3, 96), Route{}, LeftBehind}, // nothing says what else it is
		{header(t, 4, 96), Route{}, NoStream},   // of either section
		{header(t, 51, 101), Route{}, NoStream}, // what it repeats has not come
		{header(t, 50, 100, 2, "h"), Route{Stream: 3, PayloadType: 100}, Taken},
		{header(t, 51, 101), Route{Stream: 3, Repair: true, PayloadType: 100}, Taken},
	})
}

// TestMoved: who begins anew under another SSRC goes on; what is left of the one before
// is not mixed with it.
func TestMoved(t *testing.T) {
	r := NewRouter([]Section{{MID: "0", Media: []uint8{96}, Repairs: map[uint8]uint8{97: 96}}}, IDs{})
	check(t, r, []routing{
		{header(t, 2, 97), Route{Repair: true, PayloadType: 96}, Taken},
		{header(t, 1, 96), Route{PayloadType: 96}, Taken},
		{header(t, 3, 96), Route{PayloadType: 96, Moved: true}, Taken},
		{header(t, 1, 96), Route{}, LeftBehind},
		{header(t, 2, 97), Route{}, LeftBehind},
		{header(t, 4, 97), Route{Repair: true, PayloadType: 96}, Taken},
		{header(t, 3, 96), Route{PayloadType: 96}, Taken},
	})
}

// TestSourcesAreBounded: a publisher with ever more SSRCs makes us remember so many.
func TestSourcesAreBounded(t *testing.T) {
	r := NewRouter(soundAndLayers(), testIDs)
	taken := 0
	for ssrc := range uint32(1000) {
		if _, why := r.Route(header(t, ssrc, 111)); why == Taken {
			taken++
		} else if why != TooManySSRCs {
			t.Fatal(why)
		}
	}
	if taken != maxSources || len(r.sources) != maxSources {
		t.Errorf("%d were taken, %d are remembered, want %d", taken, len(r.sources), maxSources)
	}
	declared := Section{MID: "0", Media: []uint8{96}}
	for ssrc := range uint32(1000) {
		declared.SSRCs = append(declared.SSRCs, ssrc)
	}
	if r := NewRouter([]Section{declared}, testIDs); len(r.sources) > maxSources {
		t.Errorf("%d declared ones are remembered", len(r.sources))
	}
}

func TestRouteAllocatesNothing(t *testing.T) {
	r := NewRouter(soundAndLayers(), testIDs)
	named, plain, sound := header(t, 10, 96, 1, "1", 2, "f"), header(t, 10, 96), header(t, 30, 63)
	r.Route(named)
	if n := testing.AllocsPerRun(100, func() {
		r.Route(named)
		r.Route(sound)
		r.Route(plain)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzRoute: whatever packets there are, what is said of them is of the offer, and an
// SSRC is of one stream.
func FuzzRoute(f *testing.F) {
	f.Add([]byte{0, 10, 96, 1, 0, 20, 97, 2, 0, 10, 96, 0, 0, 30, 111, 0, 0, 40, 96, 7})
	f.Fuzz(func(t *testing.T, b []byte) {
		sections := soundAndLayers()
		sections[1].Groups = [][2]uint32{{40, 41}, {41, 40}}
		r := NewRouter(sections, testIDs)
		names := []string{"q", "h", "f", "1", "0", "xx"}
		streams := map[uint32]int{}
		for ; len(b) >= 4; b = b[4:] {
			ssrc, pt := uint32(binary.BigEndian.Uint16(b)), b[2]&0x7f
			var exts []any
			for i := range 3 {
				if b[3]>>i&1 != 0 {
					exts = append(exts, i+1, names[int(b[3]>>3)%len(names)])
				}
			}
			to, why := r.Route(header(t, ssrc, pt, exts...))
			if why != Taken {
				continue
			}
			if to.Stream < 0 || to.Stream >= len(r.Streams()) {
				t.Fatalf("stream %d", to.Stream)
			}
			if before, ok := streams[ssrc]; ok && before != to.Stream {
				t.Errorf("SSRC %d was of stream %d and is of %d", ssrc, before, to.Stream)
			}
			streams[ssrc] = to.Stream
			if sec := r.Streams()[to.Stream].Section; to.Repair && sections[sec].Repairs[pt] != to.PayloadType || !to.Repair && to.PayloadType != pt {
				t.Errorf("payload type %d: %+v", pt, to)
			}
		}
	})
}
