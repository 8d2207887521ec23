package peer_test

import (
	"testing"

	"trellis/wire/peer"
)

func BenchmarkVectors(b *testing.B) {
	for _, v := range vectors() {
		enc := v.enc()
		b.Run(v.name+"/append", func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(enc)))
			for b.Loop() {
				v.enc()
			}
		})
		b.Run(v.name+"/parse", func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(enc)))
			for b.Loop() {
				if _, err := v.parse(enc); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkObjectFrames is the forwarding path: one object's frame out and in.
func BenchmarkObjectFrames(b *testing.B) {
	b.ReportAllocs()
	var enc, dec peer.FrameCoder
	buf := make([]byte, 0, peer.MaxFrameBytes)
	f := peer.Frame{Ingress: ingress, IngressErr: 100, Size: 1200}
	for b.Loop() {
		f.Time += 33_333
		f.Ingress += 33_340
		buf = enc.AppendObject(buf[:0], f)
		if got, _, err := dec.Parse(buf); err != nil || got.Time != f.Time {
			b.Fatal(got, err)
		}
	}
}

// TestForwardingAllocates nothing per object.
func TestForwardingAllocates(t *testing.T) {
	var enc, dec peer.FrameCoder
	buf := make([]byte, 0, peer.MaxFrameBytes)
	f := peer.Frame{Ingress: ingress, Size: 1200}
	if n := testing.AllocsPerRun(100, func() {
		f.Time += 33_333
		buf = enc.AppendObject(buf[:0], f)
		if _, _, err := dec.Parse(buf); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations per object, want 0", n)
	}
}
