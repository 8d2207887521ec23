package rtc

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"trellis/edge/rtc/stream"
	"trellis/edge/rtc/transport"
	"trellis/wire/hang"
)

// sdkOffer is the first offer of an SDK of LiveKit's, recorded: three sections for
// sound, three for pictures, one for data.
func sdkOffer(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile("testdata/livekit-" + name + "-offer.sdp")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestParseStageOffer(t *testing.T) {
	for _, name := range []string{"node", "web"} {
		o, sections, err := parseStageOffer(sdkOffer(t, name))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(sections) != 7 || len(o.media) != 6 || !o.reportsArrival() {
			t.Errorf("%s: %d sections, %d of media, arrival %v", name, len(sections), len(o.media), o.reportsArrival())
		}
		for i, m := range o.media {
			if m.audio != (i < 3) || !receives(o, m) || len(m.codecs) == 0 || m.audio && m.extension(stream.TransportCCURI) == 0 {
				t.Errorf("%s: section %d: %+v", name, i, m)
			}
		}
	}
}

func TestParseStageOfferRefuses(t *testing.T) {
	good := sdkOffer(t, "node")
	audio := section("audio", "recvonly", "opus/48000/2")
	many := sessionLines
	for i := range maxStageSections + 1 {
		many += strings.ReplaceAll(audio, "a=mid:audio", fmt.Sprintf("a=mid:%d", i))
	}
	for name, offer := range map[string]string{
		"nothing":          "",
		"garbage":          "v=1\r\n" + strings.Repeat("x", 100),
		"too large":        good + strings.Repeat("a=x\r\n", maxStageOfferBytes/5),
		"many attributes":  good + strings.Repeat("a=x\r\n", maxStageAttributes),
		"many sections":    many,
		"one mid twice":    strings.Replace(good, "a=mid:1", "a=mid:0", 1),
		"no ICE":           strings.ReplaceAll(good, "a=ice-ufrag", "a=x-ufrag"),
		"no certificate":   strings.ReplaceAll(good, "a=fingerprint", "a=x-fingerprint"),
		"not bundled":      strings.Replace(good, "BUNDLE 0 1 2 3 4 5 6", "BUNDLE 0 1 2 3 4 6", 1),
		"only what sends":  strings.ReplaceAll(good, "a=recvonly", "a=sendonly"),
		"lite as we are":   strings.Replace(good, "t=0 0\r\n", "t=0 0\r\na=ice-lite\r\n", 1),
		"only application": sessionLines + "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:0\r\n",
	} {
		if _, _, err := parseStageOffer(offer); !errors.Is(err, ErrBadOffer) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestStageAnswer: sections that carry nothing keep their formats, and that of data
// channels says that no messages are taken.
func TestStageAnswer(t *testing.T) {
	o, sections, err := parseStageOffer(sdkOffer(t, "web"))
	if err != nil {
		t.Fatal(err)
	}
	st := &Stage{viewing: &viewing{}, seats: map[string]*seat{}, channels: true}
	var seating Seating
	// A picture that nobody could decode has no seat.
	cast := []Cast{{ID: "TR_V", Stream: "PA_a|camera", Broadcast: "demo/alice", Catalog: hang.Catalog{
		Video: &hang.Video{Renditions: map[string]hang.VideoConfig{"hd": {Codec: "hev1.1.6.L93.B0"}}},
	}}}
	all, fresh := st.place(o, sections, cast, &seating)
	var codecs *CodecError
	if len(fresh) != 0 || !errors.As(seating.Refused["TR_V"], &codecs) || seating.FreeAudio != 3 || seating.FreeVideo != 3 || seating.MoreVideo != 0 {
		t.Errorf("%d tracks, %+v", len(fresh), seating)
	}
	answer, err := writeAnswer(o, all, transport.Local{Ufrag: "u", Pwd: "p", Candidates: []string{"1 1 udp 1 192.0.2.1 1 typ host"}}, "sha-256 00")
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(answer, "m=")
	if len(parts) != 8 {
		t.Fatalf("%d sections:\n%s", len(parts)-1, answer)
	}
	for i, part := range parts[1:] {
		data := i == 6
		for _, c := range []struct {
			line string
			want bool
		}{
			{"a=inactive\r\n", !data},
			{"application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n", data},
			{"a=sctp-port:5000\r\na=max-message-size:23\r\n", data},
			{"a=ice-ufrag:u\r\n", true},
			{"a=rtcp-mux\r\n", !data},
			{"a=candidate:", i == 0},
			{" opus/48000/2\r\n", i < 3},
			{" VP8/90000\r\n", i >= 3 && !data},
			{" H264/90000\r\n", i >= 3 && !data},
			{" AV1/90000\r\n", i >= 3 && !data},
			{"a=msid", false},
		} {
			if strings.Contains(part, c.line) != c.want {
				t.Errorf("section %d: %q is there: %v\n%s", i, c.line, !c.want, part)
			}
		}
	}
	if !strings.Contains(parts[0], "a=group:BUNDLE 0 1 2 3 4 5 6\r\n") {
		t.Errorf("the bundle:\n%s", parts[0])
	}
}

// TestStageRefusesChannels: data channels that cannot be opened are rejected, and
// leave the bundle.
func TestStageRefusesChannels(t *testing.T) {
	good := sdkOffer(t, "web")
	data := good[strings.Index(good, "m=application"):]
	for name, c := range map[string]struct {
		offer string
		late  bool
	}{
		"another port":      {offer: strings.Replace(good, "a=sctp-port:5000", "a=sctp-port:5001", 1)},
		"no port":           {offer: strings.Replace(good, "a=sctp-port:5000\r\n", "", 1)},
		"another transport": {offer: strings.Replace(good, "BUNDLE 0 1 2 3 4 5 6", "BUNDLE 0 1 2 3 4 5", 1)},
		"another format":    {offer: strings.Replace(good, "webrtc-datachannel", "x-data", 1)},
		"rejected itself":   {offer: strings.Replace(good, "application 9", "application 0", 1)},
		"not in the first":  {offer: good, late: true},
		"a second one":      {offer: strings.Replace(good, "m=application", strings.Replace(strings.Replace(data, "a=sctp-port:5000\r\n", "", 1), "a=mid:6", "a=mid:7", 1)+"m=application", 1)},
	} {
		o, sections, err := parseStageOffer(c.offer)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		st := &Stage{viewing: &viewing{}, seats: map[string]*seat{}, channels: !c.late}
		var seating Seating
		all, _ := st.place(o, sections, nil, &seating)
		answer, err := writeAnswer(o, all, transport.Local{Ufrag: "u", Pwd: "p"}, "sha-256 00")
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(answer, "m=application 0 "); n != 1 {
			t.Errorf("%s: %d sections are rejected:\n%s", name, n, answer)
		}
		want := "a=group:BUNDLE 0 1 2 3 4 5\r\n"
		if name == "a second one" {
			want = "a=group:BUNDLE 0 1 2 3 4 5 6\r\n"
		}
		if !strings.Contains(answer, want) {
			t.Errorf("%s: no %q:\n%s", name, want, answer)
		}
	}
}

func FuzzParseStageOffer(f *testing.F) {
	f.Add(sessionLines + section("audio", "recvonly", "opus/48000/2"))
	f.Fuzz(func(t *testing.T, offer string) {
		o, sections, err := parseStageOffer(offer)
		if err != nil {
			return
		}
		st := &Stage{viewing: &viewing{}, seats: map[string]*seat{}}
		var seating Seating
		all, _ := st.place(o, sections, nil, &seating)
		answer, err := writeAnswer(o, all, transport.Local{Ufrag: "u", Pwd: "p"}, "sha-256 00")
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count("\n"+answer, "\nm="); n != len(sections) {
			t.Errorf("%d sections are answered with %d", len(sections), n)
		}
	})
}
