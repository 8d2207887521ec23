package framing

// av1Sequence is what a sequence header OBU says about the stream (AV1
// specification, Section 5.5).
type av1Sequence struct {
	profile       uint8
	reduced       bool // reduced_still_picture_header
	level         uint8
	tier          uint8
	bitDepth      uint8
	width, height int
	layers        uint16 // operating_point_idc of the first point: 4 bits for spatial layers, 8 for temporal
}

func parseAV1Sequence(payload []byte) (av1Sequence, bool) {
	var s av1Sequence
	r := bits{b: payload}
	s.profile = uint8(r.u(3))
	r.skip(1) // still_picture
	s.reduced = r.flag()
	if s.reduced {
		s.level = uint8(r.u(5))
	} else {
		parseAV1OperatingPoints(&r, &s)
	}
	widthBits, heightBits := int(r.u(4))+1, int(r.u(4))+1
	s.width, s.height = int(r.u(widthBits))+1, int(r.u(heightBits))+1
	if !s.reduced && r.flag() { // frame_id_numbers_present_flag
		r.skip(4 + 3)
	}
	r.skip(3) // use_128x128_superblock, enable_filter_intra, enable_intra_edge_filter
	if !s.reduced {
		parseAV1Tools(&r)
	}
	r.skip(3) // enable_superres, enable_cdef, enable_restoration
	// color_config, Section 5.5.2: only the depth is of interest.
	s.bitDepth = 8
	if r.flag() { // high_bitdepth
		s.bitDepth = 10
		if s.profile == 2 && r.flag() {
			s.bitDepth = 12
		}
	}
	return s, !r.short && s.profile <= 2
}

// parseAV1OperatingPoints reads timing and operating points; level and tier are
// those of the first, which has all layers.
func parseAV1OperatingPoints(r *bits, s *av1Sequence) {
	var decoderModel bool
	var delayBits int
	if r.flag() { // timing_info_present_flag
		r.skip(64)
		if r.flag() { // equal_picture_interval
			r.uvlc()
		}
		decoderModel = r.flag()
		if decoderModel {
			delayBits = int(r.u(5)) + 1
			r.skip(32 + 5 + 5)
		}
	}
	initialDelay := r.flag()
	for i := range int(r.u(5)) + 1 {
		idc := uint16(r.u(12))
		level, tier := uint8(r.u(5)), uint8(0)
		if level > 7 {
			tier = uint8(r.u(1))
		}
		if i == 0 {
			s.level, s.tier, s.layers = level, tier, idc
		}
		if decoderModel && r.flag() {
			r.skip(2*delayBits + 1)
		}
		if initialDelay && r.flag() {
			r.skip(4)
		}
	}
}

// parseAV1Tools reads the switches of coding tools, of which some have arguments.
func parseAV1Tools(r *bits) {
	r.skip(4) // interintra, masked compound, warped motion, dual filter
	order := r.flag()
	if order {
		r.skip(2) // enable_jnt_comp, enable_ref_frame_mvs
	}
	tools := uint32(2)
	if !r.flag() { // seq_choose_screen_content_tools
		tools = r.u(1)
	}
	if tools > 0 && !r.flag() { // seq_choose_integer_mv
		r.skip(1)
	}
	if order {
		r.skip(3) // order_hint_bits_minus_1
	}
}
