package framing

import "slices"

// h264SPS is what a sequence parameter set says about the stream (ITU-T H.264,
// Sections 7.3.2.1.1 and E.1.1).
type h264SPS struct {
	profile, constraints, level uint8
	bitDepth                    uint8
	width, height               int
	// frame rate as time_scale / (2 * num_units_in_tick); zero when not told
	unitsInTick, timeScale uint32
}

// maxReferenceFramesInCycle is the limit of ITU-T H.264, Section 7.4.2.1.1.
const maxReferenceFramesInCycle = 255

func parseH264SPS(nal []byte) (h264SPS, bool) {
	var s h264SPS
	if len(nal) < 4 || nal[0]&nalTypeMask != nalSPS {
		return s, false
	}
	r := bits{b: unescape(nal[1:])}
	s.profile, s.constraints, s.level = uint8(r.u(8)), uint8(r.u(8)), uint8(r.u(8))
	s.bitDepth = 8
	r.ue() // seq_parameter_set_id
	chroma := uint32(1)
	if highProfile(s.profile) {
		chroma = h264Chroma(&r, &s)
	}
	r.ue() // log2_max_frame_num_minus4
	switch r.ue() {
	case 0:
		r.ue() // log2_max_pic_order_cnt_lsb_minus4
	case 1:
		r.skip(1)
		r.se()
		r.se()
		n := r.ue()
		if n > maxReferenceFramesInCycle {
			return s, false
		}
		for range n {
			r.se()
		}
	}
	r.ue()    // max_num_ref_frames
	r.skip(1) // gaps_in_frame_num_value_allowed_flag
	widthMBs, heightUnits := r.ue()+1, r.ue()+1
	fields := uint32(1)
	if !r.flag() { // frame_mbs_only_flag
		fields = 2
		r.skip(1)
	}
	r.skip(1) // direct_8x8_inference_flag
	// 16384 is far beyond level 6.2; products then stay small.
	if widthMBs > 1024 || heightUnits > 1024 {
		return s, false
	}
	s.width, s.height = int(widthMBs)*16, int(heightUnits*fields)*16
	if r.flag() { // frame_cropping_flag
		cropX, cropY := 1, int(fields)
		if chroma == 1 || chroma == 2 {
			cropX = 2
		}
		if chroma == 1 {
			cropY *= 2
		}
		s.width -= cropX * int(r.ue()+r.ue())
		s.height -= cropY * int(r.ue()+r.ue())
	}
	if r.flag() { // vui_parameters_present_flag
		h264Timing(&r, &s)
	}
	return s, !r.short && s.width > 0 && s.height > 0
}

// highProfile reports whether the SPS of a profile has the fields of chroma and scaling.
func highProfile(profile uint8) bool {
	return slices.Contains([]uint8{100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135}, profile)
}

func h264Chroma(r *bits, s *h264SPS) (chroma uint32) {
	chroma = r.ue()
	if chroma == 3 {
		r.skip(1) // separate_colour_plane_flag
	}
	s.bitDepth = uint8(8 + min(r.ue(), 6))
	r.ue()    // bit_depth_chroma_minus8
	r.skip(1) // qpprime_y_zero_transform_bypass_flag
	if !r.flag() {
		return chroma
	}
	lists := 8
	if chroma == 3 {
		lists = 12
	}
	for i := range lists {
		if !r.flag() {
			continue
		}
		size := 16
		if i >= 6 {
			size = 64
		}
		// Section 7.3.2.1.1.1: a list ends early when its next scale becomes zero.
		last, next := int32(8), int32(8)
		for range size {
			if next != 0 {
				next = (last + r.se() + 256) % 256
			}
			if next != 0 {
				last = next
			}
		}
	}
	return chroma
}

// h264Timing reads the VUI as far as the timing.
func h264Timing(r *bits, s *h264SPS) {
	const extendedSAR = 255
	if r.flag() && r.u(8) == extendedSAR {
		r.skip(32)
	}
	if r.flag() { // overscan_info_present_flag
		r.skip(1)
	}
	if r.flag() { // video_signal_type_present_flag
		r.skip(4)
		if r.flag() {
			r.skip(24)
		}
	}
	if r.flag() { // chroma_loc_info_present_flag
		r.ue()
		r.ue()
	}
	if r.flag() { // timing_info_present_flag
		s.unitsInTick, s.timeScale = r.u(32), r.u(32)
	}
}

// unescape removes the emulation prevention bytes (ITU-T H.264, Section 7.3.1).
func unescape(b []byte) []byte {
	out := make([]byte, 0, len(b))
	zeros := 0
	for _, c := range b {
		if zeros >= 2 && c == 3 {
			zeros = 0
			continue
		}
		if c == 0 {
			zeros++
		} else {
			zeros = 0
		}
		out = append(out, c)
	}
	return out
}
