package bwe

import (
	"encoding/hex"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"pgregory.net/rapid"
)

// collect returns all statuses of a message.
func collect(f TransportFeedback) []Status {
	var out []Status
	for it := f.Statuses(); ; {
		s, ok := it.Next()
		if !ok {
			return out
		}
		out = append(out, s)
	}
}

// TestTransportVector reads a message written by hand after Section 3.1 of the
// draft: a run of 3 not received, a vector of two bits (small, large, not received,
// small), and a vector of one bit.
func TestTransportVector(t *testing.T) {
	b, err := hex.DecodeString("afcd0007" + // padding, format 15, RTPFB, 8 words
		"00000001" + "00000002" + "fffe" + "000c" + // from 65534, 12 packets
		"fffffe" + "07" + // reference time, number
		"0003" + // run of 3, not received
		"d840" + // two bits each: small, large, -, small, -, -, -
		"a000" + // one bit each: received, -, -, ...
		"04" + "fffe" + "08" + "ff" + // deltas: 1 ms, -0.5 ms, 2 ms, 63.75 ms
		"01") // padding
	if err != nil {
		t.Fatal(err)
	}
	f, err := ParseTransportFeedback(b)
	if err != nil {
		t.Fatal(err)
	}
	if f.SenderSSRC != 1 || f.MediaSSRC != 2 || f.Base != 65534 || f.Count != 12 || f.Reference != 0xfffffe || f.Number != 7 {
		t.Errorf("header %+v", f)
	}
	us := time.Microsecond
	want := []Status{
		{Seq: 65534},
		{Seq: 65535},
		{Seq: 0},
		{1, true, 1000 * us},
		{2, true, 500 * us},
		{Seq: 3},
		{4, true, 2500 * us},
		{Seq: 5},
		{Seq: 6},
		{Seq: 7},
		{8, true, 66250 * us},
		{Seq: 9},
	}
	if got := collect(f); !slices.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}

func TestTransportIsRefused(t *testing.T) {
	good := encodeTransport(t, 5, 1, []Status{{1, true, 0}, {Seq: 2}, {3, true, 70 * ms}, {4, true, 60 * ms}})
	edit := func(change func(b []byte)) []byte {
		b := slices.Clone(good)
		change(b)
		return b
	}
	for _, c := range []struct {
		what string
		b    []byte
		want error
	}{
		{"version", edit(func(b []byte) { b[0] = b[0]&0x3f | 1<<6 }), ErrNotFeedback},
		{"type", edit(func(b []byte) { b[1] = 206 }), ErrNotFeedback},
		{"format", edit(func(b []byte) { b[0] = b[0]&^0x1f | 1 }), ErrNotFeedback},
		{"count", edit(func(b []byte) { b[14], b[15] = 0xff, 0xff }), ErrTooMany},
		{"more packets than chunks", edit(func(b []byte) { b[14], b[15] = 4, 0 }), ErrMalformed},
		{"length", edit(func(b []byte) { b[3]++ }), ErrMalformed},
		{"reserved status", edit(func(b []byte) { b[20], b[21] = 0xff, 0xff }), ErrMalformed},
		{"padding", edit(func(b []byte) { b[0] |= 0x20; b[len(b)-1] = 0xff }), ErrMalformed},
		{"empty", nil, ErrMalformed},
	} {
		if _, err := ParseTransportFeedback(c.b); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.what, err, c.want)
		}
	}
	for n := range good {
		if _, err := ParseTransportFeedback(good[:n]); err == nil {
			t.Errorf("a prefix of %d of %d bytes is accepted", n, len(good))
		}
	}
}

// TestTransportAgainstPion writes messages with pion's encoder, reads them, and
// compares with what was meant and with what pion's parser reads.
func TestTransportAgainstPion(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var statuses []Status
		at := time.Duration(rapid.IntRange(0, 255).Draw(rt, "first")) * deltaTick
		seq := rapid.Uint16().Draw(rt, "base")
		for range rapid.IntRange(1, 12).Draw(rt, "runs") {
			received := rapid.Bool().Draw(rt, "received")
			for range rapid.SampledFrom([]int{1, 2, 7, 14, 40}).Draw(rt, "run") {
				s := Status{Seq: seq, Received: received}
				if received {
					at += time.Duration(rapid.IntRange(-300, 600).Draw(rt, "delta")) * deltaTick
					s.Arrived = at
				}
				statuses = append(statuses, s)
				seq++
			}
		}
		b := encodeTransport(t, rapid.Uint32Range(0, 1<<24-1).Draw(rt, "reference"), 9, statuses)
		f, err := ParseTransportFeedback(b)
		if err != nil {
			rt.Fatal(err)
		}
		if got := collect(f); !slices.Equal(got, statuses) {
			rt.Fatalf("got %v\nwant %v", got, statuses)
		}
		var pion rtcp.TransportLayerCC
		if err := pion.Unmarshal(b); err != nil {
			rt.Fatal(err)
		}
		if pion.ReferenceTime != f.Reference || int(pion.PacketStatusCount) != f.Count || pion.BaseSequenceNumber != f.Base {
			rt.Fatalf("pion reads %+v", pion)
		}
	})
}

func FuzzParseTransportFeedback(f *testing.F) {
	f.Add(encodeTransport(f, 5, 1, []Status{{1, true, 0}, {Seq: 2}, {3, true, 70 * ms}, {4, true, 60 * ms}}))
	f.Add([]byte{0x8f, 205, 0, 4, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseTransportFeedback(b)
		if err != nil {
			return
		}
		statuses := collect(m)
		if len(statuses) != m.Count {
			t.Fatalf("%d statuses of %d", len(statuses), m.Count)
		}
		if m.Count == 0 {
			return
		}
		// What was read can be written, where pion's encoder can, and reads the same.
		for _, s := range statuses {
			if d := s.Arrived; d > 4*time.Second || d < -4*time.Second {
				return
			}
		}
		again, err := ParseTransportFeedback(encodeTransport(t, m.Reference, m.Number, statuses))
		if err != nil {
			t.Fatal(err)
		}
		if got := collect(again); !slices.Equal(got, statuses) {
			t.Fatalf("got %v\nwant %v", got, statuses)
		}
	})
}
