package hang

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
)

// ContainerKind says what is around the codec's bytes in each object.
type ContainerKind string

// Kinds of container.
const (
	ContainerLegacy ContainerKind = "legacy"
	ContainerCMAF   ContainerKind = "cmaf"
	ContainerLOC    ContainerKind = "loc"
)

// Container describes the container of a track. The zero value means legacy.
type Container struct {
	Kind ContainerKind `json:"kind"`
	// Init is the cmaf initialisation segment (ftyp and moov), in base64.
	Init string `json:"init,omitempty"`
}

// Validate reports what keeps every player from reading the track.
func (c Container) Validate() error {
	switch c.Kind {
	case "", ContainerLegacy, ContainerLOC:
		return nil
	case ContainerCMAF:
		if _, err := base64.StdEncoding.DecodeString(c.Init); err != nil || c.Init == "" {
			return errors.New("cmaf container without a base64 init")
		}
		return nil
	default:
		return fmt.Errorf("container kind %q", string(c.Kind))
	}
}

// IsLegacy reports whether objects are in the legacy container, which is the default.
func (c Container) IsLegacy() bool { return c.Kind == "" || c.Kind == ContainerLegacy }

// MarshalJSON writes the default kind out, as publishers do.
func (c Container) MarshalJSON() ([]byte, error) {
	if c.Kind == "" {
		c.Kind = ContainerLegacy
	}
	type plain Container // without this method
	return json.Marshal(plain(c))
}

// ErrOpaque is returned for containers that are not read here.
var ErrOpaque = errors.New("container is not read here")

// ParseFrame takes the container off an object: the presentation time in
// microseconds and the codec's bytes, which alias b.
func (c Container) ParseFrame(b []byte) (ptsMicros uint64, payload []byte, err error) {
	switch {
	case c.IsLegacy():
		frame, err := ParseLegacy(b)
		return frame.PTSMicros, frame.Payload, err
	case c.Kind == ContainerLOC:
		frame, err := ParseLOC(b)
		return frame.PTSMicros(), frame.Payload, err
	default:
		return 0, nil, fmt.Errorf("%s: %w", c.Kind, ErrOpaque)
	}
}
