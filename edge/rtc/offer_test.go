package rtc

import (
	"errors"
	"strings"
	"testing"

	"trellis/edge/framing"
)

// section is a media section of a test offer.
func section(kind, direction string, formats ...string) string {
	var pts []string
	var attrs []string
	for i, f := range formats {
		pt := string(rune('1'+i)) + "00"
		name, fmtp, _ := strings.Cut(f, " ")
		pts = append(pts, pt)
		attrs = append(attrs, "a=rtpmap:"+pt+" "+name)
		if fmtp != "" {
			attrs = append(attrs, "a=fmtp:"+pt+" "+fmtp)
		}
	}
	return strings.Join(append([]string{
		"m=" + kind + " 9 UDP/TLS/RTP/SAVPF " + strings.Join(pts, " "), "c=IN IP4 0.0.0.0", "a=mid:" + kind, "a=" + direction,
		"a=ice-ufrag:abcd", "a=ice-pwd:abcdefghijklmnopqrstuvwx", "a=setup:actpass",
	}, attrs...), "\r\n") + "\r\n"
}

const sessionLines = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=fingerprint:sha-256 AB:CD\r\n"

const bundled = "a=group:BUNDLE audio video\r\n"

func TestParseOfferFormats(t *testing.T) {
	for _, tc := range []struct {
		format string
		codec  framing.Codec // zero: not usable
	}{
		{"VP8/90000", framing.VP8},
		{"vp8/90000", framing.VP8},
		{"VP9/90000", framing.VP9},
		{"VP9/90000 profile-id=0", framing.VP9},
		{"VP9/90000 profile-id=2", 0},
		{"AV1/90000 level-idx=5;profile=0;tier=0", framing.AV1},
		{"AV1/90000 profile=1", 0},
		{"H264/90000 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f", framing.H264},
		{"H264/90000 packetization-mode=1", framing.H264},
		{"H264/90000 packetization-mode=1;profile-level-id=64001f", framing.H264},
		{"H264/90000 packetization-mode=1;profile-level-id=f4001f", framing.H264},
		{"H264/90000 packetization-mode=1;profile-level-id=junk", 0},
		{"H264/90000 packetization-mode=0;profile-level-id=42e01f", 0},
		{"H264/90000", 0},
		{"H265/90000", 0},
		{"rtx/90000 apt=100", 0},
	} {
		o, err := parseOffer(sessionLines + section("video", "sendonly", tc.format))
		if err != nil {
			t.Errorf("%s: %v", tc.format, err)
			continue
		}
		codecs := o.section(false).codecs
		if (len(codecs) == 1) != (tc.codec != 0) || len(codecs) == 1 && codecs[0].codec != tc.codec {
			t.Errorf("%s: usable %v, want %v", tc.format, codecs, tc.codec)
		}
	}
}

func TestDecodes(t *testing.T) {
	for _, tc := range []struct {
		format, stream string
		want           bool
	}{
		{"VP8/90000", "vp8", true},
		{"VP8/90000", "vp09.00.10.08", false},
		{"VP9/90000", "vp09.00.10.08", true},
		{"VP9/90000", "vp09.02.10.10", false},
		{"AV1/90000", "av01.0.04M.08", true},
		{"AV1/90000", "av01.1.04M.08", false},
		{"H264/90000 packetization-mode=1;profile-level-id=42e01f", "avc1.42E01E", true},
		{"H264/90000 packetization-mode=1;profile-level-id=42e01f", "avc1.42001E", true},
		{"H264/90000 packetization-mode=1;profile-level-id=42e01f", "avc1.4D001F", false},
		{"H264/90000 packetization-mode=1;profile-level-id=42e01f", "avc1.640028", false},
		{"H264/90000 packetization-mode=1;profile-level-id=f4001f", "avc1.640028", true},
		{"H264/90000 packetization-mode=1;profile-level-id=f4001f", "avc1.F4001F", false},
		{"H264/90000 packetization-mode=1;profile-level-id=4d001f", "avc1.42E01F", true},
		{"H264/90000 packetization-mode=1;profile-level-id=64001f", "avc1.4D0028", true},
		{"H264/90000 packetization-mode=1;profile-level-id=64001f", "avc1.640028", true},
		{"H264/90000 packetization-mode=1;profile-level-id=64001f", "hev1.1.6.L93", false},
	} {
		o, err := parseOffer(sessionLines + section("video", "recvonly", tc.format))
		if err != nil {
			t.Fatalf("%s: %v", tc.format, err)
		}
		if got := o.section(false).codecs[0].decodes(tc.stream); got != tc.want {
			t.Errorf("%s decodes %s: %v, want %v", tc.format, tc.stream, got, tc.want)
		}
	}
}

func TestParseOfferRefuses(t *testing.T) {
	video := section("video", "sendonly", "VP8/90000")
	for name, text := range map[string]string{
		"nothing":        "",
		"no media":       sessionLines,
		"garbage":        "\x00\xff",
		"two videos":     sessionLines + video + video,
		"data":           sessionLines + "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n",
		"no mid":         sessionLines + strings.Replace(video, "a=mid:video\r\n", "", 1),
		"no ufrag":       sessionLines + strings.Replace(video, "a=ice-ufrag:abcd\r\n", "", 1),
		"no fingerprint": strings.Replace(sessionLines, "a=fingerprint:sha-256 AB:CD\r\n", "", 1) + video,
		"many sections":  sessionLines + strings.Repeat("m=x 9 y 0\r\n", 20),
		"not bundled":    sessionLines + video + section("audio", "sendonly", "opus/48000/2"),
		"many formats":   sessionLines + strings.Replace(video, " 100", strings.Repeat(" 100", 300), 1),
	} {
		if _, err := parseOffer(text); !errors.Is(err, ErrBadOffer) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseOffer(f *testing.F) {
	f.Add(sessionLines + bundled + section("video", "sendonly", "VP8/90000") + section("audio", "recvonly", "opus/48000/2 stereo=1"))
	f.Add(sessionLines + section("video", "sendrecv", "H264/90000 packetization-mode=1;profile-level-id=42e01f"))
	f.Fuzz(func(t *testing.T, text string) {
		o, err := parseOffer(text)
		if err != nil {
			if !errors.Is(err, ErrBadOffer) {
				t.Errorf("%v does not wrap ErrBadOffer", err)
			}
			return
		}
		checkAccepted(t, o)
	})
}
