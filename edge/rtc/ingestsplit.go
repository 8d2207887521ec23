package rtc

import (
	"log/slog"

	"trellis/edge/framing"
	"trellis/edge/rtc/stream"
)

// A stream with layers (SVC) becomes a track for each quality that can be decoded
// on its own, so that relays, catalogs and viewers see what they see of simulcast.

// layer opens a frame of one layer.
func (t *ingestTrack) layer(f stream.FrameInfo) {
	if t.split == nil || !t.split.Fits(f.Layer) {
		if !t.splitFor(f.Layer) {
			return
		}
	}
	for i, o := range t.split.Outputs() {
		if l := t.parts[i]; o.Spatial == f.Layer.Spatial && f.Layer.Height != 0 {
			l.width, l.height = int(f.Layer.Width), int(f.Layer.Height)
		}
	}
	t.split.Begin(framing.LayerFrame{
		Layer: f.Layer, PTS: f.PTS, Arrival: f.Arrival,
	})
}

// splitFor makes the tracks for a stream with such layers.
func (t *ingestTrack) splitFor(l framing.Layer) bool {
	t.split = framing.NewSplit(t.codec, l, t.rid == "")
	t.parts = t.parts[:0]
	for _, o := range t.split.Outputs() {
		part := t.named(t.base()+o.Suffix(), o.Thinned())
		if part == nil {
			t.split = nil
			return false
		}
		t.parts = append(t.parts, part)
	}
	t.ingest.log.Info("stream has layers", slog.String("track", t.base()), slog.Int("spatial", int(l.Spatials)),
		slog.Int("temporal", int(l.Temporals)))
	return true
}

// layerData takes bytes of a layer's frame, and writes what is complete with it.
func (t *ingestTrack) layerData(b []byte, last bool) {
	t.split.Data(b)
	if !last {
		return
	}
	for i, made := range t.split.End() {
		switch {
		case made.Broken:
			t.parts[i].giveUp()
			t.askKeyframe(keyframeLoss)
		case made.Frame != nil:
			if !made.Key {
				t.parts[i].chained.Store(made.Chained)
			}
			t.parts[i].begin(stream.FrameInfo{PTS: made.PTS, Key: made.Key, Arrival: made.Arrival})
			t.parts[i].data(made.Frame, true)
		}
	}
}
