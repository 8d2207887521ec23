// Package clip holds a short film with picture and sound, made for this project
// and encoded ahead of time (tools/clip draws it), and plays it for ever. It is
// what the demonstration publishes when nobody has a camera at hand.
//
// The picture has 640x360 pixels at 30 frames per second, a key frame every two
// seconds, no B pictures, a frame counter and a clock; at each full second a tick
// is heard while a mark of the clock flashes.
package clip

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"trellis/edge/framing"
	"trellis/internal/media"
)

// Duration is the length of the clip, after which it begins again.
const Duration = 8 * time.Second

//go:embed media/clip.h264 media/clip.ivf media/clip.ogg
var files embed.FS

// warmup is how many packets of sound come before the loop: the end of the loop,
// from which the encoder came into the state that it has at the seam.
const warmup = 25

// Load returns the track of the clip in a codec: H264, VP8 or Opus.
func Load(c framing.Codec) (*Loop, error) {
	name, ok := map[framing.Codec]string{
		framing.H264: "clip.h264", framing.VP8: "clip.ivf", framing.Opus: "clip.ogg",
	}[c]
	if !ok {
		return nil, fmt.Errorf("%w: the clip has no %s", framing.ErrCodec, c)
	}
	b, err := files.ReadFile("media/" + name)
	if err != nil {
		return nil, fmt.Errorf("clip: %w", err)
	}
	r, err := media.NewReader(bytes.NewReader(b), media.Options{})
	if err != nil {
		return nil, fmt.Errorf("clip %s: %w", c, err)
	}
	l := &Loop{info: r.Info()}
	for {
		f, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("clip %s: %w", c, err)
		}
		l.frames = append(l.frames, f)
	}
	if c.Audio() {
		l.frames = l.frames[min(warmup, len(l.frames)):]
	}
	// What is due at the end of the loop or later is the beginning of the next round.
	begin := l.frames[0].PTS
	l.frames = slices.DeleteFunc(l.frames, func(f media.Frame) bool { return f.PTS-begin >= Duration })
	for i := range l.frames {
		l.frames[i].PTS -= begin
	}
	return l, nil
}

// Loop plays one track of the clip without end: times go on rising. It is a
// media.Reader, for one goroutine.
type Loop struct {
	info   media.Info
	frames []media.Frame
	next   int
	round  time.Duration
}

// Info returns what the track is like.
func (l *Loop) Info() media.Info { return l.info }

// Next returns the next frame and never an error. The data is shared by all
// rounds: it must not be changed.
func (l *Loop) Next() (media.Frame, error) {
	f := l.frames[l.next]
	f.PTS += l.round
	if l.next++; l.next == len(l.frames) {
		l.next = 0
		l.round += Duration
	}
	return f, nil
}
