package media

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"trellis/edge/framing"
)

// streams are those of edge/framing, a second of video each, and a second of sound.
var streams = []struct {
	file   string
	info   Info
	frames int
	last   time.Duration // PTS of the last frame
}{
	{"../../edge/framing/testdata/bars-vp8.ivf", Info{Codec: framing.VP8, Width: 192, Height: 108, FrameRate: 30}, 30, 966_666_666},
	{"../../edge/framing/testdata/bars-vp9.ivf", Info{Codec: framing.VP9, Width: 192, Height: 108, FrameRate: 30}, 30, 966_666_666},
	{"../../edge/framing/testdata/bars-av1.ivf", Info{Codec: framing.AV1, Width: 192, Height: 108, FrameRate: 30}, 30, 966_666_666},
	{"../../edge/framing/testdata/bars.h264", Info{Codec: framing.H264, Width: 192, Height: 108, FrameRate: 30}, 30, 966_666_666},
	{"testdata/tone.ogg", Info{Codec: framing.Opus, Channels: 1}, 51, time.Second},
}

func readFile(tb testing.TB, name string) []byte {
	tb.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func readAll(r Reader) ([]Frame, error) {
	var frames []Frame
	for {
		f, err := r.Next()
		if errors.Is(err, io.EOF) {
			return frames, nil
		}
		if err != nil {
			return frames, err
		}
		frames = append(frames, f)
	}
}

func TestRead(t *testing.T) {
	for _, s := range streams {
		// One byte at a time: nothing may depend on how much a read returns.
		r, err := NewReader(iotest.OneByteReader(bytes.NewReader(readFile(t, s.file))), Options{})
		if err != nil {
			t.Errorf("%s: %v", s.file, err)
			continue
		}
		if r.Info() != s.info {
			t.Errorf("%s: %+v, want %+v", s.file, r.Info(), s.info)
		}
		frames, err := readAll(r)
		if err != nil || len(frames) != s.frames {
			t.Errorf("%s: %d frames, %v, want %d", s.file, len(frames), err, s.frames)
			continue
		}
		if last := frames[len(frames)-1].PTS; last != s.last || frames[0].PTS != 0 {
			t.Errorf("%s: from %v to %v, want to %v", s.file, frames[0].PTS, last, s.last)
		}
		for i, f := range frames {
			if want := s.info.Codec == framing.Opus || i%15 == 0; f.Key != want {
				t.Errorf("%s: frame %d key %v", s.file, i, f.Key)
			}
			if s.info.Codec == framing.Opus && f.Duration != 20*time.Millisecond {
				t.Errorf("%s: packet %d lasts %v", s.file, i, f.Duration)
			}
		}
	}
}

// What is written reads back as it was.
func TestWrite(t *testing.T) {
	for _, s := range streams {
		r, err := NewReader(bytes.NewReader(readFile(t, s.file)), Options{})
		if err != nil {
			t.Fatal(err)
		}
		frames, err := readAll(r)
		if err != nil {
			t.Fatal(err)
		}
		var file bytes.Buffer
		w, err := NewWriter(&file, r.Info())
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range frames {
			if err := w.Write(f); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		again, err := NewReader(&file, Options{})
		if err != nil {
			t.Errorf("%s: %v", s.file, err)
			continue
		}
		got, err := readAll(again)
		if err != nil || len(got) != len(frames) {
			t.Errorf("%s: %d frames again, %v", s.file, len(got), err)
			continue
		}
		for i := range got {
			if !bytes.Equal(got[i].Data, frames[i].Data) || got[i].PTS.Round(time.Millisecond) != frames[i].PTS.Round(time.Millisecond) {
				t.Errorf("%s: frame %d differs", s.file, i)
			}
		}
	}
}

// A file that was cut off anywhere reads up to there, and says so unless the cut
// is between frames, or where the format cannot tell.
func TestTruncated(t *testing.T) {
	for _, s := range streams {
		whole := readFile(t, s.file)
		for n := 0; n < len(whole); n += 1 + n/50 {
			r, err := NewReader(bytes.NewReader(whole[:n]), Options{})
			if err == nil {
				_, err = readAll(r)
			}
			if err != nil && !errors.Is(err, ErrFormat) && !errors.Is(err, io.EOF) && !errors.Is(err, framing.ErrNotKey) {
				t.Errorf("%s cut at %d: %v", filepath.Base(s.file), n, err)
			}
		}
	}
}

func TestRefused(t *testing.T) {
	ivf := readFile(t, streams[0].file)
	patch := func(b []byte, at int, with ...byte) []byte {
		b = bytes.Clone(b)
		copy(b[at:], with)
		return b
	}
	ogg := readFile(t, "testdata/tone.ogg")
	for _, tc := range []struct {
		name string
		in   []byte
		want string
	}{
		{"nothing", nil, "empty"},
		{"text", []byte("hello"), "want IVF, Ogg Opus or H.264"},
		{"IVF of H.264", patch(ivf, 8, 'H', '2', '6', '4'), "H264"},
		{"IVF without time base", patch(ivf, 16, 0, 0, 0, 0), "time base"},
		{"IVF with a huge frame", patch(ivf, 32, 255, 255, 255, 255), "4294967295 bytes"},
		{"IVF with a long frame", patch(ivf, 32, 0, 0, 0x80, 0), "ends inside frame 0"},
		{"IVF at the end of time", patch(ivf, 16, 1, 0, 0, 0, 255, 255, 255, 255), ""},
		{"Ogg with a wrong bit", patch(ogg, 60, ogg[60]^1), "checksum"},
		{"Ogg only", ogg[:27], "ends inside"},
		{"H.264 without parameters", []byte("\x00\x00\x00\x01\x65\x88\x84"), "no sequence parameter set"},
		{"H.264 with nothing", []byte("\x00\x00\x00\x01"), "no picture"},
	} {
		r, err := NewReader(bytes.NewReader(tc.in), Options{})
		if err == nil {
			_, err = readAll(r)
		}
		if tc.want == "" && err == nil {
			continue
		}
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
	}
}

// Parameter sets given once come again before every key picture.
func TestAnnexBCompletes(t *testing.T) {
	const sets = "\x00\x00\x00\x01\x67\x42\xc0\x1f\x8c\x8d\x40\x50\x1e\x90\x0f\x08\x84\x6a" + "\x00\x00\x01\x68\xce\x3c\x80"
	const aud, idr, p, b = "\x00\x00\x01\x09\x10", "\x00\x00\x01\x65\x88\x84\x21", "\x00\x00\x01\x41\x9a\x21", "\x00\x00\x01\x41\xa8\x21"
	r, err := NewReader(strings.NewReader(sets+idr+p+aud+idr+aud+p), Options{FrameRate: 25})
	if err != nil {
		t.Fatal(err)
	}
	frames, err := readAll(r)
	if err != nil || len(frames) != 4 {
		t.Fatalf("%d frames, %v, want 4", len(frames), err)
	}
	first := frames[0].Data
	want := append([]byte("\x00\x00\x00\x01\x09\x10"), first...)
	if !bytes.Equal(frames[2].Data, want) || !frames[2].Key {
		t.Errorf("got %x, want %x", frames[2].Data, want)
	}
	if frames[3].PTS != 120*time.Millisecond || frames[3].Duration != 40*time.Millisecond || frames[3].Key {
		t.Errorf("last frame at %v for %v, key %v", frames[3].PTS, frames[3].Duration, frames[3].Key)
	}
	if _, err := NewReader(strings.NewReader(sets+idr+p), Options{}); err == nil || !strings.Contains(err.Error(), "give the frame rate") {
		t.Errorf("without a frame rate: %v", err)
	}
	r, err = NewReader(strings.NewReader(sets+idr+b), Options{FrameRate: 25})
	if err == nil {
		_, err = readAll(r)
	}
	if err == nil || !strings.Contains(err.Error(), "B slices") {
		t.Errorf("with B slices: %v", err)
	}
}

func TestOpusDuration(t *testing.T) {
	for _, tc := range []struct {
		packet []byte
		want   time.Duration
	}{
		{[]byte{0x08}, 20 * time.Millisecond},     // SILK
		{[]byte{0x78, 1}, 20 * time.Millisecond},  // hybrid
		{[]byte{0xfc, 1}, 20 * time.Millisecond},  // CELT, one frame
		{[]byte{0xe0}, 2500 * time.Microsecond},   // CELT, the shortest
		{[]byte{0xfd}, 40 * time.Millisecond},     // two frames
		{[]byte{0xff, 6}, 120 * time.Millisecond}, // six of 20 ms
		{[]byte{0xff, 7}, 0},                      // too long
		{[]byte{0xff}, 0},                         // no count
		{[]byte{0xff, 0}, 0},                      // no frames
		{nil, 0},
	} {
		got, ok := OpusDuration(tc.packet)
		if ok != (tc.want != 0) || ok && got != tc.want {
			t.Errorf("%x lasts %v %v, want %v", tc.packet, got, ok, tc.want)
		}
	}
}

// A gap in the times of Opus packets is in the granule positions of the file.
func TestOggGap(t *testing.T) {
	var file bytes.Buffer
	w, err := NewOggWriter(&file, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, ms := range []int{500, 520, 620, 640} {
		if err := w.Write(Frame{PTS: time.Duration(ms) * time.Millisecond, Data: []byte{0xf8, 1}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var granules []uint64
	for {
		p, err := readPage(&file)
		if err != nil {
			break
		}
		granules = append(granules, p.granule)
	}
	want := []uint64{0, 0, 40 * 48, 160 * 48}
	if len(granules) != len(want) || granules[2] != want[2] || granules[3] != want[3] {
		t.Errorf("granule positions %v, want %v", granules, want)
	}
}

func FuzzRead(f *testing.F) {
	for _, s := range streams {
		f.Add(readFile(f, s.file))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := NewReader(bytes.NewReader(b), Options{FrameRate: 30})
		if err != nil {
			return
		}
		frames, err := readAll(r)
		size, last := 0, time.Duration(0)
		for i, fr := range frames {
			if len(fr.Data) == 0 && r.Info().Codec != framing.Opus || fr.PTS < last {
				t.Fatalf("frame %d of %d bytes at %v after %v", i, len(fr.Data), fr.PTS, last)
			}
			size, last = size+len(fr.Data), fr.PTS
		}
		// H.264 gains parameter sets and longer start codes; nothing else gains.
		if r.Info().Codec != framing.H264 && size > len(b) {
			t.Fatalf("%d bytes of frames in %d of file", size, len(b))
		}
		if err != nil {
			return
		}
		w, err := NewWriter(io.Discard, r.Info())
		if err != nil {
			return
		}
		for _, fr := range frames {
			if err := w.Write(fr); err != nil {
				t.Fatalf("write what was read: %v", err)
			}
		}
	})
}
