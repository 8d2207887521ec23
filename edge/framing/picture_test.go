package framing

import (
	"bytes"
	"testing"
)

// TestPictureIDs shifts those of all codecs, over the end of their 15 bits.
func TestPictureIDs(t *testing.T) {
	for _, c := range []Codec{VP8, VP9, H264, AV1, Opus} {
		for _, shift := range []uint16{1, 3, maxPictureID} {
			p, err := NewPacketizer(c, PacketizerConfig{PictureID: maxPictureID - 1, MaxPayload: 200})
			if err != nil {
				t.Fatal(err)
			}
			want, has := uint16(maxPictureID-1), c == VP8 || c == VP9
			for range 3 {
				var out Payloads
				frame := bytes.Repeat([]byte{0x12}, 150)
				if c == H264 {
					frame = append([]byte{0, 0, 0, 1, 0x65}, frame...)
				}
				if c == AV1 {
					frame = append([]byte{0x32, 0x96, 0x01}, frame...) // an OBU of a frame, with its size
				}
				if err := p.Packetize(frame, true, &out); err != nil {
					t.Fatal(err)
				}
				for i := range out.Len() {
					before := bytes.Clone(out.At(i))
					if got := PictureID(c, before); has && got != want || !has && got != 0 {
						t.Errorf("%v: picture %d, want %d", c, got, want)
					}
					after := bytes.Clone(before)
					ShiftPicture(c, after, shift)
					if got := PictureID(c, after); has && got != (want+shift)&maxPictureID {
						t.Errorf("%v: picture %d shifted by %d is %d", c, want, shift, got)
					}
					ShiftPicture(c, after, -shift&maxPictureID)
					if !bytes.Equal(before, after) {
						t.Errorf("%v: there and back: %x became %x", c, before[:6], after[:6])
					}
				}
				want = (want + 1) & maxPictureID
			}
		}
	}
}
