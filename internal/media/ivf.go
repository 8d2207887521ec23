package media

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"time"

	"trellis/edge/framing"
)

// An IVF file, all numbers in little endian:
//
//	"DKIF" | version 16 | header size 16 | FourCC | width 16 | height 16 | rate 32 | scale 32 | frames 32 | unused 32
//	per frame: size 32 | PTS 64, in units of scale/rate seconds | bytes
const (
	ivfMagic       = "DKIF"
	ivfHeaderBytes = 32
	ivfFrameBytes  = 12
)

// ivfRate is the rate that we write: microseconds.
const ivfRate = 1_000_000

// IVFReader reads an IVF file.
type IVFReader struct {
	r           io.Reader
	info        Info
	rate, scale uint32
	first       uint64 // PTS of the first frame, which is taken as the beginning
	last        uint64
	frames      int
}

// NewIVFReader reads the header.
func NewIVFReader(r io.Reader) (*IVFReader, error) {
	var h [ivfHeaderBytes]byte
	if err := readFull(r, h[:], "the IVF header"); err != nil {
		return nil, err
	}
	v := &IVFReader{r: r, rate: binary.LittleEndian.Uint32(h[16:]), scale: binary.LittleEndian.Uint32(h[20:])}
	v.info.Width = int(binary.LittleEndian.Uint16(h[12:]))
	v.info.Height = int(binary.LittleEndian.Uint16(h[14:]))
	size := binary.LittleEndian.Uint16(h[6:])
	switch {
	case string(h[:4]) != ivfMagic:
		return nil, fmt.Errorf("%w: not IVF", ErrFormat)
	case size < ivfHeaderBytes:
		return nil, fmt.Errorf("%w: IVF header of %d bytes", ErrFormat, size)
	case v.rate == 0 || v.scale == 0:
		return nil, fmt.Errorf("%w: IVF time base %d/%d", ErrFormat, v.scale, v.rate)
	}
	switch fourCC := string(h[8:12]); fourCC {
	case "VP80":
		v.info.Codec = framing.VP8
	case "VP90":
		v.info.Codec = framing.VP9
	case "AV01":
		v.info.Codec = framing.AV1
	default:
		return nil, fmt.Errorf("%w: IVF with %q; want VP80, VP90 or AV01", framing.ErrCodec, fourCC)
	}
	// The time base is the frame rate in files of most encoders. Finer ones say nothing.
	if fps := float64(v.rate) / float64(v.scale); fps <= 240 {
		v.info.FrameRate = fps
	}
	if _, err := readBody(r, int(size)-ivfHeaderBytes, "the IVF header"); err != nil {
		return nil, err
	}
	return v, nil
}

// Info returns what the header says.
func (v *IVFReader) Info() Info { return v.info }

// Next returns the next frame.
func (v *IVFReader) Next() (Frame, error) {
	var h [ivfFrameBytes]byte
	if n, err := io.ReadFull(v.r, h[:]); err != nil {
		switch {
		case n == 0 && errors.Is(err, io.EOF):
			return Frame{}, io.EOF
		case errors.Is(err, io.ErrUnexpectedEOF):
			return Frame{}, fmt.Errorf("%w: ends inside the header of frame %d", ErrFormat, v.frames)
		}
		return Frame{}, fmt.Errorf("read frame %d: %w", v.frames, err)
	}
	size, pts := binary.LittleEndian.Uint32(h[:]), binary.LittleEndian.Uint64(h[4:])
	if v.frames == 0 {
		v.first, v.last = pts, pts
	}
	switch {
	case size == 0 || size > MaxFrameBytes:
		return Frame{}, fmt.Errorf("%w: frame %d of %d bytes", ErrFormat, v.frames, size)
	case pts < v.last:
		return Frame{}, fmt.Errorf("%w: time of frame %d falls from %d to %d", ErrFormat, v.frames, v.last, pts)
	}
	at, ok := scaleTime(pts-v.first, v.scale, v.rate)
	if !ok {
		return Frame{}, fmt.Errorf("%w: time of frame %d is %d", ErrFormat, v.frames, pts)
	}
	data, err := readBody(v.r, int(size), fmt.Sprintf("frame %d", v.frames))
	if err != nil {
		return Frame{}, err
	}
	v.last = pts
	v.frames++
	return Frame{PTS: at, Key: framing.IsKey(v.info.Codec, data), Data: data}, nil
}

// scaleTime returns ticks of scale/rate seconds, if that is a time at all.
func scaleTime(ticks uint64, scale, rate uint32) (time.Duration, bool) {
	hi, lo := bits.Mul64(ticks, uint64(scale)*uint64(time.Second))
	if hi >= uint64(rate) {
		return 0, false
	}
	q, _ := bits.Div64(hi, lo, uint64(rate))
	return time.Duration(q), q <= math.MaxInt64
}

// IVFWriter writes an IVF file with times in microseconds. The number of frames
// in the header stays zero, which readers take as unknown: the output need not be
// able to seek.
type IVFWriter struct{ w io.Writer }

// NewIVFWriter writes the header.
func NewIVFWriter(w io.Writer, info Info) (*IVFWriter, error) {
	fourCC := map[framing.Codec]string{framing.VP8: "VP80", framing.VP9: "VP90", framing.AV1: "AV01"}[info.Codec]
	if fourCC == "" {
		return nil, fmt.Errorf("%w: %s in IVF", framing.ErrCodec, info.Codec)
	}
	if info.Width < 0 || info.Height < 0 || info.Width > math.MaxUint16 || info.Height > math.MaxUint16 {
		return nil, fmt.Errorf("%w: a picture of %dx%d does not fit IVF", ErrFormat, info.Width, info.Height)
	}
	h := append(make([]byte, 0, ivfHeaderBytes), ivfMagic...)
	h = binary.LittleEndian.AppendUint16(h, 0)
	h = binary.LittleEndian.AppendUint16(h, ivfHeaderBytes)
	h = append(h, fourCC...)
	h = binary.LittleEndian.AppendUint16(h, uint16(info.Width))
	h = binary.LittleEndian.AppendUint16(h, uint16(info.Height))
	h = binary.LittleEndian.AppendUint32(h, ivfRate)
	h = binary.LittleEndian.AppendUint32(h, 1)
	h = append(h, make([]byte, 8)...)
	if _, err := w.Write(h); err != nil {
		return nil, fmt.Errorf("write IVF header: %w", err)
	}
	return &IVFWriter{w: w}, nil
}

// Write adds a frame.
func (v *IVFWriter) Write(f Frame) error {
	if len(f.Data) == 0 || len(f.Data) > MaxFrameBytes || f.PTS < 0 {
		return fmt.Errorf("%w: frame of %d bytes at %v", ErrFormat, len(f.Data), f.PTS)
	}
	h := binary.LittleEndian.AppendUint32(make([]byte, 0, ivfFrameBytes), uint32(len(f.Data)))
	h = binary.LittleEndian.AppendUint64(h, uint64(f.PTS/time.Microsecond))
	if _, err := v.w.Write(h); err != nil {
		return fmt.Errorf("write IVF frame: %w", err)
	}
	if _, err := v.w.Write(f.Data); err != nil {
		return fmt.Errorf("write IVF frame: %w", err)
	}
	return nil
}

// Close does nothing: every frame is written when it comes.
func (v *IVFWriter) Close() error { return nil }
