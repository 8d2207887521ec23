package livekit

import (
	"testing"

	"trellis/edge/livekit/signal"
	"trellis/edge/rtc"
)

// TestWish: what SDKs say of a picture is how many lines are enough.
func TestWish(t *testing.T) {
	track := signal.Track{Width: 1280, Height: 720, Layers: []signal.Layer{
		{Quality: signal.Low, Width: 320, Height: 180}, {Quality: signal.Medium, Width: 640, Height: 360}, {Quality: signal.High, Width: 1280, Height: 720},
	}}
	two := signal.Track{Width: 640, Height: 360, Layers: track.Layers[:2]}
	for _, c := range []struct {
		track signal.Track
		set   signal.TrackSetting
		want  rtc.Wish
	}{
		{track, signal.TrackSetting{Quality: signal.Low}, rtc.Wish{Height: 180}},
		{track, signal.TrackSetting{Quality: signal.Medium}, rtc.Wish{Height: 360}},
		{track, signal.TrackSetting{Quality: signal.High}, rtc.Wish{}},
		{two, signal.TrackSetting{Quality: signal.High}, rtc.Wish{}},
		{track, signal.TrackSetting{Quality: 9}, rtc.Wish{}},
		{track, signal.TrackSetting{Quality: signal.High, Disabled: true}, rtc.Wish{Off: true}},
		{track, signal.TrackSetting{Width: 640, Height: 360}, rtc.Wish{Height: 360}},
		{track, signal.TrackSetting{Width: 1280, Height: 100}, rtc.Wish{Height: 720}}, // a wide element that it covers
		{track, signal.TrackSetting{Height: 200}, rtc.Wish{Height: 200}},
		{signal.Track{}, signal.TrackSetting{Width: 640, Height: 360}, rtc.Wish{Height: 360}}, // its size is not known
		{track, signal.TrackSetting{Width: 1 << 60}, rtc.Wish{Height: 1<<31 - 1}},
	} {
		if got := wish(&c.set, &c.track); got != c.want {
			t.Errorf("%+v: %+v, want %+v", c.set, got, c.want)
		}
	}
}
