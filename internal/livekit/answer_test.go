package livekit

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func readOffer(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestOffers are those that livekit-server made livekit-client: one of data channels
// alone comes first.
func TestOffers(t *testing.T) {
	first, err := ParseOffer(readOffer(t, "sdp-web-dualpc-subscriber-offer-first.sdp"))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, ok := first.Media(); ok || first.Ufrag != "ufrag001" || len(first.Candidates) != 0 {
		t.Errorf("the first offer: %+v", first)
	}
	second, err := ParseOffer(readOffer(t, "sdp-web-dualpc-subscriber-offer-media.sdp"))
	if err != nil {
		t.Fatal(err)
	}
	video, _, both := second.Media()
	if video != 96 || both || len(second.Candidates) != 8 || !strings.HasPrefix(second.Candidates[0], "1 1 udp ") {
		t.Errorf("the second offer: %+v", second)
	}
}

// TestAnswer: what is wanted is taken as it was numbered, the rest refused.
func TestAnswer(t *testing.T) {
	sdp := readOffer(t, "sdp-web-dualpc-subscriber-offer-media.sdp") +
		"m=audio 9 UDP/TLS/RTP/SAVPF 63 111\r\na=mid:2\r\na=rtpmap:63 red/48000/2\r\na=rtpmap:111 opus/48000/2\r\n" +
		"m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:3\r\na=rtpmap:0 PCMU/8000\r\n"
	o, err := ParseOffer(sdp)
	if err != nil {
		t.Fatal(err)
	}
	if video, audio, ok := o.Media(); video != 96 || audio != 111 || !ok {
		t.Errorf("media: %d, %d, %v", video, audio, ok)
	}
	answer := o.Answer(Transport{Ufrag: "u", Pwd: "p", Fingerprint: "sha-256 00", Candidates: []string{"1 1 udp 1 127.0.0.1 9 typ host"}})
	for _, want := range []string{
		"a=group:BUNDLE 0 1 2\r\n", "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n", "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n",
		"m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n", "m=audio 0 UDP/TLS/RTP/SAVPF 0\r\n", "a=setup:active\r\n", "a=candidate:1 1 udp",
	} {
		if !strings.Contains(answer, want) {
			t.Errorf("the answer lacks %q:\n%s", want, answer)
		}
	}
	if n := strings.Count(answer, "m="); n != 4 {
		t.Errorf("%d sections, want 4", n)
	}
}

func TestNoTransport(t *testing.T) {
	for _, sdp := range []string{"", "v=0\r\n", "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n", "a=ice-ufrag:u\r\na=fingerprint:f\r\n"} {
		if o, err := ParseOffer(sdp); err == nil {
			t.Errorf("%q was taken: %+v", sdp, o)
		}
	}
}
