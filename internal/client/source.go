package client

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"trellis/edge/framing"
	"trellis/internal/media"
)

// Source is a track to publish.
type Source struct {
	// Name is for messages.
	Name string
	// Open begins reading. It is called again to begin anew; close may be nil.
	Open func() (r media.Reader, closer io.Closer, err error)
}

// FileSource reads a media file.
func FileSource(path string, opt media.Options) Source {
	return Source{Name: filepath.Base(path), Open: func() (media.Reader, io.Closer, error) {
		f, err := os.Open(path)
		if err != nil {
			return nil, nil, err
		}
		r, err := media.NewReader(f, opt)
		if err != nil {
			return nil, nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
		}
		return r, f, nil
	}}
}

// EndlessSource plays a reader that never ends, such as the clip's.
func EndlessSource(name string, r media.Reader) Source {
	return Source{Name: name, Open: func() (media.Reader, io.Closer, error) { return r, nil, nil }}
}

// playlist merges the frames of several sources in order of time.
type playlist struct {
	tracks []*playTrack
	loop   bool
	offset time.Duration // of this round
	end    time.Duration // of what was played so far
}

// playTrack is one source, read one frame ahead.
type playTrack struct {
	source Source
	info   media.Info
	desc   framing.Description // of the first frame

	r      media.Reader
	closer io.Closer
	head   media.Frame
	ended  bool
	step   time.Duration // between the last two frames
}

// newPlaylist opens the sources and reads their first frames.
func newPlaylist(sources []Source, loop bool) (*playlist, error) {
	p := &playlist{loop: loop}
	kinds := map[bool]string{}
	for _, s := range sources {
		t := &playTrack{source: s}
		p.tracks = append(p.tracks, t)
		if err := t.open(); err != nil {
			return nil, errors.Join(err, p.close())
		}
		t.info = t.r.Info()
		var err error
		if t.desc, err = framing.Describe(t.info.Codec, t.head.Data); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: first frame: %w", s.Name, err), p.close())
		}
		if other, taken := kinds[t.info.Codec.Audio()]; taken {
			return nil, errors.Join(fmt.Errorf("%s and %s: at most one video and one audio track", other, s.Name), p.close())
		}
		kinds[t.info.Codec.Audio()] = s.Name
	}
	if len(p.tracks) == 0 {
		return nil, errors.New("nothing to publish")
	}
	return p, nil
}

func (t *playTrack) open() error {
	r, closer, err := t.source.Open()
	if err != nil {
		return err
	}
	t.r, t.closer, t.ended = r, closer, false
	if err := t.advance(); err != nil {
		return err
	}
	if t.ended {
		return fmt.Errorf("%s: %w: no frames", t.source.Name, media.ErrFormat)
	}
	return nil
}

// advance reads the next frame.
func (t *playTrack) advance() error {
	last := t.head.PTS
	f, err := t.r.Next()
	switch {
	case errors.Is(err, io.EOF):
		t.ended = true
		return nil
	case err != nil:
		return fmt.Errorf("%s: %w", t.source.Name, err)
	}
	if t.step = f.PTS - last; f.Duration > 0 {
		t.step = f.Duration
	}
	t.head = f
	return nil
}

// next returns the frame that is due next, and the index of its track. The error
// is io.EOF when all have ended.
func (p *playlist) next() (int, media.Frame, error) {
	at := -1
	for i, t := range p.tracks {
		if !t.ended && (at < 0 || t.head.PTS < p.tracks[at].head.PTS) {
			at = i
		}
	}
	if at < 0 {
		if !p.loop {
			return 0, media.Frame{}, io.EOF
		}
		if err := p.restart(); err != nil {
			return 0, media.Frame{}, err
		}
		return p.next()
	}
	t := p.tracks[at]
	f := t.head
	if err := t.advance(); err != nil {
		return 0, media.Frame{}, err
	}
	f.PTS += p.offset
	p.end = max(p.end, f.PTS+max(t.step, 0))
	return at, f, nil
}

// restart begins the next round where the longest track of this one ended.
func (p *playlist) restart() error {
	if p.end == p.offset {
		return fmt.Errorf("%w: a loop without duration", media.ErrFormat)
	}
	p.offset = p.end
	if err := p.close(); err != nil {
		return err
	}
	for _, t := range p.tracks {
		if err := t.open(); err != nil {
			return err
		}
	}
	return nil
}

// close closes what is open.
func (p *playlist) close() error {
	var errs []error
	for _, t := range p.tracks {
		if t.closer != nil {
			errs = append(errs, t.closer.Close())
			t.closer = nil
		}
	}
	return errors.Join(errs...)
}
