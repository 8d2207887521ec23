package livekit

import (
	"fmt"
	"testing"

	"trellis/edge/livekit/signal"
	"trellis/edge/rtc"
)

// TestCast: a room may have more tracks than a connection; those that are sent stay.
func TestCast(t *testing.T) {
	s := &session{seated: map[string]bool{"z-1": true}}
	s.req.Settings.AutoSubscribe = true
	var all []shown
	for i := range rtc.MaxCast {
		all = append(all, shown{cast: []rtc.Cast{{ID: fmt.Sprintf("a-%d", i)}, {ID: fmt.Sprintf("z-%d", i), Audio: true}}})
	}
	cast := s.cast(all)
	if len(cast) != rtc.MaxCast || cast[0].ID != "z-1" || cast[1].ID != "a-0" {
		t.Errorf("%d tracks, first %v", len(cast), cast[:2])
	}
	s.chosen = map[string]bool{"z-1": false, "a-0": false}
	if cast = s.cast(all); cast[0].ID != "z-0" {
		t.Errorf("what the client does not want is sent: %v", cast[:2])
	}
}

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
