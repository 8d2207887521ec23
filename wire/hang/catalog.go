package hang

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// CatalogTrack is the name of the track that carries the catalog.
const CatalogTrack = "catalog.json"

// Limits of a catalog that is read.
const (
	// MaxCatalogBytes bounds the document. A catalog of ten renditions has 3 kB.
	MaxCatalogBytes = 256 << 10
	// maxRenditions bounds the tracks of each section.
	maxRenditions = 64
)

// ErrCatalog is wrapped by every error about a catalog.
var ErrCatalog = errors.New("invalid catalog")

// Catalog says which tracks a broadcast has and how to decode them. Sections
// not known here are skipped on reading.
type Catalog struct {
	Video *Video `json:"video,omitempty"`
	Audio *Audio `json:"audio,omitempty"`

	// Ignored says, for each rendition that was left out on reading, why.
	Ignored []string `json:"-"`
}

// Video describes the video tracks: one picture in several renditions.
type Video struct {
	// Renditions by track name.
	Renditions map[string]VideoConfig `json:"renditions"`
	// Display is the size to show the picture at, if not the coded one.
	Display *Size `json:"display,omitempty"`
	// Rotation is clockwise, in degrees.
	Rotation float64 `json:"rotation,omitempty"`
	// Flip mirrors the picture horizontally, as self views do.
	Flip bool `json:"flip,omitempty"`
}

// Size is in pixels.
type Size struct {
	Width  float64 `json:"width"`
	Height float64 `json:"height"`
}

// Audio describes the audio tracks: one sound in several renditions.
type Audio struct {
	// Renditions by track name.
	Renditions map[string]AudioConfig `json:"renditions"`
}

// VideoConfig describes one video track.
type VideoConfig struct {
	// Codec is the WebCodecs string, such as "avc1.42E01E". Required.
	Codec     string    `json:"codec"`
	Container Container `json:"container"`
	// Description is the decoder's out-of-band configuration, in hex; empty for
	// Annex-B H.264, VP8, VP9 and AV1.
	Description         string  `json:"description,omitempty"`
	CodedWidth          float64 `json:"codedWidth,omitempty"`
	CodedHeight         float64 `json:"codedHeight,omitempty"`
	DisplayAspectWidth  float64 `json:"displayAspectWidth,omitempty"`
	DisplayAspectHeight float64 `json:"displayAspectHeight,omitempty"`
	Framerate           float64 `json:"framerate,omitempty"`
	BitrateBps          float64 `json:"bitrate,omitempty"`
	OptimizeForLatency  bool    `json:"optimizeForLatency,omitempty"`
	// JitterMs is how unevenly frames are produced: what a player buffers at least.
	JitterMs float64 `json:"jitter,omitempty"`
	// Stalled says that the track exists and delivers nothing just now.
	Stalled bool `json:"stalled,omitempty"`
	// Broadcast is a relative path to the broadcast that has the track; empty:
	// this one.
	Broadcast string  `json:"broadcast,omitempty"`
	Capture   Capture `json:"capture,omitzero"`
}

// AudioConfig describes one audio track.
type AudioConfig struct {
	// Codec is the WebCodecs string, such as "opus". Required.
	Codec     string    `json:"codec"`
	Container Container `json:"container"`
	// Description is the decoder's out-of-band configuration, in hex; empty for Opus.
	Description string `json:"description,omitempty"`
	// SampleRate, in Hz, and NumberOfChannels are required.
	SampleRate       float64 `json:"sampleRate"`
	NumberOfChannels float64 `json:"numberOfChannels"`
	BitrateBps       float64 `json:"bitrate,omitempty"`
	JitterMs         float64 `json:"jitter,omitempty"`
	Broadcast        string  `json:"broadcast,omitempty"`
	Capture          Capture `json:"capture,omitzero"`
}

// ParseCatalog reads a whole catalog. What is not a catalog at all is an error;
// a rendition that nobody could play is left out and named in Ignored, as
// players do, so that one bad track does not take the others with it.
func ParseCatalog(b []byte) (Catalog, error) {
	if len(b) > MaxCatalogBytes {
		return Catalog{}, fmt.Errorf("%w: %d bytes, at most %d", ErrCatalog, len(b), MaxCatalogBytes)
	}
	type section struct {
		Renditions map[string]json.RawMessage `json:"renditions"`
		Display    json.RawMessage            `json:"display"`
		Rotation   json.RawMessage            `json:"rotation"`
		Flip       json.RawMessage            `json:"flip"`
	}
	var doc struct {
		Video *section `json:"video"`
		Audio *section `json:"audio"`
	}
	if trimmed := bytes.TrimSpace(b); len(trimmed) == 0 || trimmed[0] != '{' {
		return Catalog{}, fmt.Errorf("%w: not a JSON object", ErrCatalog)
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		return Catalog{}, fmt.Errorf("%w: %w", ErrCatalog, err)
	}
	var c Catalog
	var err error
	if s := doc.Video; s != nil {
		c.Video = &Video{}
		optional(s.Rotation, &c.Video.Rotation)
		optional(s.Flip, &c.Video.Flip)
		var display Size
		if optional(s.Display, &display); display != (Size{}) {
			c.Video.Display = &display
		}
		if c.Video.Renditions, err = parseRenditions(&c, s.Renditions, VideoConfig.Validate); err != nil {
			return Catalog{}, err
		}
	}
	if s := doc.Audio; s != nil {
		c.Audio = &Audio{}
		if c.Audio.Renditions, err = parseRenditions(&c, s.Renditions, AudioConfig.Validate); err != nil {
			return Catalog{}, err
		}
	}
	return c, nil
}

func parseRenditions[C any](c *Catalog, raw map[string]json.RawMessage, validate func(C) error) (map[string]C, error) {
	if len(raw) > maxRenditions {
		return nil, fmt.Errorf("%w: %d renditions, at most %d", ErrCatalog, len(raw), maxRenditions)
	}
	renditions := make(map[string]C, len(raw))
	for _, track := range slices.Sorted(maps.Keys(raw)) {
		var config C
		err := json.Unmarshal(raw[track], &config)
		if err == nil {
			err = validate(config)
		}
		if err != nil {
			c.Ignored = append(c.Ignored, fmt.Sprintf("%s: %v", track, err))
			continue
		}
		renditions[track] = config
	}
	return renditions, nil
}

// optional reads a field that only decorates: what cannot be read counts as absent.
func optional[T any](raw json.RawMessage, field *T) {
	var v T
	if len(raw) > 0 && json.Unmarshal(raw, &v) == nil {
		*field = v
	}
}

// Validate reports what keeps every player from using the track.
func (v VideoConfig) Validate() error {
	if v.Codec == "" {
		return errors.New("no codec")
	}
	if err := checkDescription(v.Description); err != nil {
		return err
	}
	return v.Container.Validate()
}

// Validate reports what keeps every player from using the track.
func (a AudioConfig) Validate() error {
	switch {
	case a.Codec == "":
		return errors.New("no codec")
	case a.SampleRate <= 0:
		return errors.New("no sampleRate")
	case a.NumberOfChannels <= 0:
		return errors.New("no numberOfChannels")
	}
	if err := checkDescription(a.Description); err != nil {
		return err
	}
	return a.Container.Validate()
}

func checkDescription(s string) error {
	if _, err := hex.DecodeString(s); err != nil {
		return fmt.Errorf("description: %w", err)
	}
	return nil
}

// Marshal returns the catalog as an object of the catalog track. It refuses a
// catalog that ParseCatalog would not return whole.
func (c Catalog) Marshal() ([]byte, error) {
	if c.Video != nil {
		for track, config := range c.Video.Renditions {
			if err := config.Validate(); err != nil {
				return nil, fmt.Errorf("%w: %s: %w", ErrCatalog, track, err)
			}
		}
	}
	if c.Audio != nil {
		for track, config := range c.Audio.Renditions {
			if err := config.Validate(); err != nil {
				return nil, fmt.Errorf("%w: %s: %w", ErrCatalog, track, err)
			}
		}
	}
	b, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCatalog, err)
	}
	return b, nil
}
