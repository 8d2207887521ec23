package client

import (
	"cmp"
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"trellis/edge/framing"
	"trellis/internal/media"
)

// tape is a media.Reader of frames step apart, n of them.
type tape struct {
	info media.Info
	step time.Duration
	n    int
	next int
}

func (t *tape) Info() media.Info { return t.info }

func (t *tape) Next() (media.Frame, error) {
	if t.next == t.n {
		return media.Frame{}, io.EOF
	}
	f := media.Frame{PTS: time.Duration(t.next) * t.step, Key: t.next%10 == 0, Data: vp8Key}
	if t.info.Codec.Audio() {
		f.Data, f.Duration, f.Key = []byte{0xfc, 1}, t.step, true
	}
	t.next++
	return f, nil
}

// vp8Key is the beginning of a VP8 key frame of 640x480.
var vp8Key = []byte{0x50, 0x6b, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0xe0, 0x01}

func tapeSource(c framing.Codec, step time.Duration, n int) Source {
	return Source{Name: c.String(), Open: func() (media.Reader, io.Closer, error) {
		return &tape{info: media.Info{Codec: c, FrameRate: 25}, step: step, n: n}, nil, nil
	}}
}

// written is what a fakeSink got, and when.
type written struct {
	track int
	at    time.Duration
	pts   time.Duration
}

// fakeSink takes frames at once, or slowly, and fails or hangs up when told to.
type fakeSink struct {
	start  time.Time
	got    []written
	slow   time.Duration // what a write takes
	failAt int           // the write that fails, 0 for none
	done   chan struct{}
	err    error // why done is closed; nil: errFake
	closed bool
	begun  time.Duration // when it was announced

	away  chan struct{} // closed: leave
	where string
}

var errFake = errors.New("fake failure")

func (s *fakeSink) Write(i int, f media.Frame) error {
	time.Sleep(s.slow)
	s.got = append(s.got, written{i, time.Since(s.start), f.PTS})
	if len(s.got) == s.failAt {
		return errFake
	}
	return nil
}

func (s *fakeSink) Begin(start time.Time) error {
	s.start, s.begun = start, time.Since(start)
	return nil
}

func (s *fakeSink) Done() <-chan struct{}    { return s.done }
func (s *fakeSink) Err() error               { return cmp.Or(s.err, errFake) }
func (s *fakeSink) Leaving() <-chan struct{} { return s.away }
func (s *fakeSink) Elsewhere() string        { return s.where }

func (s *fakeSink) Close(context.Context) error {
	s.closed = true
	return nil
}

// play runs a publishing of cfg into s.
func play(t *testing.T, cfg PublishConfig, s *fakeSink) (PublishReport, error) {
	t.Helper()
	return playAt(t, cfg, s, nil)
}

// playAt is play where other nodes are, by URL; one that is nil does not answer.
func playAt(t *testing.T, cfg PublishConfig, s *fakeSink, nodes map[string]*fakeSink) (PublishReport, error) {
	t.Helper()
	list, err := newPlaylist(cfg.Sources, cfg.Loop)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range nodes {
		if s != nil && s.done == nil {
			s.done = make(chan struct{})
		}
	}
	if s.done == nil {
		s.done = make(chan struct{})
	}
	cfg.Connection = cfg.withDefaults()
	cfg.Timeout = 3 * time.Second
	dial := func(_ context.Context, where string) (sink, error) {
		time.Sleep(100 * time.Millisecond)
		if n := nodes[where]; n != nil {
			return n, nil
		}
		return nil, errFake
	}
	p := &publishing{
		cfg: cfg, list: list, sink: s, stats: newPublishStats(cfg.Target, list.tracks),
		moving: newMoving(t.Context(), cfg.Connection, dial, func() []string { return []string{"https://b"} }),
	}
	err = p.run(t.Context())
	p.moving.close()
	return p.stats.report(), err
}

const (
	frame40 = 40 * time.Millisecond
	frame20 = 20 * time.Millisecond
)

func TestPublishPaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeSink{}
		r, err := play(t, PublishConfig{Sources: []Source{tapeSource(framing.VP8, frame40, 25), tapeSource(framing.Opus, frame20, 50)}}, s)
		if err != nil {
			t.Fatal(err)
		}
		if len(s.got) != 75 {
			t.Fatalf("%d frames, want 75", len(s.got))
		}
		for _, w := range s.got {
			if w.at != w.pts {
				t.Errorf("track %d: frame of %v at %v", w.track, w.pts, w.at)
			}
		}
		v := r.Tracks[0]
		if v.Objects != 25 || v.KeyFrames != 3 || v.FrameRate != 25 || v.Codec != "vp8" || v.LatenessMs.Max != 0 || r.DurationS != 0.98 {
			t.Errorf("report %+v", r)
		}
	})
}

// A loop goes on where the longest track ended, for as long as it is told to.
func TestPublishLoops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeSink{}
		_, err := play(t, PublishConfig{
			Sources: []Source{tapeSource(framing.VP8, frame40, 25), tapeSource(framing.Opus, frame20, 60)},
			Loop:    true, For: 2400 * time.Millisecond,
		}, s)
		if err != nil {
			t.Fatal(err)
		}
		var last [2]time.Duration
		var count [2]int
		for _, w := range s.got {
			if w.at != w.pts {
				t.Errorf("track %d: frame of %v at %v", w.track, w.pts, w.at)
			}
			last[w.track] = w.pts
			count[w.track]++
		}
		if count != [2]int{50, 120} || last != [2]time.Duration{2160 * time.Millisecond, 2380 * time.Millisecond} {
			t.Errorf("%d frames, the last at %v", count, last)
		}
	})
}

// A slow sink shows as lateness, and is not waited for twice.
func TestPublishLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeSink{slow: 50 * time.Millisecond}
		r, err := play(t, PublishConfig{Sources: []Source{tapeSource(framing.VP8, frame40, 11)}}, s)
		if err != nil {
			t.Fatal(err)
		}
		if late := r.Tracks[0].LatenessMs.Max; late < 149 || late > 151 {
			t.Errorf("the last frame is %v ms late, want 150", late)
		}
	})
}

func TestPublishFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, err := play(t, PublishConfig{Sources: []Source{tapeSource(framing.VP8, frame40, 25)}}, &fakeSink{failAt: 3})
		if !errors.Is(err, errFake) {
			t.Errorf("a write that fails: %v", err)
		}
		s := &fakeSink{done: make(chan struct{})}
		time.AfterFunc(100*time.Millisecond, func() { close(s.done) })
		_, err = play(t, PublishConfig{Sources: []Source{tapeSource(framing.VP8, frame40, 25)}}, s)
		if !errors.Is(err, errDisconnected) || !errors.Is(err, errFake) || len(s.got) != 3 {
			t.Errorf("a server that hangs up: %v after %d frames", err, len(s.got))
		}
	})
}

func TestPlaylistRefuses(t *testing.T) {
	empty := Source{Name: "empty", Open: func() (media.Reader, io.Closer, error) { return &tape{}, nil, nil }}
	gone := Source{Name: "gone", Open: func() (media.Reader, io.Closer, error) { return nil, nil, errFake }}
	video := tapeSource(framing.VP8, frame40, 25)
	for _, sources := range [][]Source{nil, {empty}, {gone}, {video, video}} {
		if _, err := newPlaylist(sources, false); err == nil {
			t.Errorf("%d sources were taken", len(sources))
		}
	}
}
