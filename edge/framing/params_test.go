package framing

import (
	"encoding/hex"
	"errors"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseParams(t *testing.T) {
	for _, tc := range []struct {
		in   string
		want Params
		out  string // when it is not in
	}{
		{"avc1.42E01E", Params{Codec: H264, Profile: 0x42, Constraints: 0xe0, Level: 0x1e}, ""},
		{"avc3.640028", Params{Codec: H264, Profile: 100, Level: 40}, "avc1.640028"},
		{"vp8", Params{Codec: VP8}, ""},
		{"vp08.00.41.08", Params{Codec: VP8}, "vp8"},
		{"vp09.00.10.08", Params{Codec: VP9, Level: 10, BitDepth: 8}, ""},
		{"vp09.02.51.10.01.09.16.09.00", Params{Codec: VP9, Profile: 2, Level: 51, BitDepth: 10}, "vp09.02.51.10"},
		{"vp9", Params{Codec: VP9, Level: 10, BitDepth: 8}, "vp09.00.10.08"},
		{"av01.0.04M.08", Params{Codec: AV1, Level: 4, BitDepth: 8}, ""},
		{"av01.1.19H.10.0.110.09.16.09.0", Params{Codec: AV1, Profile: 1, Level: 19, Tier: 1, BitDepth: 10}, "av01.1.19H.10"},
		{"opus", Params{Codec: Opus}, ""},
		{"Opus", Params{Codec: Opus}, "opus"},
	} {
		got, err := ParseParams(tc.in)
		if err != nil || got != tc.want {
			t.Errorf("ParseParams(%q) = %+v, %v, want %+v", tc.in, got, err, tc.want)
		}
		if tc.out == "" {
			tc.out = tc.in
		}
		if got.String() != tc.out {
			t.Errorf("%q is written %q, want %q", tc.in, got.String(), tc.out)
		}
	}
	for _, bad := range []string{
		"", ".", "avc1", "avc1.42E0", "avc1.42E01E00", "avc1.xxxxxx", "hev1.1.6.L93.B0", "vp8.0", "vp09.00.10", "vp09.04.10.08",
		"vp09.0.10.08", "av01.0.04X.08", "av01.3.04M.08", "av01.0.4M.08", "opus.1", "mp4a.40.2", "av01.0.+4M.08",
	} {
		if got, err := ParseParams(bad); !errors.Is(err, ErrCodec) {
			t.Errorf("ParseParams(%q) = %+v, %v", bad, got, err)
		}
	}
}

func FuzzParseParams(f *testing.F) {
	for _, s := range []string{"avc1.42E01E", "vp8", "vp09.00.10.08", "av01.0.04M.08", "opus"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParseParams(s)
		if err != nil {
			return
		}
		if again, err := ParseParams(p.String()); err != nil || again != p {
			t.Errorf("%q is %+v, written %q, is %+v, %v", s, p, p.String(), again, err)
		}
	})
}

func TestDescribeStreams(t *testing.T) {
	want := map[Codec]string{VP8: "vp8", VP9: "vp09.00.10.08", H264: "avc1.42C00B", AV1: "av01.0.00M.08"}
	for _, s := range videoStreams {
		t.Run(s.codec.String(), func(t *testing.T) {
			c, frames := s.load(t)
			for i, f := range frames {
				d, err := Describe(c, f)
				if i%15 != 0 {
					if !errors.Is(err, ErrNotKey) || IsKey(c, f) {
						t.Errorf("frame %d: %v, key %v", i, err, IsKey(c, f))
					}
					continue
				}
				if err != nil || d.Width != 192 || d.Height != 108 || d.String() != want[c] || !IsKey(c, f) {
					t.Errorf("frame %d: %s %dx%d, %v, want %s", i, d, d.Width, d.Height, err, want[c])
				}
				if c == H264 && d.FrameRate != 30 {
					t.Errorf("frame rate %v", d.FrameRate)
				}
			}
		})
	}
}

func fromHex(tb testing.TB, s string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// Headers of streams made by encoders of the field.
func TestDescribe(t *testing.T) {
	for _, tc := range []struct {
		name  string
		codec Codec
		frame string
		want  Description
	}{
		{
			"x264 high 1920x1080, cropped, 30/s", H264,
			"00000001" + "67640028acd940780227e5c05a808080a0000003002000000781e30632c0" + "0000000168ebe3cb22c0" + "000000016588",
			Description{Params: Params{Codec: H264, Profile: 100, Level: 40}, Width: 1920, Height: 1080, FrameRate: 30},
		},
		{
			"browser 640x480 constrained baseline", H264,
			"00000001" + "6742c01f8c8d40501e900f08846a" + "0000000168ce3c80" + "0000000165b8",
			Description{Params: Params{Codec: H264, Profile: 0x42, Constraints: 0xc0, Level: 0x1f}, Width: 640, Height: 480},
		},
		{"vp8 640x480", VP8, "506b009d012a8002e001", Description{Params: Params{Codec: VP8}, Width: 640, Height: 480}},
		{"stereo", Opus, "fc", Description{Params: Params{Codec: Opus}, Channels: 2}},
		{"mono", Opus, "78", Description{Params: Params{Codec: Opus}, Channels: 1}},
	} {
		got, err := Describe(tc.codec, fromHex(t, tc.frame))
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		if math.Abs(got.FrameRate-tc.want.FrameRate) < 0.1 {
			got.FrameRate = tc.want.FrameRate
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s: %s", tc.name, diff)
		}
	}
}

func FuzzDescribe(f *testing.F) {
	for _, s := range videoStreams {
		f.Add(uint8(s.codec), loadFrames(f, s.codec, s.file)[0])
	}
	f.Fuzz(func(t *testing.T, codec uint8, frame []byte) {
		c := fuzzCodec(codec)
		d, err := Describe(c, frame)
		IsKey(c, frame)
		if err != nil {
			return
		}
		if !c.Audio() && (d.Width <= 0 && c != VP8 || d.Height < 0) {
			t.Errorf("a picture of %dx%d", d.Width, d.Height)
		}
		if _, err := ParseParams(d.String()); err != nil {
			t.Errorf("%+v is written %q: %v", d.Params, d.String(), err)
		}
	})
}
