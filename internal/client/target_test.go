package client

import (
	"errors"
	"strings"
	"testing"
)

func TestParseTarget(t *testing.T) {
	for _, tc := range []struct {
		in       string
		protocol Protocol
		want     Target
	}{
		{"https://h/whip/room/alice", "", Target{WHIP, "https://h/whip/room/alice", "room/alice", ""}},
		{"http://h:7000/whep/room/alice?jwt=t", "", Target{WHEP, "http://h:7000/whep/room/alice", "room/alice", "t"}},
		{"moqs://h:4443/room/alice", "", Target{MoQ, "https://h:4443/", "room/alice", ""}},
		{"moq://h:4443/room/alice?jwt=a.b", MoQ, Target{MoQ, "http://h:4443/", "room/alice", "a.b"}},
		{"https://h/room/alice", MoQ, Target{MoQ, "https://h/", "room/alice", ""}},
		{"https://h/room/alice", WHEP, Target{WHEP, "https://h/whep/room/alice", "room/alice", ""}},
		{"https://h/whip/room/alice", WHEP, Target{WHEP, "https://h/whep/room/alice", "room/alice", ""}},
		{"https://h/whip/a%20b", "", Target{WHIP, "https://h/whip/a%20b", "a b", ""}},
	} {
		got, err := ParseTarget(tc.in, tc.protocol)
		if err != nil || got != tc.want {
			t.Errorf("%s as %q: %+v, %v, want %+v", tc.in, tc.protocol, got, err, tc.want)
		}
	}
	for _, bad := range []string{
		"", "room/alice", "https://h/room/alice", "ftp://h/whip/a", "https://h/whip/", "https://h/whip/../etc",
		"moqs://h/", "https:///whip/a", "https://h/whip/a//b", "://secret",
	} {
		if got, err := ParseTarget(bad, ""); !errors.Is(err, ErrTarget) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %+v, %v", bad, got, err)
		}
	}
	if _, err := ParseTarget("moqs://h/a", WHIP); !errors.Is(err, ErrTarget) {
		t.Errorf("a MoQ URL for WHIP: %v", err)
	}
	if _, err := ParseTarget("https://h/a", "rtmp"); !errors.Is(err, ErrTarget) {
		t.Errorf("an unknown protocol: %v", err)
	}
}
