package hang

import (
	"cmp"
	"slices"
	"strings"
)

// VideoTrack is a rendition with the name of its track.
type VideoTrack struct {
	Track string
	VideoConfig
}

// AudioTrack is a rendition with the name of its track.
type AudioTrack struct {
	Track string
	AudioConfig
}

// VideoTracks returns the video renditions, best first: more pixels, then more
// bits, then by name, so that the order never depends on chance.
func (c Catalog) VideoTracks() []VideoTrack {
	if c.Video == nil {
		return nil
	}
	tracks := make([]VideoTrack, 0, len(c.Video.Renditions))
	for track, config := range c.Video.Renditions {
		tracks = append(tracks, VideoTrack{track, config})
	}
	slices.SortFunc(tracks, func(a, b VideoTrack) int {
		return cmp.Or(
			cmp.Compare(b.CodedWidth*b.CodedHeight, a.CodedWidth*a.CodedHeight),
			cmp.Compare(b.BitrateBps, a.BitrateBps),
			strings.Compare(a.Track, b.Track),
		)
	})
	return tracks
}

// AudioTracks returns the audio renditions, best first.
func (c Catalog) AudioTracks() []AudioTrack {
	if c.Audio == nil {
		return nil
	}
	tracks := make([]AudioTrack, 0, len(c.Audio.Renditions))
	for track, config := range c.Audio.Renditions {
		tracks = append(tracks, AudioTrack{track, config})
	}
	slices.SortFunc(tracks, func(a, b AudioTrack) int {
		return cmp.Or(
			cmp.Compare(b.BitrateBps, a.BitrateBps),
			cmp.Compare(b.NumberOfChannels, a.NumberOfChannels),
			strings.Compare(a.Track, b.Track),
		)
	})
	return tracks
}

// Limits narrow the choice of a rendition. Zero fields do not limit.
type Limits struct {
	// Codec tells whether a codec string can be decoded; nil: all can.
	Codec func(codec string) bool
	// MaxHeight is in coded pixels, MaxBitrateBps in bits per second. Where no
	// rendition is within them, the smallest is taken: some picture is better
	// than none.
	MaxHeight     float64
	MaxBitrateBps float64
}

func (l Limits) decodes(codec string) bool { return l.Codec == nil || l.Codec(codec) }

// PickVideo returns the best video rendition within limits. False: there is
// none that can be decoded and delivers.
func (c Catalog) PickVideo(l Limits) (VideoTrack, bool) {
	var last VideoTrack
	found := false
	for _, t := range c.VideoTracks() {
		if t.Stalled || !l.decodes(t.Codec) {
			continue
		}
		last, found = t, true
		if (l.MaxHeight == 0 || t.CodedHeight <= l.MaxHeight) && (l.MaxBitrateBps == 0 || t.BitrateBps <= l.MaxBitrateBps) {
			return t, true
		}
	}
	return last, found
}

// PickAudio is PickVideo for audio; MaxHeight means nothing here.
func (c Catalog) PickAudio(l Limits) (AudioTrack, bool) {
	var last AudioTrack
	found := false
	for _, t := range c.AudioTracks() {
		if !l.decodes(t.Codec) {
			continue
		}
		last, found = t, true
		if l.MaxBitrateBps == 0 || t.BitrateBps <= l.MaxBitrateBps {
			return t, true
		}
	}
	return last, found
}
