package clip

import (
	"testing"
	"time"

	"trellis/edge/framing"
)

func TestLoops(t *testing.T) {
	for _, tc := range []struct {
		codec framing.Codec
		step  time.Duration
		key   int // frames from one key frame to the next
	}{
		{framing.H264, time.Second / 30, 60},
		{framing.VP8, time.Second / 30, 60},
		{framing.Opus, 20 * time.Millisecond, 1},
	} {
		l, err := Load(tc.codec)
		if err != nil {
			t.Fatal(err)
		}
		if i := l.Info(); i.Codec != tc.codec || i.Codec != framing.Opus && (i.Width != 640 || i.Height != 360 || i.FrameRate != 30) {
			t.Errorf("%s: %+v", tc.codec, i)
		}
		perRound := int(Duration / tc.step)
		for n := range 2*perRound + 1 {
			f, err := l.Next()
			if err != nil {
				t.Fatal(err)
			}
			if want := time.Duration(n) * tc.step; f.PTS-want > time.Microsecond || want-f.PTS > time.Microsecond {
				t.Fatalf("%s: frame %d at %v, want %v", tc.codec, n, f.PTS, want)
			}
			if f.Key != (n%perRound%tc.key == 0) {
				t.Errorf("%s: frame %d key %v", tc.codec, n, f.Key)
			}
			if len(f.Data) == 0 {
				t.Errorf("%s: frame %d is empty", tc.codec, n)
			}
		}
	}
	if _, err := Load(framing.AV1); err == nil {
		t.Error("there is no AV1 version")
	}
}

// The whole clip stays small enough to be in every binary.
func TestSize(t *testing.T) {
	entries, err := files.ReadDir("media")
	if err != nil {
		t.Fatal(err)
	}
	var size int64
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	if size > 1<<20 {
		t.Errorf("%d bytes", size)
	}
}
