package packet

import (
	"bytes"
	"testing"

	"github.com/pion/rtp"
)

// packets are some of each form, as pion writes them.
func packets(tb testing.TB) []rtp.Packet {
	tb.Helper()
	plain := rtp.Packet{
		Header:  rtp.Header{Version: 2, PayloadType: 96, SequenceNumber: 65535, Timestamp: 1 << 31, SSRC: 0xfedcba98, Marker: true},
		Payload: []byte("payload"),
	}
	short, long, sources, padded := plain, plain, plain, plain
	short.Header = plain.Header.Clone()
	short.Extension, short.ExtensionProfile = true, rtp.ExtensionProfileOneByte
	long.Header = plain.Header.Clone()
	long.Extension, long.ExtensionProfile = true, rtp.ExtensionProfileTwoByte
	for id, data := range map[uint8]string{1: "mid", 14: "0123456789abcdef"} {
		if err := short.SetExtension(id, []byte(data)); err != nil {
			tb.Fatal(err)
		}
	}
	for id, data := range map[uint8]string{1: "mid", 2: "", 15: "fifteen", 200: string(bytes.Repeat([]byte{7}, 40))} {
		if err := long.SetExtension(id, []byte(data)); err != nil {
			tb.Fatal(err)
		}
	}
	sources.CSRC = []uint32{1, 2, 3}
	padded.Padding, padded.PaddingSize = true, 5
	return []rtp.Packet{plain, short, long, sources, padded}
}

func TestParseHeader(t *testing.T) {
	for _, want := range packets(t) {
		b, err := want.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		h, err := ParseHeader(b)
		if err != nil {
			t.Errorf("%v: %v", want, err)
			continue
		}
		p := Packet{Header: h, Payload: b[h.Size:]}
		if h.Seq != want.SequenceNumber || h.Timestamp != want.Timestamp || h.SSRC != want.SSRC || h.Marker != want.Marker ||
			h.PayloadType != want.PayloadType || !bytes.Equal(p.Unpadded(), want.Payload) {
			t.Errorf("%+v with %q, want %v", h, p.Unpadded(), want)
		}
		for id := range 256 {
			if got, want := h.Extension(uint8(id)), want.GetExtension(uint8(id)); id > 0 && !bytes.Equal(got, want) {
				t.Errorf("extension %d is %q, want %q", id, got, want)
			}
		}
		for n := range h.Size {
			if _, err := ParseHeader(b[:n]); err == nil {
				t.Errorf("%d bytes of a header of %d are taken for one", n, h.Size)
			}
		}
	}
}

func TestUnrepair(t *testing.T) {
	p := Packet{Payload: []byte{0x12, 0x34, 'a', 'b', 0, 2}, Header: Header{Padded: true, Seq: 9}}
	if !p.Unrepair() || p.Seq != 0x1234 || string(p.Unpadded()) != "ab" {
		t.Errorf("%+v", p)
	}
	for _, probe := range [][]byte{nil, {1}, {0, 0, 0, 3}, {9, 9, 200}} {
		if p := (Packet{Payload: probe, Header: Header{Padded: true}}); p.Unrepair() {
			t.Errorf("%x repeats %+v", probe, p)
		}
	}
}

func TestNothingIsAllocated(t *testing.T) {
	b, err := packets(t)[2].Marshal()
	if err != nil {
		t.Fatal(err)
	}
	n := testing.AllocsPerRun(100, func() {
		h, err := ParseHeader(b)
		if err != nil || h.Extension(200) == nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzParseHeader: whatever a packet is, what is said of it is within it, and what
// pion also takes for a header is the same to us.
func FuzzParseHeader(f *testing.F) {
	for _, p := range packets(f) {
		b, err := p.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ParseHeader(b)
		var want rtp.Header
		n, wantErr := want.Unmarshal(b)
		if err != nil {
			return
		}
		if h.Size > len(b) {
			t.Fatalf("a header of %d bytes in %d", h.Size, len(b))
		}
		p := Packet{Header: h, Payload: b[h.Size:]}
		if got := p.Unpadded(); len(got) > len(p.Payload) {
			t.Fatal("unpadding made more of it")
		}
		for id := range 256 {
			h.Extension(uint8(id))
		}
		p.Unrepair()
		if wantErr == nil && (n != h.Size || want.SSRC != h.SSRC || want.SequenceNumber != h.Seq || want.Timestamp != h.Timestamp) {
			t.Errorf("%+v of %d bytes, pion: %+v of %d", h, h.Size, want, n)
		}
	})
}
