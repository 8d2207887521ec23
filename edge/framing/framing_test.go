package framing

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
)

func newTestPacketizer(tb testing.TB, c Codec, maxPayload int) Packetizer {
	tb.Helper()
	p, err := NewPacketizer(c, PacketizerConfig{MaxPayload: maxPayload})
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func TestRoundTrip(t *testing.T) {
	for _, s := range videoStreams {
		t.Run(s.codec.String(), func(t *testing.T) {
			c, frames := s.load(t)
			for _, size := range []int{64, 65, 100, 333, 1160, 9000} {
				packets := packetizeAll(t, newTestPacketizer(t, c, size), c, frames)
				for i, p := range packets {
					if len(p.Payload) > size || len(p.Payload) == 0 {
						t.Fatalf("packet %d has %d bytes, at most %d", i, len(p.Payload), size)
					}
				}
				got := depacketizeAll(t, c, packets)
				got.wantFrames(c, frames)
				if got.whole() != len(frames) || got.losses != 0 {
					t.Errorf("payload %d: %d frames and %d losses, want %d and none", size, got.whole(), got.losses, len(frames))
				}
			}
		})
	}
}

// Packets that overtake one another change nothing, nor do duplicates.
func TestRoundTripReordered(t *testing.T) {
	for _, s := range videoStreams {
		t.Run(s.codec.String(), func(t *testing.T) {
			c, frames := s.load(t)
			packets := packetizeAll(t, newTestPacketizer(t, c, 200), c, frames)
			rng := rand.New(rand.NewPCG(1, 2))
			for i := 1; i+8 < len(packets); i += 8 {
				rng.Shuffle(8, func(a, b int) { packets[i+a], packets[i+b] = packets[i+b], packets[i+a] })
				packets = slices.Insert(packets, i+rng.IntN(8), packets[i+rng.IntN(8)])
			}
			for i := range packets { // more densely than in real time
				packets[i].Arrival = testTime.Add(time.Duration(i) * time.Millisecond)
			}
			got := depacketizeAll(t, c, packets)
			got.wantFrames(c, frames)
			if got.whole() != len(frames) || got.losses != 0 {
				t.Errorf("%d frames, %d losses, want %d and none", got.whole(), got.losses, len(frames))
			}
		})
	}
}

// With losses, what is said to be whole is right, what was begun is said to be
// broken, and every frame of which no packet was lost is there, unless it cannot
// be told from its packets that they are all of it.
func TestRoundTripLossy(t *testing.T) {
	for _, s := range videoStreams {
		t.Run(s.codec.String(), func(t *testing.T) {
			c, frames := s.load(t)
			for seed := range uint64(20) {
				packets := packetizeAll(t, newTestPacketizer(t, c, 150), c, frames)
				rng := rand.New(rand.NewPCG(seed, 3))
				damaged := map[uint32]bool{}
				dropped := 0
				for i := 0; i < len(packets); {
					if i > 0 && rng.IntN(40) == 0 {
						damaged[packets[i].Timestamp] = true
						packets = slices.Delete(packets, i, i+1)
						dropped++
						continue
					}
					i++
				}
				got := depacketizeAll(t, c, packets)
				got.wantFrames(c, frames)
				// A frame whose lost packets held only parameter sets known already is whole.
				whole, undamaged := got.whole(), len(frames)-len(damaged)
				if whole < undamaged-dropped || whole > undamaged && c != H264 {
					t.Errorf("seed %d: %d whole frames of %d undamaged, %d packets dropped", seed, whole, undamaged, dropped)
				}
				// Only AV1 may leave open whether a packet after a gap begins its frame.
				if c != AV1 && whole < undamaged {
					t.Errorf("seed %d: %d whole frames, want %d", seed, whole, undamaged)
				}
			}
		})
	}
}

// A frame without the marker ends where the next one begins.
func TestMissingMarker(t *testing.T) {
	for _, s := range videoStreams {
		t.Run(s.codec.String(), func(t *testing.T) {
			c, frames := s.load(t)
			packets := packetizeAll(t, newTestPacketizer(t, c, 500), c, frames)
			for i := range packets {
				packets[i].Marker = i == len(packets)-1
			}
			got := depacketizeAll(t, c, packets)
			got.wantFrames(c, frames)
			if got.whole() != len(frames) || got.losses != 0 {
				t.Errorf("%d frames, %d losses, want %d and none", got.whole(), got.losses, len(frames))
			}
		})
	}
}

// Packets of padding only have sequence numbers and nothing to say.
func TestPaddingBetween(t *testing.T) {
	for _, s := range videoStreams {
		t.Run(s.codec.String(), func(t *testing.T) {
			c, frames := s.load(t)
			packets := packetizeAll(t, newTestPacketizer(t, c, 500), c, frames)
			var padded []Packet
			for _, p := range packets {
				padding := p
				padding.Payload, padding.Marker = nil, false
				padded = append(padded, p, padding)
			}
			for i := range padded {
				padded[i].Seq = uint16(i)
			}
			got := depacketizeAll(t, c, padded)
			got.wantFrames(c, frames)
			if got.whole() != len(frames) || got.losses != 0 {
				t.Errorf("%d frames, %d losses, want %d and none", got.whole(), got.losses, len(frames))
			}
		})
	}
}

// All payloads of a frame but the last have one size, so that they can be sent as
// one segmented datagram. H.264 cannot help a small packet of parameter sets.
func TestEqualSizes(t *testing.T) {
	for _, s := range videoStreams {
		t.Run(s.codec.String(), func(t *testing.T) {
			c, frames := s.load(t)
			p := newTestPacketizer(t, c, 300)
			for i, f := range frames {
				if c == H264 && i%15 == 0 {
					continue
				}
				if c == H264 { // one slice: several have sizes of their own
					first, _ := nextNAL(f)
					f = append([]byte(startCode), first...)
				}
				var out Payloads
				if err := p.Packetize(f, false, &out); err != nil {
					t.Fatal(err)
				}
				for j := 1; j < out.Len()-1; j++ {
					if len(out.At(j)) != len(out.At(0)) {
						t.Errorf("frame %d: payload %d has %d bytes, the first %d", i, j, len(out.At(j)), len(out.At(0)))
					}
				}
				if last := out.At(out.Len() - 1); len(last) > len(out.At(0)) {
					t.Errorf("frame %d: the last payload is the largest", i)
				}
				if least := (out.Bytes() + 299) / 300; out.Len() > least+1 {
					t.Errorf("frame %d: %d payloads, %d would do", i, out.Len(), least)
				}
			}
		})
	}
}

// Whatever OBUs a temporal unit has: only its first packet begins with a whole one.
func TestAV1PacketsContinue(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	p := newTestPacketizer(t, AV1, 100)
	for range 500 {
		unit := slices.Clone(temporalDelimiter)
		for range 2 + rng.IntN(8) {
			o := obu{header: []byte{obuFrame << 3}, payload: make([]byte, 2+rng.IntN(150))}
			unit = append(o.appendHeader(unit), o.payload...)
		}
		var out Payloads
		if err := p.Packetize(unit, false, &out); err != nil {
			t.Fatal(err)
		}
		got := &collector{tb: t}
		d, err := NewDepacketizer(AV1, DepacketizerConfig{})
		if err != nil {
			t.Fatal(err)
		}
		for i := range out.Len() {
			if continues := out.At(i)[0]&0x80 != 0; continues != (i > 0) {
				t.Fatalf("packet %d of %d: continues %v", i, out.Len(), continues)
			}
			if len(out.At(i)) > 100 {
				t.Fatalf("packet %d has %d bytes", i, len(out.At(i)))
			}
			got.take(d.Push(Packet{Seq: uint16(i), Arrival: testTime, Marker: i == out.Len()-1, Payload: out.At(i)}, nil))
		}
		if got.whole() != 1 || !bytes.Equal(got.frames[0].data, unit) {
			t.Fatalf("%d bytes did not come through", len(unit))
		}
	}
}

// An independent implementation reads what we write.
func TestPionReads(t *testing.T) {
	for _, s := range videoStreams {
		t.Run(s.codec.String(), func(t *testing.T) {
			c, frames := s.load(t)
			d := map[Codec]rtp.Depacketizer{
				VP8: &codecs.VP8Packet{}, VP9: &codecs.VP9Packet{}, H264: &codecs.H264Packet{}, AV1: &codecs.AV1Depacketizer{},
			}[c]
			p := newTestPacketizer(t, c, 400)
			for i, f := range frames {
				var out Payloads
				if err := p.Packetize(f, IsKey(c, f), &out); err != nil {
					t.Fatal(err)
				}
				var got []byte
				for j := range out.Len() {
					b, err := d.Unmarshal(slices.Clone(out.At(j)))
					if err != nil {
						t.Fatalf("frame %d, payload %d: %v", i, j, err)
					}
					if head := d.IsPartitionHead(out.At(j)); head != (j == 0) && c != H264 && c != AV1 {
						t.Errorf("frame %d, payload %d: head %v", i, j, head)
					}
					got = append(got, b...)
				}
				if c == AV1 {
					f = f[len(temporalDelimiter):]
				}
				if !bytes.Equal(got, f) {
					t.Errorf("frame %d: %d bytes differ from the %d sent", i, len(got), len(f))
				}
			}
		})
	}
}

// We read what an independent implementation writes.
func TestPionWrites(t *testing.T) {
	for _, s := range videoStreams {
		t.Run(s.codec.String(), func(t *testing.T) {
			c, frames := s.load(t)
			for _, p := range []rtp.Payloader{
				&codecs.VP8Payloader{EnablePictureID: true}, &codecs.VP8Payloader{},
				&codecs.VP9Payloader{}, &codecs.VP9Payloader{FlexibleMode: true},
				&codecs.H264Payloader{}, &codecs.AV1Payloader{},
			} {
				if !slices.Contains([]string{"*codecs.VP8Payloader", "*codecs.VP9Payloader", "*codecs.H264Payloader", "*codecs.AV1Payloader"}[c-VP8:c-VP8+1],
					payloaderName(p)) {
					continue
				}
				var packets []Packet
				for i, f := range frames {
					payloads := p.Payload(300, f)
					for j, b := range payloads {
						packets = append(packets, Packet{
							Seq: uint16(len(packets)), Timestamp: uint32(i * 3000),
							Marker: j == len(payloads)-1, Arrival: testTime, Payload: b,
						})
					}
				}
				got := depacketizeAll(t, c, packets)
				got.wantFrames(c, frames)
				if got.whole() != len(frames) || got.losses != 0 {
					t.Errorf("%d frames, %d losses, want %d and none", got.whole(), got.losses, len(frames))
				}
			}
		})
	}
}

func TestOpus(t *testing.T) {
	d, err := NewDepacketizer(Opus, DepacketizerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	p := newTestPacketizer(t, Opus, 0)
	var out Payloads
	if err := p.Packetize([]byte{0xfc, 1, 2}, true, &out); err != nil {
		t.Fatal(err)
	}
	got := &collector{tb: t}
	got.take(d.Push(Packet{Seq: 1, Arrival: testTime, Payload: out.At(0)}, nil))
	got.take(d.Push(Packet{Seq: 3, Arrival: testTime, Lost: 1, Timestamp: 1920, Payload: []byte{0xf8}}, nil))
	got.take(d.Push(Packet{Seq: 4, Arrival: testTime}, nil))
	if len(got.frames) != 2 || got.losses != 1 || !got.frames[0].key || !bytes.Equal(got.frames[0].data, []byte{0xfc, 1, 2}) {
		t.Errorf("got %+v and %d losses", got.frames, got.losses)
	}
	for _, bad := range [][]byte{nil, make([]byte, 1276)} {
		if err := p.Packetize(bad, true, &out); err == nil {
			t.Errorf("a packet of %d bytes was taken", len(bad))
		}
	}
}

func TestMaxFrameBytes(t *testing.T) {
	for _, s := range videoStreams {
		t.Run(s.codec.String(), func(t *testing.T) {
			c, frames := s.load(t)
			d, err := NewDepacketizer(c, DepacketizerConfig{MaxFrameBytes: 600})
			if err != nil {
				t.Fatal(err)
			}
			got := &collector{tb: t}
			for _, p := range packetizeAll(t, newTestPacketizer(t, c, 150), c, frames) {
				got.take(d.Push(p, nil))
			}
			got.wantFrames(c, frames)
			broken := got.losses
			for _, f := range got.frames {
				if f.broken {
					broken++
				}
				if len(f.data) > 600 {
					t.Errorf("a frame of %d bytes passed", len(f.data))
				}
			}
			if broken == 0 {
				t.Error("no frame was too large: the stream does not test this")
			}
		})
	}
}

func TestUnknownCodec(t *testing.T) {
	if _, err := NewDepacketizer(0, DepacketizerConfig{}); err == nil {
		t.Error("a depacketizer for nothing")
	}
	if _, err := NewPacketizer(99, PacketizerConfig{}); err == nil {
		t.Error("a packetizer for nothing")
	}
	if _, err := NewPacketizer(VP8, PacketizerConfig{MaxPayload: 10}); err == nil {
		t.Error("a packetizer for payloads of 10 bytes")
	}
}

func BenchmarkDepacketize(b *testing.B) {
	for _, s := range videoStreams {
		b.Run(s.codec.String(), func(b *testing.B) {
			packets := packetizeAll(b, newTestPacketizer(b, s.codec, 0), s.codec, loadFrames(b, s.codec, s.file))
			d, err := NewDepacketizer(s.codec, DepacketizerConfig{})
			if err != nil {
				b.Fatal(err)
			}
			r, err := NewReorder(ReorderConfig{})
			if err != nil {
				b.Fatal(err)
			}
			var events []Event
			size, seq := 0, uint16(0)
			for _, p := range packets {
				size += len(p.Payload)
			}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				for _, p := range packets {
					p.Seq = seq
					seq++
					r.Push(p)
					for q, ok := r.Pop(testTime); ok; q, ok = r.Pop(testTime) {
						events = d.Push(q, events[:0])
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(packets)), "ns/packet")
		})
	}
}

func BenchmarkPacketize(b *testing.B) {
	for _, s := range videoStreams {
		b.Run(s.codec.String(), func(b *testing.B) {
			frames := loadFrames(b, s.codec, s.file)
			p := newTestPacketizer(b, s.codec, 0)
			var out Payloads
			size := 0
			for _, f := range frames {
				size += len(f)
			}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				for _, f := range frames {
					out.Reset()
					if err := p.Packetize(f, false, &out); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// The steady state allocates nothing, in either direction.
func TestNoAllocations(t *testing.T) {
	for _, s := range videoStreams {
		t.Run(s.codec.String(), func(t *testing.T) {
			c, frames := s.load(t)
			packets := packetizeAll(t, newTestPacketizer(t, c, 0), c, frames)
			p := newTestPacketizer(t, c, 0)
			d, err := NewDepacketizer(c, DepacketizerConfig{})
			if err != nil {
				t.Fatal(err)
			}
			var events []Event
			var out Payloads
			for i := range packets {
				packets[i].Arrival = testTime.Add(time.Duration(i))
			}
			n := testing.AllocsPerRun(10, func() {
				for _, q := range packets {
					events = d.Push(q, events[:0])
				}
				for _, f := range frames {
					out.Reset()
					if err := p.Packetize(f, false, &out); err != nil {
						t.Fatal(err)
					}
				}
			})
			if n != 0 {
				t.Errorf("%v allocations in %d packets and %d frames", n, len(packets), len(frames))
			}
		})
	}
}

func payloaderName(p rtp.Payloader) string { return fmt.Sprintf("%T", p) }
