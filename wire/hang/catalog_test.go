package hang

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func readCatalog(tb testing.TB) []byte {
	tb.Helper()
	b, err := os.ReadFile("testdata/catalog-publish.json")
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

var published = Catalog{
	Video: &Video{
		Renditions: map[string]VideoConfig{"video/hd": {
			Codec: "avc1.640028", Container: Container{Kind: ContainerLegacy}, CodedWidth: 1280, CodedHeight: 720,
			Framerate: 20, BitrateBps: 1612800, JitterMs: 50, OptimizeForLatency: true,
		}},
		Display: &Size{1280, 720},
	},
	Audio: &Audio{Renditions: map[string]AudioConfig{"audio/data": {
		Codec: "opus", Container: Container{Kind: ContainerLegacy}, SampleRate: 48000, NumberOfChannels: 2,
		BitrateBps: 64000, JitterMs: 20,
	}}},
}

func TestParseCatalog(t *testing.T) {
	got, err := ParseCatalog(readCatalog(t))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(published, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	b, err := got.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseCatalog(b)
	if diff := cmp.Diff(published, again); err != nil || diff != "" {
		t.Errorf("%v, again (-want +got):\n%s", err, diff)
	}
}

// TestCapture: what is known of capture times comes through, also by a patch; of what others mean by
// the name nothing is taken.
func TestCapture(t *testing.T) {
	var d Document
	want := Capture{OffsetUs: -1_700_000_000_123_456, IngressUs: -1_700_000_000_100_000, ErrorUs: 12}
	c, err := d.Apply(0, 0, []byte(`{"audio":{"renditions":{"a":{"codec":"opus","sampleRate":48000,"numberOfChannels":2,
		"capture":{"offset":-1700000000123456,"ingress":-1700000000100000,"error":12}}}}}`))
	if err != nil || c.Audio.Renditions["a"].Capture != want || !want.Known() {
		t.Fatalf("%+v, %v", c.Audio, err)
	}
	c, err = d.Apply(0, 1, []byte(`{"audio":{"renditions":{"a":{"capture":{"error":null}}}}}`))
	want.ErrorUs = 0
	if err != nil || c.Audio.Renditions["a"].Capture != want {
		t.Errorf("%+v, %v", c.Audio, err)
	}
	b, err := c.Marshal()
	if again, err2 := ParseCatalog(b); err != nil || err2 != nil || again.Audio.Renditions["a"].Capture != want {
		t.Errorf("%s: %+v, %v, %v", b, again.Audio, err, err2)
	}
	c, err = d.Apply(1, 0, []byte(`{"audio":{"renditions":{"a":{"codec":"opus","sampleRate":48000,"numberOfChannels":2,"capture":[1]}}}}`))
	if err != nil || c.Audio.Renditions["a"].Capture.Known() {
		t.Errorf("%+v, %v", c.Audio, err)
	}
	if d.Stale(1) || d.Stale(2) || !d.Stale(0) {
		t.Error("group 0 is older than group 1, and no other")
	}
}

func TestParseCatalogTolerates(t *testing.T) {
	for _, tc := range []struct {
		doc     string
		video   []string
		audio   []string
		ignored []string
	}{
		{doc: `{}`},
		{doc: `{"video":null,"audio":null,"user":{"name":"x"}}`},
		{doc: `{"video":{}}`},
		{doc: `{"video":{"renditions":{"v":{"codec":"vp8"}},"display":7,"rotation":"x"}}`, video: []string{"v"}},
		{doc: `{"video":{"renditions":{"v":{"codec":"vp8","framerate":29.97,"timeline":{"a":1}}}}}`, video: []string{"v"}},
		{doc: `{"video":{"renditions":{"v":{"codec":"vp8","capture":"yes"},"w":{"codec":"vp8","capture":{"offset":1.5}}}}}`, video: []string{"v", "w"}},
		{doc: `{"video":{"renditions":{"v":{"codec":"vp8"},"w":{}}}}`, video: []string{"v"}, ignored: []string{"w: no codec"}},
		{doc: `{"video":{"renditions":{"v":{"codec":7}}}}`, ignored: []string{"v: json"}},
		{doc: `{"video":{"renditions":{"v":{"codec":"vp8","container":{"kind":"new"}}}}}`, ignored: []string{`v: container kind "new"`}},
		{doc: `{"video":{"renditions":{"v":{"codec":"vp8","container":{"kind":"cmaf"}}}}}`, ignored: []string{"v: cmaf"}},
		{doc: `{"video":{"renditions":{"v":{"codec":"x","description":"0g"}}}}`, ignored: []string{"v: description"}},
		{doc: `{"audio":{"renditions":{"a":{"codec":"opus","sampleRate":48000,"numberOfChannels":1}}}}`, audio: []string{"a"}},
		{doc: `{"audio":{"renditions":{"a":{"codec":"opus","numberOfChannels":1}}}}`, ignored: []string{"a: no sampleRate"}},
		{doc: `{"audio":{"renditions":{"a":{"codec":"opus","sampleRate":48000}}}}`, ignored: []string{"a: no numberOfChannels"}},
	} {
		got, err := ParseCatalog([]byte(tc.doc))
		if err != nil {
			t.Errorf("%s: %v", tc.doc, err)
			continue
		}
		var video, audio []string
		for _, v := range got.VideoTracks() {
			video = append(video, v.Track)
		}
		for _, a := range got.AudioTracks() {
			audio = append(audio, a.Track)
		}
		if diff := cmp.Diff(tc.video, video); diff != "" {
			t.Errorf("%s: video %s", tc.doc, diff)
		}
		if diff := cmp.Diff(tc.audio, audio); diff != "" {
			t.Errorf("%s: audio %s", tc.doc, diff)
		}
		if len(got.Ignored) != len(tc.ignored) {
			t.Errorf("%s: ignored %q, want %q", tc.doc, got.Ignored, tc.ignored)
			continue
		}
		for i, want := range tc.ignored {
			if !strings.HasPrefix(got.Ignored[i], want) {
				t.Errorf("%s: ignored %q, want %q", tc.doc, got.Ignored[i], want)
			}
		}
	}
}

func TestParseCatalogRefuses(t *testing.T) {
	for _, doc := range []string{
		"", " ", "null", "7", "[]", `{"video":7}`, `{"video":{"renditions":[]}}`, `{"audio"`, "{}{}",
		strings.Repeat(" ", MaxCatalogBytes) + "{}",
		`{"video":{"renditions":{` + strings.Repeat(`"a":{},`, 100) + `"b":{}}}`,
	} {
		if c, err := ParseCatalog([]byte(doc)); !errors.Is(err, ErrCatalog) {
			t.Errorf("%.40q: got %+v, %v; want ErrCatalog", doc, c, err)
		}
	}
	var many strings.Builder
	for i := range maxRenditions + 1 {
		many.WriteString(`"` + strings.Repeat("a", i+1) + `":{"codec":"vp8"},`)
	}
	doc := `{"video":{"renditions":{` + strings.TrimSuffix(many.String(), ",") + `}}}`
	if _, err := ParseCatalog([]byte(doc)); !errors.Is(err, ErrCatalog) {
		t.Errorf("%d renditions: %v, want ErrCatalog", maxRenditions+1, err)
	}
	// Whole documents only: no proper prefix of one is another.
	b := []byte(strings.TrimSpace(string(readCatalog(t))))
	for i := range b {
		if _, err := ParseCatalog(b[:i]); err == nil {
			t.Errorf("%d of %d bytes are a catalog", i, len(b))
		}
	}
}

func TestMarshalRefuses(t *testing.T) {
	for _, c := range []Catalog{
		{Video: &Video{Renditions: map[string]VideoConfig{"v": {}}}},
		{Audio: &Audio{Renditions: map[string]AudioConfig{"a": {Codec: "opus"}}}},
	} {
		if b, err := c.Marshal(); !errors.Is(err, ErrCatalog) {
			t.Errorf("Marshal = %s, %v; want ErrCatalog", b, err)
		}
	}
}

func TestDocument(t *testing.T) {
	type step struct {
		group, object uint64
		body          string
		want          []string // video tracks; nil where an error is wanted
	}
	var d Document
	for i, s := range []step{
		{0, 0, `{"video":{"renditions":{"hd":{"codec":"vp8","codedWidth":2,"codedHeight":2}}}}`, []string{"hd"}},
		{0, 1, `{"video":{"renditions":{"sd":{"codec":"vp8"}}}}`, []string{"hd", "sd"}},
		{0, 2, `{"video":{"renditions":{"hd":null}},"audio":null}`, []string{"sd"}},
		{0, 4, `{}`, nil}, // object 3 is missing
		{0, 5, `{}`, nil},
		{1, 0, `{"video":{"renditions":{"a":{"codec":"vp8"}}}}`, []string{"a"}},
		{1, 1, `[]`, nil},
		{1, 2, `{}`, nil},
		{5, 0, `{"video":null}`, []string{}},
		{5, 1, `{"video":{"renditions":{"b":{"codec":"vp8"}}}}`, []string{"b"}},
		{6, 1, `{}`, nil},
	} {
		c, err := d.Apply(s.group, s.object, []byte(s.body))
		if (err != nil) != (s.want == nil) {
			t.Errorf("step %d: error %v, want one: %v", i, err, s.want == nil)
			continue
		}
		got := []string{}
		for _, v := range c.VideoTracks() {
			got = append(got, v.Track)
		}
		if s.want != nil && !cmp.Equal(got, s.want) {
			t.Errorf("step %d: tracks %q, want %q", i, got, s.want)
		}
	}
}

func TestMergePatch(t *testing.T) {
	// RFC 7396, Appendix A, for patches that are objects.
	for _, tc := range []struct{ target, patch, want string }{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`{"e":null}`, `{"a":1}`, `{"e":null,"a":1}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
	} {
		got := mergePatch(decode(t, tc.target), decode(t, tc.patch))
		if diff := cmp.Diff(decode(t, tc.want), got); diff != "" {
			t.Errorf("%s + %s (-want +got):\n%s", tc.target, tc.patch, diff)
		}
	}
}

func TestPick(t *testing.T) {
	c := Catalog{
		Video: &Video{Renditions: map[string]VideoConfig{
			"hd":  {Codec: "vp09.00.10.08", CodedWidth: 1280, CodedHeight: 720, BitrateBps: 2e6},
			"sd":  {Codec: "vp8", CodedWidth: 640, CodedHeight: 360, BitrateBps: 5e5},
			"low": {Codec: "vp8", CodedWidth: 320, CodedHeight: 180, BitrateBps: 1e5, Stalled: true},
		}},
		Audio: &Audio{Renditions: map[string]AudioConfig{
			"stereo": {Codec: "opus", NumberOfChannels: 2, BitrateBps: 96000},
			"mono":   {Codec: "opus", NumberOfChannels: 1, BitrateBps: 24000},
		}},
	}
	vp8 := func(codec string) bool { return codec == "vp8" }
	none := func(string) bool { return false }
	for _, tc := range []struct {
		limits       Limits
		video, audio string
	}{
		{Limits{}, "hd", "stereo"},
		{Limits{MaxHeight: 500}, "sd", "stereo"},
		{Limits{MaxBitrateBps: 5e5}, "sd", "stereo"},
		{Limits{MaxBitrateBps: 30000}, "sd", "mono"},
		{Limits{MaxBitrateBps: 1}, "sd", "mono"},
		{Limits{Codec: none}, "", ""},
	} {
		v, vok := c.PickVideo(tc.limits)
		a, aok := c.PickAudio(tc.limits)
		if v.Track != tc.video || a.Track != tc.audio || vok != (tc.video != "") || aok != (tc.audio != "") {
			t.Errorf("%+v: %q, %q; want %q, %q", tc.limits, v.Track, a.Track, tc.video, tc.audio)
		}
	}
	if v, ok := c.PickVideo(Limits{Codec: vp8}); !ok || v.Track != "sd" {
		t.Errorf("vp8 only: %q", v.Track)
	}
	if _, ok := (Catalog{}).PickVideo(Limits{}); ok {
		t.Error("an empty catalog has a rendition")
	}
}
