package client

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"trellis/edge/framing"
	"trellis/internal/media"
)

// fakeFeed hands out frames at the times that they say they arrived.
type fakeFeed struct {
	frames []received
	err    error // after the last frame; nil waits for ever
	losses transportLosses
}

func (f *fakeFeed) Next(ctx context.Context) (received, error) {
	if len(f.frames) == 0 {
		if f.err != nil {
			return received{}, f.err
		}
		<-ctx.Done()
		return received{}, context.Cause(ctx)
	}
	r := f.frames[0]
	timer := time.NewTimer(time.Until(r.arrived))
	defer timer.Stop()
	select {
	case <-timer.C:
		f.frames = f.frames[1:]
		return r, nil
	case <-ctx.Done():
		return received{}, context.Cause(ctx)
	}
}

func (f *fakeFeed) Losses(bool) transportLosses { return f.losses }
func (f *fakeFeed) Close(context.Context) error { return nil }

// camera is 25 frames per second for n frames, from now, each 30 ms on the way.
func camera(n int) []received {
	var frames []received
	now := time.Now()
	for i := range n {
		made := now.Add(time.Duration(i) * frame40)
		frames = append(frames, received{
			codec: framing.VP8, pts: 5_000_000 + int64(i)*40_000, key: i%25 == 0, data: vp8Key,
			arrived: made.Add(30 * time.Millisecond), made: made, madeFrom: AgeFromCaptureTime,
		})
	}
	return frames
}

// watchFake runs a watching of f.
func watchFake(t *testing.T, cfg WatchConfig, f *fakeFeed) (WatchReport, error) {
	t.Helper()
	w := watching{cfg: cfg, feed: f, stats: newWatchStats(cfg.Target, time.Now()), files: newFiles(cfg.OutputDir)}
	w.stats.connected(time.Now())
	err := w.run(t.Context())
	r := w.stats.report(f)
	if cerr := w.files.close(); cerr != nil {
		t.Fatal(cerr)
	}
	return r, err
}

func TestWatchMeasures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		frames := camera(250)
		frames = slices.Delete(frames, 100, 103)
		frames = slices.Delete(frames, 150, 151)
		r, err := watchFake(t, WatchConfig{}, &fakeFeed{frames: frames, err: io.EOF, losses: transportLosses{packets: 7}})
		if err != nil || len(r.Tracks) != 1 {
			t.Fatalf("%+v, %v", r, err)
		}
		v := r.Tracks[0]
		if v.Kind != "video" || v.Codec != "vp8" || v.Width != 640 || v.Objects != 246 || v.Bytes != 2460 {
			t.Errorf("track %+v", v)
		}
		if v.Gaps != 2 || v.Lost != 4 || v.PacketsLost != 7 {
			t.Errorf("%d gaps, %d lost, %d packets lost; want 2, 4, 7", v.Gaps, v.Lost, v.PacketsLost)
		}
		if v.AgeMs == nil || v.AgeMs.P50 < 29.9 || v.AgeMs.Max > 30.1 || v.AgeFrom != AgeFromCaptureTime {
			t.Errorf("age %+v from %s, want 30 ms", v.AgeMs, v.AgeFrom)
		}
		if v.TimeToFirstFrameMs != 30 || v.FrameRate < 24 || v.FrameRate > 25 || v.DelayVariationMs.Max != 0 {
			t.Errorf("first after %v ms, %v per second, variation %+v", v.TimeToFirstFrameMs, v.FrameRate, v.DelayVariationMs)
		}
	})
}

// Frames that waited in the node when we came count as frames and not as delay.
func TestWatchJoinsInTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		frames := camera(150)
		now := time.Now()
		for i := range frames { // the first 40 are old
			frames[i].made = frames[i].made.Add(-40 * frame40)
			frames[i].arrived = frames[i].arrived.Add(-40 * frame40)
			if frames[i].arrived.Before(now) {
				frames[i].arrived = now.Add(10 * time.Millisecond)
			}
		}
		r, err := watchFake(t, WatchConfig{}, &fakeFeed{frames: frames, err: io.EOF})
		if err != nil {
			t.Fatal(err)
		}
		v := r.Tracks[0]
		if v.Objects != 150 || v.AgeMs.Max > 30.1 || v.DelayVariationMs.Max != 0 || v.FrameRate != 25 {
			t.Errorf("%d frames, age %+v, variation %+v, %v per second", v.Objects, v.AgeMs, v.DelayVariationMs, v.FrameRate)
		}
	})
}

// Ages are not stated where nobody says when frames were made, or clocks disagree.
func TestWatchUnsynchronised(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		silent := camera(50)
		for i := range silent {
			silent[i].made = time.Time{}
		}
		ahead := camera(50)
		for i := range ahead {
			ahead[i].made = ahead[i].made.Add(50 * time.Millisecond)
		}
		for _, frames := range [][]received{silent, ahead} {
			r, err := watchFake(t, WatchConfig{}, &fakeFeed{frames: frames, err: io.EOF})
			if err != nil || r.Tracks[0].AgeMs != nil || r.Tracks[0].AgeFrom != Unsynchronised {
				t.Errorf("age %+v from %s, %v", r.Tracks[0].AgeMs, r.Tracks[0].AgeFrom, err)
			}
		}
	})
	now := time.Unix(1_700_000_000, 0)
	for _, pts := range []int64{0, 12_345_678, now.Add(-time.Hour).UnixMicro()} {
		if at, from := madeAt(pts, now); !at.IsZero() || from != Unsynchronised {
			t.Errorf("a PTS of %d was taken for a time of day", pts)
		}
	}
	if at, from := madeAt(now.Add(-time.Second).UnixMicro(), now); !at.Equal(now.Add(-time.Second)) || from != AgeFromPTS {
		t.Errorf("a PTS of a second ago is %v from %s", at, from)
	}
}

func TestWatchEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		r, err := watchFake(t, WatchConfig{For: 2 * time.Second}, &fakeFeed{frames: camera(20)})
		if err != nil || time.Since(start) != 2*time.Second || r.Tracks[0].Objects != 20 {
			t.Errorf("ended after %v with %v", time.Since(start), err)
		}
		if _, err := watchFake(t, WatchConfig{}, &fakeFeed{frames: camera(20), err: errFake}); !errors.Is(err, errFake) {
			t.Errorf("a connection that breaks: %v", err)
		}
	})
}

func TestWatchWritesFiles(t *testing.T) {
	dir := t.TempDir()
	o := newFiles(dir)
	frames := camera(30)[3:] // the file begins with the key frame at 25
	for i := range 10 {
		frames = append(frames, received{codec: framing.Opus, pts: int64(i) * 20_000, key: true, data: []byte{0xfc, 1}})
	}
	for _, r := range frames {
		if err := o.write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := o.close(); err != nil {
		t.Fatal(err)
	}
	want := map[string]int{"video-vp8.ivf": 5, "audio-opus.ogg": 10}
	for name, n := range want {
		f, err := os.Open(dir + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		r, err := media.NewReader(f, media.Options{})
		if err != nil {
			t.Fatal(err)
		}
		got := 0
		for {
			if _, err := r.Next(); err != nil {
				break
			}
			got++
		}
		if got != n {
			t.Errorf("%s has %d frames, want %d", name, got, n)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	if len(o.names()) != len(want) {
		t.Errorf("files %v", o.names())
	}
}

func TestArrivals(t *testing.T) {
	var a arrivals
	missing := int64(0)
	for _, tc := range []struct {
		seq  uint64
		want int64
	}{{7, 0}, {8, 0}, {11, 2}, {9, 1}, {9, 1}, {5, 1}, {12, 1}, {10, 0}, {10, 0}, {1 << 62, 1<<62 - 13}} {
		if missing += a.add(tc.seq); missing != tc.want {
			t.Errorf("after group %d: %d missing, want %d", tc.seq, missing, tc.want)
		}
	}
	if len(a.missing) > maxMissing {
		t.Errorf("%d groups are waited for", len(a.missing))
	}
}

func TestSteps(t *testing.T) {
	var s steps
	pts := int64(7)
	for i := range 100 {
		step := int64(33_333 + i%3*200) // jitter
		switch i {
		case 20:
			step *= 2 // one missing
		case 50:
			step *= 11
		}
		pts += step
		s.add(pts)
		s.add(pts - 10) // the same again
	}
	if gaps, lost := s.missing(); gaps != 2 || lost != 11 {
		t.Errorf("%d gaps, %d lost, want 2 and 11", gaps, lost)
	}
	// Groups of five that overtake one another, one of them missing.
	s = steps{}
	for g := range int64(60) {
		g ^= 1
		for i := range int64(5) {
			if g != 30 {
				s.add((5*g + i) * 20_000)
			}
		}
	}
	if gaps, lost := s.missing(); gaps != 1 || lost != 5 {
		t.Errorf("overtaking: %d gaps, %d lost, want 1 and 5", gaps, lost)
	}
	var none steps
	none.add(5)
	if gaps, lost := none.missing(); gaps != 0 || lost != 0 {
		t.Errorf("of one frame, %d gaps and %d lost", gaps, lost)
	}
}
