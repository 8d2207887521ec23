package framing

import "encoding/binary"

// PictureHeader is how many bytes of a payload hold its picture id at the most.
const PictureHeader = vp8DescriptorBytes

// pictureAt returns where a payload of a Packetizer has its picture id, of two
// bytes; false for codecs without.
func pictureAt(c Codec) (int, bool) {
	switch c {
	case VP8:
		return 2, true
	case VP9:
		return 1, true
	case Opus, H264, AV1:
	}
	return 0, false
}

// PictureID returns the picture id of a payload that a Packetizer has made. It is
// zero for codecs that have none.
func PictureID(c Codec, payload []byte) uint16 {
	at, ok := pictureAt(c)
	if !ok || len(payload) < at+2 {
		return 0
	}
	return binary.BigEndian.Uint16(payload[at:]) & maxPictureID
}

// ShiftPicture adds to the picture id of such a payload, in place.
func ShiftPicture(c Codec, payload []byte, by uint16) {
	at, ok := pictureAt(c)
	if ok && len(payload) >= at+2 {
		binary.BigEndian.PutUint16(payload[at:], 1<<15|(PictureID(c, payload)+by)&maxPictureID) // the first bit: it has 15
	}
}
