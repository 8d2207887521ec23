package client

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"trellis/edge/framing"
	"trellis/internal/media"
)

// files writes received tracks, one file for each kind and codec. Video begins
// with its first key frame.
type files struct {
	dir  string
	open []*outputFile
}

type outputFile struct {
	path  string
	codec framing.Codec
	first int64 // PTS
	last  time.Duration
	f     *os.File
	buf   *bufio.Writer
	w     media.Writer
}

func newFiles(dir string) *files { return &files{dir: dir} }

func (o *files) write(r received) error {
	if o.dir == "" {
		return nil
	}
	out := o.find(r.codec)
	if out == nil {
		if !r.key {
			return nil
		}
		var err error
		if out, err = o.create(r); err != nil {
			return err
		}
	}
	f := media.Frame{PTS: time.Duration(r.pts-out.first) * time.Microsecond, Key: r.key, Data: r.data}
	if f.PTS < out.last { // a frame of before, or a new timeline: formats want rising times
		f.PTS = out.last
	}
	out.last = f.PTS
	return out.w.Write(f)
}

func (o *files) find(c framing.Codec) *outputFile {
	for _, out := range o.open {
		if out.codec == c {
			return out
		}
	}
	return nil
}

func (o *files) create(r received) (*outputFile, error) {
	d, err := framing.Describe(r.codec, r.data)
	if err != nil {
		return nil, fmt.Errorf("describe the first frame: %w", err)
	}
	out := &outputFile{
		path:  filepath.Join(o.dir, kindOf(r.codec.Audio())+"-"+r.codec.String()+media.Extension(r.codec)),
		codec: r.codec, first: r.pts,
	}
	if out.f, err = os.Create(out.path); err != nil {
		return nil, err
	}
	out.buf = bufio.NewWriter(out.f)
	info := media.Info{Codec: r.codec, Width: d.Width, Height: d.Height, Channels: d.Channels}
	if out.w, err = media.NewWriter(out.buf, info); err != nil {
		return nil, errors.Join(err, out.f.Close())
	}
	o.open = append(o.open, out)
	return out, nil
}

// names returns the paths of the files.
func (o *files) names() []string {
	names := make([]string, 0, len(o.open))
	for _, out := range o.open {
		names = append(names, out.path)
	}
	return names
}

// close completes all files.
func (o *files) close() error {
	errs := make([]error, 0, 3*len(o.open))
	for _, out := range o.open {
		errs = append(errs, out.w.Close(), out.buf.Flush(), out.f.Close())
	}
	return errors.Join(errs...)
}
