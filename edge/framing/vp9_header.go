package framing

// vp9Header is the beginning of the uncompressed header of a VP9 frame (VP9
// specification, Section 6.2).
type vp9Header struct {
	profile       uint8
	key           bool
	bitDepth      uint8
	subsampling   uint8 // 4:2:0 is 3: x and y halved
	width, height int
}

// vp9Key reports whether a frame is a key frame, and whether its bytes suffice to tell.
func vp9Key(frame []byte) (key, known bool) {
	r := bits{b: frame}
	if r.u(2) != 2 { // frame_marker
		return false, false
	}
	vp9Profile(&r)
	if r.flag() { // show_existing_frame
		return false, !r.short
	}
	return !r.flag() && !r.short, !r.short
}

func vp9Profile(r *bits) uint8 {
	profile := uint8(r.u(1)) | uint8(r.u(1))<<1
	if profile == 3 {
		r.skip(1)
	}
	return profile
}

// parseVP9Header reads as far as the picture size, which only key frames hold.
func parseVP9Header(frame []byte) (vp9Header, bool) {
	h := vp9Header{bitDepth: 8, subsampling: 3}
	r := bits{b: frame}
	if r.u(2) != 2 {
		return h, false
	}
	h.profile = vp9Profile(&r)
	if r.flag() { // show_existing_frame
		return h, !r.short
	}
	h.key = !r.flag()
	r.skip(2) // show_frame, error_resilient_mode
	if !h.key {
		return h, !r.short
	}
	const syncCode = 0x498342
	if r.u(24) != syncCode {
		return h, false
	}
	if h.profile >= 2 {
		h.bitDepth = 10
		if r.flag() {
			h.bitDepth = 12
		}
	}
	const colorRGB = 7
	odd := h.profile == 1 || h.profile == 3
	if r.u(3) != colorRGB {
		r.skip(1) // color_range
		if odd {
			h.subsampling = uint8(r.u(2))
			r.skip(1)
		}
	} else if odd {
		h.subsampling = 0
		r.skip(1)
	}
	h.width, h.height = int(r.u(16))+1, int(r.u(16))+1
	return h, !r.short
}
