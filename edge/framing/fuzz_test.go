package framing

import (
	"bytes"
	"testing"
)

// packetsFrom reads packets from fuzz input: a byte of flags, a byte of length, and the payload.
func packetsFrom(b []byte) []Packet {
	var packets []Packet
	var ts uint32
	for len(b) >= 2 {
		flags, n := b[0], min(int(b[1]), len(b)-2)
		if flags&2 != 0 {
			ts += 3000
		}
		p := Packet{
			Seq: uint16(len(packets)), Timestamp: ts, Marker: flags&1 != 0,
			Arrival: testTime, Payload: bytes.Clone(b[2 : 2+n]),
		}
		if flags&4 != 0 {
			p.Lost = 1
		}
		packets = append(packets, p)
		b = b[2+n:]
	}
	return packets
}

// FuzzDepacketize checks that any packets make events in the order promised, that
// frames stay below the limit, and that packetizing what came out makes the same
// frame again.
func FuzzDepacketize(f *testing.F) {
	for _, s := range videoStreams {
		var seed []byte
		for _, p := range packetizeAll(f, newTestPacketizer(f, s.codec, 200), s.codec, loadFrames(f, s.codec, s.file)[14:17]) {
			flags := byte(0)
			if p.Marker {
				flags = 1 | 2
			}
			seed = append(append(seed, flags, byte(len(p.Payload))), p.Payload...)
		}
		f.Add(uint8(s.codec), seed)
	}
	f.Fuzz(func(t *testing.T, codec uint8, input []byte) {
		c := fuzzCodec(codec)
		d, err := NewDepacketizer(c, DepacketizerConfig{MaxFrameBytes: 4096})
		if err != nil {
			return
		}
		got := &collector{tb: t}
		for _, p := range packetsFrom(input) {
			got.take(d.Push(p, nil))
		}
		for _, fr := range got.frames {
			if len(fr.data) > 4096 {
				t.Fatalf("a frame of %d bytes", len(fr.data))
			}
			if !fr.ended || c == H264 {
				continue // H.264 is not canonical: units may hold start codes, or be dropped
			}
			again := repacketize(t, c, fr)
			if again != nil && !bytes.Equal(again, fr.data) {
				t.Errorf("%s: %x came back as %x", c, fr.data, again)
			}
		}
	})
}

// repacketize sends a frame through packets once more; nil when it does not come through.
func repacketize(t *testing.T, c Codec, fr frame) []byte {
	t.Helper()
	p := newTestPacketizer(t, c, 100)
	var out Payloads
	if p.Packetize(fr.data, fr.key, &out) != nil {
		return nil
	}
	d, err := NewDepacketizer(c, DepacketizerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	got := &collector{tb: t}
	for i := range out.Len() {
		got.take(d.Push(Packet{Seq: uint16(i), Arrival: testTime, Marker: i == out.Len()-1, Payload: out.At(i)}, nil))
	}
	if len(got.frames) != 1 || !got.frames[0].ended {
		return nil
	}
	return got.frames[0].data
}

// FuzzPacketize checks that any bytes are refused or cut into payloads of the right sizes.
func FuzzPacketize(f *testing.F) {
	for _, s := range videoStreams {
		f.Add(uint8(s.codec), uint16(100), loadFrames(f, s.codec, s.file)[0])
	}
	f.Fuzz(func(t *testing.T, codec uint8, size uint16, frame []byte) {
		if size == 0 {
			size = DefaultMaxPayload
		}
		p, err := NewPacketizer(fuzzCodec(codec), PacketizerConfig{MaxPayload: int(size)})
		if err != nil {
			return
		}
		limit := int(size)
		if limit == 0 {
			limit = DefaultMaxPayload
		}
		var out Payloads
		if err := p.Packetize(frame, true, &out); err != nil {
			if out.Len() != 0 || out.Bytes() != 0 {
				t.Errorf("%d payloads after an error", out.Len())
			}
			return
		}
		for i := range out.Len() {
			n := len(out.At(i))
			if n == 0 || n > limit && fuzzCodec(codec) != Opus {
				t.Errorf("payload %d of %d has %d bytes, at most %d", i, out.Len(), n, limit)
			}
		}
	})
}

// fuzzCodec makes every byte mean a codec, and a codec mean itself.
func fuzzCodec(b uint8) Codec { return Codec((b-1)%uint8(AV1)) + 1 }
