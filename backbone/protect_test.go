package backbone

import (
	"testing"

	"trellis/routing/control"
	"trellis/wire"
)

func TestProtectRules(t *testing.T) {
	var r ProtectRules
	for _, rule := range [][2]string{{"room/alice/video/hd", "hot"}, {"room/alice", "none"}, {"room", "warm"}} {
		if err := r.By(rule[0], rule[1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Of("none", wire.KindVideo); err != nil {
		t.Fatal(err)
	}
	if r.By("room", "cold") == nil || r.Of("", wire.KindAudio) == nil {
		t.Error("a word was taken that is none")
	}
	for _, tc := range []struct {
		broadcast wire.Broadcast
		track     string
		kind      wire.Kind
		want      control.Protection
	}{
		{"room/alice", "video/hd", wire.KindVideo, control.ProtectHot},
		{"room/alice", "video/sd", wire.KindVideo, control.ProtectNone},
		{"room/alice", "audio", wire.KindAudio, control.ProtectNone},
		{"room/alicea", "audio", wire.KindAudio, control.ProtectWarm},
		{"roomy/bob", "video", wire.KindVideo, control.ProtectNone},
		{"roomy/bob", "audio", wire.KindAudio, control.ProtectHot},
		{"roomy/bob", "catalog.json", wire.KindCatalog, control.ProtectHot},
	} {
		if got := r.Protect(wire.TrackName{Broadcast: tc.broadcast, Track: tc.track}, tc.kind); got != tc.want {
			t.Errorf("%s of %s: %v, want %v", tc.track, tc.broadcast, got, tc.want)
		}
	}
}
