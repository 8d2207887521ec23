package framing

import (
	"bytes"
	"slices"
)

// parameterSets keeps the SPS and PPS of a stream, newest content per id.
type parameterSets struct {
	sps, pps []parameterSet
}

type parameterSet struct {
	id  uint32
	nal []byte
}

// Limits of ITU-T H.264, Section 7.4.2: 32 SPS and 256 PPS exist; 1 and a few are
// in use. Sizes are far below what fits a packet.
const (
	maxParameterSets     = 32
	maxParameterSetBytes = 1500
)

// keep remembers an SPS or PPS NAL unit, copying it. Others are ignored.
func (s *parameterSets) keep(nal []byte) {
	if len(nal) < 2 || len(nal) > maxParameterSetBytes {
		return
	}
	list := &s.sps
	r := bits{b: nal[1:]}
	switch nal[0] & nalTypeMask {
	case nalSPS:
		r.skip(24) // profile_idc, constraint flags, level_idc
	case nalPPS:
		list = &s.pps
	default:
		return
	}
	id := r.ue()
	if r.short {
		return
	}
	i := slices.IndexFunc(*list, func(p parameterSet) bool { return p.id == id })
	switch {
	case i >= 0:
		if !bytes.Equal((*list)[i].nal, nal) {
			(*list)[i].nal = slices.Clone(nal)
		}
	case len(*list) < maxParameterSets:
		*list = append(*list, parameterSet{id: id, nal: slices.Clone(nal)})
	}
}

// complete reports whether at least one of each kind is known.
func (s *parameterSets) complete() bool { return len(s.sps) > 0 && len(s.pps) > 0 }

// append writes all sets of a NAL unit type to b, with start codes.
func (s *parameterSets) append(b []byte, nalType byte) []byte {
	list := s.sps
	if nalType == nalPPS {
		list = s.pps
	}
	for _, p := range list {
		b = append(append(b, startCode...), p.nal...)
	}
	return b
}
