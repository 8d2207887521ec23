package rtc

import (
	"slices"
	"strings"
	"testing"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"trellis/edge/framing"
	"trellis/edge/rtc/transport"
)

// checkAccepted answers an offer as a publisher's, as far as it is one: the answer can be
// read, and accepts nothing that was not offered.
func checkAccepted(t *testing.T, o *offer) string {
	t.Helper()
	var sections []answeredSection
	for _, m := range o.media {
		a, ok := m.accept()
		if !ok {
			return ""
		}
		sections = append(sections, a.describe())
		for _, f := range sections[len(sections)-1].desc.MediaName.Formats {
			if !slices.Contains(m.desc.MediaName.Formats, f) {
				t.Errorf("format %s was not offered", f)
			}
		}
		for _, rid := range a.rids {
			if !isRID(rid) {
				t.Errorf("a stream is called %q", rid)
			}
		}
	}
	text, err := composeAnswer(o, sections, transport.Local{Ufrag: "ours", Pwd: "password", Candidates: []string{"1 1 udp 1 192.0.2.1 9 typ host"}},
		"sha-256 00")
	if err != nil {
		t.Fatal(err)
	}
	var d sdp.SessionDescription
	if err := d.UnmarshalString(text); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if len(d.MediaDescriptions) != len(o.media) {
		t.Errorf("%d sections answer %d", len(d.MediaDescriptions), len(o.media))
	}
	return text
}

// browserOffer is what Chromium offers for a picture in three layers and sound, cut down.
const browserOffer = "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\na=extmap-allow-mixed\r\n" +
	"m=audio 9 UDP/TLS/RTP/SAVPF 63 111 9 0 13 110\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\n" +
	"a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=ice-options:trickle\r\na=fingerprint:sha-256 AB:CD\r\na=setup:actpass\r\n" +
	"a=mid:0\r\na=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\na=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n" +
	"a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=sendonly\r\na=msid:s a\r\na=rtcp-mux\r\na=rtcp-rsize\r\n" +
	"a=rtpmap:111 opus/48000/2\r\na=rtcp-fb:111 transport-cc\r\na=rtcp-fb:111 nack\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n" +
	"a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\na=rtpmap:9 G722/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:13 CN/8000\r\na=rtpmap:110 telephone-event/48000\r\n" +
	"a=ssrc:1 cname:x\r\n" +
	"m=video 9 UDP/TLS/RTP/SAVPF 96 97 103 104 107 108 109 114 45 46 98 99 100 101 112 35\r\nc=IN IP4 0.0.0.0\r\n" +
	"a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=fingerprint:sha-256 AB:CD\r\na=setup:actpass\r\na=mid:1\r\n" +
	"a=extmap:14 urn:ietf:params:rtp-hdrext:toffset\r\na=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n" +
	"a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n" +
	"a=extmap:11 urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id\r\n" +
	"a=extmap:12 https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension\r\na=sendonly\r\na=rtcp-mux\r\na=rtcp-rsize\r\n" +
	"a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 goog-remb\r\na=rtcp-fb:96 transport-cc\r\na=rtcp-fb:96 ccm fir\r\na=rtcp-fb:96 nack\r\na=rtcp-fb:96 nack pli\r\n" +
	"a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n" +
	"a=rtpmap:103 H264/90000\r\na=rtcp-fb:103 nack\r\na=fmtp:103 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f\r\n" +
	"a=rtpmap:104 rtx/90000\r\na=fmtp:104 apt=103\r\n" +
	"a=rtpmap:107 H264/90000\r\na=fmtp:107 level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42001f\r\na=rtpmap:108 rtx/90000\r\na=fmtp:108 apt=107\r\n" +
	"a=rtpmap:109 H264/90000\r\na=fmtp:109 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=f4001f\r\na=rtpmap:114 rtx/90000\r\na=fmtp:114 apt=109\r\n" +
	"a=rtpmap:45 AV1/90000\r\na=rtcp-fb:45 nack\r\na=fmtp:45 level-idx=5;profile=0;tier=0\r\na=rtpmap:46 rtx/90000\r\na=fmtp:46 apt=45\r\n" +
	"a=rtpmap:98 VP9/90000\r\na=fmtp:98 profile-id=0\r\na=rtpmap:99 rtx/90000\r\na=fmtp:99 apt=98\r\n" +
	"a=rtpmap:100 VP9/90000\r\na=fmtp:100 profile-id=2\r\na=rtpmap:101 rtx/90000\r\na=fmtp:101 apt=100\r\n" +
	"a=rtpmap:112 red/90000\r\na=rtpmap:35 flexfec-03/90000\r\n" +
	"a=rid:q send\r\na=rid:h send\r\na=rid:f send\r\na=simulcast:send q;~h;f\r\n"

// TestAnswerToPublisher: the whole of it, since browsers hang on each line.
func TestAnswerToPublisher(t *testing.T) {
	o, err := parseOffer(browserOffer)
	if err != nil {
		t.Fatal(err)
	}
	transportLines := "a=ice-ufrag:ours\r\na=ice-pwd:password\r\na=fingerprint:sha-256 00\r\na=setup:passive\r\n"
	want := "v=0\r\no=- 4611731400430051336 2 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=ice-lite\r\na=group:BUNDLE 0 1\r\na=extmap-allow-mixed\r\n" +
		"a=msid-semantic:WMS *\r\n" +
		"m=audio 9 UDP/TLS/RTP/SAVPF 63 111\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=rtcp-mux\r\na=rtcp-rsize\r\n" +
		"a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\na=rtcp-fb:111 transport-cc\r\n" +
		"a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n" +
		"a=recvonly\r\n" + transportLines + "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\na=end-of-candidates\r\n" +
		"m=video 9 UDP/TLS/RTP/SAVPF 96 97 103 104 45 46 98 99\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\na=rtcp-mux\r\na=rtcp-rsize\r\n" +
		"a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 transport-cc\r\na=rtcp-fb:96 ccm fir\r\na=rtcp-fb:96 nack\r\na=rtcp-fb:96 nack pli\r\n" +
		"a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n" +
		"a=rtpmap:103 H264/90000\r\na=fmtp:103 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f\r\na=rtcp-fb:103 nack\r\n" +
		"a=rtpmap:104 rtx/90000\r\na=fmtp:104 apt=103\r\n" +
		"a=rtpmap:45 AV1/90000\r\na=fmtp:45 level-idx=5;profile=0;tier=0\r\na=rtcp-fb:45 nack\r\na=rtpmap:46 rtx/90000\r\na=fmtp:46 apt=45\r\n" +
		"a=rtpmap:98 VP9/90000\r\na=fmtp:98 profile-id=0\r\na=rtpmap:99 rtx/90000\r\na=fmtp:99 apt=98\r\n" +
		"a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n" +
		"a=extmap:12 https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension\r\n" +
		"a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\na=extmap:11 urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id\r\n" +
		"a=rid:q recv\r\na=rid:h recv\r\na=rid:f recv\r\na=simulcast:recv q;h;f\r\na=recvonly\r\n" + transportLines
	if got := checkAccepted(t, o); got != want {
		t.Errorf("answered\n%s\nwant\n%s", got, want)
	}
	for was, is := range map[string]string{"actpass": "passive", "active": "passive", "passive": "active"} {
		o, err := parseOffer(strings.ReplaceAll(browserOffer, "actpass", was))
		if err != nil {
			t.Fatal(err)
		}
		if got := checkAccepted(t, o); strings.Count(got, "a=setup:"+is+"\r\n") != 2 {
			t.Errorf("setup:%s is not answered with %s:\n%s", was, is, got)
		}
	}
}

// TestPionTakesTheAnswer of its own offer, with all that it has to offer.
func TestPionTakesTheAnswer(t *testing.T) {
	pc, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pc.Close() }()
	for _, k := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeVideo, webrtc.RTPCodecTypeAudio} {
		if _, err := pc.AddTransceiverFromKind(k, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly}); err != nil {
			t.Fatal(err)
		}
	}
	d, err := pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := pc.SetLocalDescription(d); err != nil {
		t.Fatal(err)
	}
	o, err := parseOffer(d.SDP)
	if err != nil {
		t.Fatal(err)
	}
	text := checkAccepted(t, o)
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: text}); err != nil {
		t.Errorf("%v in\n%s", err, text)
	}
}

func TestStreamsOfAnOffer(t *testing.T) {
	for lines, want := range map[string]string{
		"":                             "",
		"a=rid:a send\r\na=rid:b send": "a b",
		"a=rid:a send\r\na=rid:b recv": "a",
		"a=rid:a send\r\na=rid:b send\r\na=rid:a send":                                   "a b",
		"a=rid:l send pt=100;max-width=320\r\na=rid:h send\r\na=simulcast:send h;l":      "h l",
		"a=rid:a send\r\na=rid:b send\r\na=rid:c send\r\na=simulcast:recv x send a,b;~c": "a c",
		"a=rid:a send\r\na=simulcast:send a;b;;a":                                        "a",
		"a=rid:a/b send\r\na=rid:../x send\r\na=rid:":                                    "",
	} {
		o, err := parseOffer(sessionLines + section("video", "sendonly", "VP8/90000") + strings.TrimSuffix(lines+"\r\n", "\r\n\r\n"))
		if err != nil {
			t.Errorf("%q: %v", lines, err)
			continue
		}
		a, ok := o.section(false).accept()
		if got := strings.Join(a.rids, " "); !ok || got != want {
			t.Errorf("%q: %q, want %q", lines, got, want)
		}
	}
}

// TestWhatIsAccepted: of what a publisher could send only what viewers can be sent.
func TestWhatIsAccepted(t *testing.T) {
	for format, want := range map[string]bool{
		"H264/90000 packetization-mode=1": true, "H264/90000 packetization-mode=1;profile-level-id=42c01f": true,
		"H264/90000 packetization-mode=1;profile-level-id=640c1f": true, "H264/90000 packetization-mode=1;profile-level-id=f4001f": false,
		"H264/90000 packetization-mode=1;profile-level-id=6e001f": false, "VP9/90000 profile-id=2": false, "H265/90000": false,
	} {
		o, err := parseOffer(sessionLines + section("video", "sendonly", format))
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := o.section(false).accept(); ok != want {
			t.Errorf("%s is accepted: %v", format, ok)
		}
	}
	o, err := parseOffer(browserOffer)
	if err != nil {
		t.Fatal(err)
	}
	sound, _ := o.section(true).accept()
	if f, ok := sound.lookup(63); !ok || !f.RED || f.Codec != framing.Opus || f.Repairs {
		t.Errorf("RED is %+v", f)
	}
	s := sound.section()
	if len(s.SSRCs) != 1 || s.SSRCs[0] != 1 || len(s.Media) != 2 {
		t.Errorf("%+v", s)
	}
	picture, _ := o.section(false).accept()
	if f, ok := picture.lookup(96); !ok || !f.Repairs || f.Codec != framing.VP8 {
		t.Errorf("VP8 is %+v", f)
	}
	if s := picture.section(); s.Repairs[97] != 96 || s.Repairs[99] != 98 || len(s.Repairs) != 4 {
		t.Errorf("%+v", s)
	}
}
