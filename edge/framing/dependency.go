package framing

import (
	"errors"
	"fmt"
	mathbits "math/bits"
)

// ErrDependency is wrapped by errors about a dependency descriptor.
var ErrDependency = errors.New("dependency descriptor")

// DependencyURI names the header extension that says how the frames of layered
// video depend on each other: RTP Payload Format For AV1, Appendix A.
const DependencyURI = "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"

// Limits of what a descriptor may hold: the fields' own, but for the references of
// a frame, of which AV1 and VP9 have fewer.
const (
	maxTemplates     = 64
	maxDecodeTargets = 32
	maxFrameDiffs    = 16
	maxSpatial       = 4
	maxTemporal      = 8
)

// Dependency is what a descriptor says of the frame that its packet belongs to.
type Dependency struct {
	First, Last       bool // the packet is the frame's first, its last
	Frame             uint16
	Spatial, Temporal uint8
	// Structure begins with this frame; nil: the one before is still in force.
	Structure *Structure
	// Active has a bit for each decode target that the sender serves now. It stays so
	// until another descriptor has one.
	Active    uint32
	HasActive bool

	diffs [maxFrameDiffs]uint16
	n     int
}

// Diffs returns how many frames back those are that this one refers to.
func (d *Dependency) Diffs() []uint16 { return d.diffs[:d.n] }

// Structure is what is known of a stream's layers: all frames are like one of the
// templates.
type Structure struct {
	Spatials, Temporals uint8 // how many layers there are of each kind
	// Widths and Heights of the spatial layers, zero where it does not say.
	Widths, Heights [maxSpatial]uint16

	offset    uint8
	targets   int
	chains    int
	templates []dependencyTemplate
}

type dependencyTemplate struct {
	spatial, temporal uint8
	diffs             []uint16
}

// ParseDependency reads a descriptor. in is the structure in force, which the
// descriptor refers to unless it brings another; nil before the first.
func ParseDependency(b []byte, in *Structure) (Dependency, error) {
	var d Dependency
	if len(b) < 3 {
		return d, fmt.Errorf("%w: %d bytes", ErrDependency, len(b))
	}
	r := bits{b: b}
	d.First, d.Last = r.flag(), r.flag()
	template := uint8(r.u(6))
	d.Frame = uint16(r.u(16))
	var custom struct{ dtis, diffs, chains bool }
	if len(b) > 3 {
		structure, active := r.flag(), r.flag()
		custom.dtis, custom.diffs, custom.chains = r.flag(), r.flag(), r.flag()
		if structure {
			s, err := parseStructure(&r)
			if err != nil {
				return d, err
			}
			in, d.Structure = s, s
			d.Active, d.HasActive = uint32(1<<s.targets-1), true
		}
		if active {
			if in == nil {
				return d, fmt.Errorf("%w: decode targets without a structure", ErrDependency)
			}
			d.Active, d.HasActive = r.u(in.targets), true
		}
	}
	if in == nil {
		return d, fmt.Errorf("%w: template %d without a structure", ErrDependency, template)
	}
	i := int((template + maxTemplates - in.offset) % maxTemplates)
	if i >= len(in.templates) {
		return d, fmt.Errorf("%w: template %d of %d", ErrDependency, i, len(in.templates))
	}
	t := &in.templates[i]
	d.Spatial, d.Temporal = t.spatial, t.temporal
	d.n = copy(d.diffs[:], t.diffs)
	if custom.dtis {
		r.skip(2 * in.targets)
	}
	if custom.diffs {
		d.n = 0
		for size := int(r.u(2)); size != 0; size = int(r.u(2)) {
			if d.n == maxFrameDiffs {
				return d, fmt.Errorf("%w: more than %d references", ErrDependency, maxFrameDiffs)
			}
			d.diffs[d.n] = uint16(r.u(4*size)) + 1
			d.n++
		}
	}
	if custom.chains {
		r.skip(8 * in.chains)
	}
	if r.short || r.pos > 8*len(b) {
		return d, fmt.Errorf("%w: it ends early", ErrDependency)
	}
	return d, nil
}

// parseStructure reads template_dependency_structure.
func parseStructure(r *bits) (*Structure, error) {
	s := &Structure{offset: uint8(r.u(6))}
	s.targets = int(r.u(5)) + 1
	if err := s.parseLayers(r); err != nil {
		return nil, err
	}
	r.skip(2 * s.targets * len(s.templates)) // template_dtis: who needs which frame
	for i := range s.templates {
		t := &s.templates[i]
		for r.flag() {
			if len(t.diffs) == maxFrameDiffs {
				return nil, fmt.Errorf("%w: more than %d references", ErrDependency, maxFrameDiffs)
			}
			t.diffs = append(t.diffs, uint16(r.u(4))+1)
		}
	}
	if s.chains = int(r.nonSymmetric(s.targets + 1)); s.chains > 0 {
		for range s.targets {
			r.nonSymmetric(s.chains)
		}
		r.skip(4 * s.chains * len(s.templates))
	}
	if r.flag() { // resolutions_present_flag
		for i := range s.Spatials {
			s.Widths[i], s.Heights[i] = uint16(r.u(16)+1), uint16(r.u(16)+1)
		}
	}
	if r.short {
		return nil, fmt.Errorf("%w: the structure ends early", ErrDependency)
	}
	return s, nil
}

// parseLayers reads which layers the templates belong to.
func (s *Structure) parseLayers(r *bits) error {
	var spatial, temporal uint8
	for {
		if len(s.templates) == maxTemplates || spatial == maxSpatial || temporal == maxTemporal {
			return fmt.Errorf("%w: more layers than there can be", ErrDependency)
		}
		s.templates = append(s.templates, dependencyTemplate{spatial: spatial, temporal: temporal})
		s.Spatials, s.Temporals = spatial+1, max(s.Temporals, temporal+1)
		switch r.u(2) { // next_layer_idc
		case 1:
			temporal++
		case 2:
			spatial, temporal = spatial+1, 0
		case 3:
			return nil
		}
	}
}

// nonSymmetric reads a number below n: the specification's ns(n).
func (r *bits) nonSymmetric(n int) uint32 {
	w := mathbits.Len(uint(n))
	m := uint32(1<<w - n)
	v := r.u(w - 1)
	if v < m {
		return v
	}
	return v<<1 - m + r.u(1)
}

// descriptors reads those of a stream.
type descriptors struct {
	structure *Structure
	dep       Dependency // of the packet at hand
	described bool       // dep is set
}

// packet reads a packet's descriptor. One that cannot be read counts as absent.
func (d *descriptors) packet(p *Packet) {
	d.described = false
	if len(p.Dependency) == 0 {
		return
	}
	dep, err := ParseDependency(p.Dependency, d.structure)
	if err != nil {
		return
	}
	if dep.Structure != nil {
		d.structure = dep.Structure
	}
	d.dep, d.described = dep, true
}
