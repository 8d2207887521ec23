package whip_test

import (
	"testing"
	"time"

	"trellis/edge/framing"
	"trellis/edge/whip/whipclient"
)

// TestClientLayers: our client's layers are told apart, and its numbers wrap.
func TestClientLayers(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		p := w.publish(
			whipclient.Source{Codec: framing.VP8, RID: "q", Sequence: 65_530},
			whipclient.Source{Codec: framing.VP8, RID: "f", Sequence: 65_530},
			whipclient.Source{Codec: framing.Opus, Sequence: 65_530},
		)
		const frames = 50
		start := time.Now()
		for n := range frames {
			pts := time.Duration(n) * 40 * time.Millisecond
			time.Sleep(time.Until(start.Add(pts)))
			for i, height := range []int{180, 360} {
				frame := []byte{0x11, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8}
				if n%25 == 0 {
					width := height * 16 / 9
					frame = []byte{0x10, 2, 0, 0x9d, 1, 0x2a, byte(width), byte(width >> 8), byte(height), byte(height >> 8), 7}
				}
				w.must(p.Write(i, whipclient.Frame{PTS: pts, Key: n%25 == 0, Data: frame}))
			}
			w.must(p.Write(2, whipclient.Frame{PTS: pts, Key: true, Data: []byte{0xfc, 1, 2}}))
		}
		time.Sleep(time.Second)
		got := map[string]uint64{}
		for _, b := range w.table.Status() {
			for _, tr := range b.Tracks {
				if tr.Kind == "video" || tr.Kind == "audio" {
					got[tr.Name] = tr.Groups
				}
			}
		}
		if len(got) != 3 || got["video/q"] != 2 || got["video/f"] != 2 || got["audio/data"] != frames/5 {
			t.Errorf("groups by track: %v; want two of video/q and video/f, and %d of audio/data", got, frames/5)
		}
		for i, name := range []string{"q", "f", "sound"} {
			if s := p.Stats(i); s.Packets != frames || s.NACKs != 0 {
				t.Errorf("%s: %d packets, %d asked for again", name, s.Packets, s.NACKs)
			}
		}
		w.must(p.Close(t.Context()))
	})
}
