// Package media reads and writes files of encoded media: IVF with VP8, VP9 or
// AV1, raw H.264 (Annex B), and Ogg with Opus. Frames have the bytes of the object
// model: H.264 access units with parameter sets before each key picture, AV1
// temporal units, whole VP8 and VP9 frames, single Opus packets.
//
// Readers check every length before they use it, and allocate no more than what
// is there. They are for one goroutine.
package media

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"trellis/edge/framing"
)

// ErrFormat is wrapped by every error about the content of a file.
var ErrFormat = errors.New("malformed media file")

// MaxFrameBytes is the size beyond which a frame is taken for damage.
const MaxFrameBytes = 16 << 20

// Info is what a file says about its track.
type Info struct {
	Codec framing.Codec
	// Width and Height in pixels, and FrameRate, of video; zero where unknown.
	Width, Height int
	FrameRate     float64
	// Channels of audio.
	Channels int
}

// Frame is one encoded frame or packet.
type Frame struct {
	// PTS is the time from the beginning of the file at which the frame is due.
	PTS time.Duration
	// Duration is how long it lasts; zero where the file does not say.
	Duration time.Duration
	Key      bool
	// Data belongs to the caller.
	Data []byte
}

// Reader reads the frames of one track, in order.
type Reader interface {
	Info() Info
	// Next returns the next frame. The error is io.EOF after the last.
	Next() (Frame, error)
}

// Writer writes the frames of one track.
type Writer interface {
	// Write adds a frame. PTS must not fall.
	Write(f Frame) error
	// Close writes what is outstanding. It does not close the file.
	Close() error
}

// Options say what a file may leave open.
type Options struct {
	// FrameRate of raw H.264. Zero: what the stream itself says.
	FrameRate float64
}

// NewReader recognises the format of r by its first bytes.
func NewReader(r io.Reader, opt Options) (Reader, error) {
	b := bufio.NewReaderSize(r, 64<<10)
	head, err := b.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read: %w", err)
	}
	switch {
	case bytes.Equal(head, []byte(ivfMagic)):
		return NewIVFReader(b)
	case bytes.Equal(head, []byte(oggMagic)):
		return NewOggReader(b)
	case bytes.HasPrefix(head, []byte{0, 0, 1}), bytes.Equal(head, []byte{0, 0, 0, 1}):
		return NewAnnexBReader(b, opt.FrameRate)
	case len(head) == 0:
		return nil, fmt.Errorf("%w: empty", ErrFormat)
	default:
		return nil, fmt.Errorf("%w: begins with %x; want IVF, Ogg Opus or H.264 Annex B", ErrFormat, head)
	}
}

// NewWriter returns the writer for info.Codec, which decides the format.
func NewWriter(w io.Writer, info Info) (Writer, error) {
	switch info.Codec {
	case framing.H264:
		return NewAnnexBWriter(w), nil
	case framing.Opus:
		return NewOggWriter(w, info.Channels)
	case framing.VP8, framing.VP9, framing.AV1:
		return NewIVFWriter(w, info)
	default:
		return nil, fmt.Errorf("%w: no file format for it", framing.ErrCodec)
	}
}

// Extension returns the usual file name extension for a codec, with its dot.
func Extension(c framing.Codec) string {
	switch c {
	case framing.H264:
		return ".h264"
	case framing.Opus:
		return ".ogg"
	case framing.VP8, framing.VP9, framing.AV1:
		return ".ivf"
	default:
		return ".bin"
	}
}

// readFull is io.ReadFull with an error that says what is cut short.
func readFull(r io.Reader, b []byte, what string) error {
	if _, err := io.ReadFull(r, b); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("%w: ends inside %s", ErrFormat, what)
		}
		return fmt.Errorf("read %s: %w", what, err)
	}
	return nil
}

// readBody reads n bytes in steps, so that a false length costs only what is there.
func readBody(r io.Reader, n int, what string) ([]byte, error) {
	const step = 1 << 20
	b := make([]byte, 0, min(n, step))
	for len(b) < n {
		at, more := len(b), min(n-len(b), step)
		b = append(b, make([]byte, more)...)
		if err := readFull(r, b[at:], what); err != nil {
			return nil, err
		}
	}
	return b, nil
}
