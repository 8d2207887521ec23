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

// NAL unit types of ITU-T H.264, Table 7-1.
const (
	nalIDR    = 5
	nalSPS    = 7
	nalPPS    = 8
	nalAUD    = 9
	nalPrefix = 14
	nalSlices = 5 // types 1 to 5 are picture data
)

const startCode = "\x00\x00\x00\x01"

// maxFrameRate bounds what a stream may claim.
const maxFrameRate = 1000

// AnnexBReader splits a raw H.264 stream into access units (ITU-T H.264, Annex B
// and Section 7.4.1.2). Streams with B pictures are refused, for their pictures are
// not in order of time. Parameter sets that the stream gives only once are repeated
// before every key picture.
type AnnexBReader struct {
	nals *bufio.Scanner
	info Info

	sps, pps []byte
	next     []byte // the NAL unit that begins the next access unit
	first    []byte // the first access unit, read for its parameters
	frames   int64
	ended    bool
}

// NewAnnexBReader reads the first access unit. A frame rate of zero means what
// the stream's timing information says; there may be none.
func NewAnnexBReader(r io.Reader, frameRate float64) (*AnnexBReader, error) {
	a := &AnnexBReader{nals: bufio.NewScanner(r)}
	a.nals.Buffer(make([]byte, 0, 64<<10), MaxFrameBytes)
	a.nals.Split(splitNAL)
	first, err := a.unit()
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: no picture in H.264 stream", ErrFormat)
	}
	if err != nil {
		return nil, err
	}
	d, err := framing.Describe(framing.H264, first)
	if err != nil {
		return nil, fmt.Errorf("first access unit: %w", err)
	}
	if frameRate == 0 {
		frameRate = d.FrameRate
	}
	if !(frameRate > 0 && frameRate <= maxFrameRate) {
		return nil, fmt.Errorf("%w: frame rate %v of H.264 stream; give the frame rate", ErrFormat, frameRate)
	}
	a.first = first
	a.info = Info{Codec: framing.H264, Width: d.Width, Height: d.Height, FrameRate: frameRate}
	return a, nil
}

// splitNAL is a bufio.SplitFunc: tokens are NAL units without start codes.
func splitNAL(data []byte, atEOF bool) (advance int, token []byte, err error) {
	code := []byte(startCode[1:])
	start := bytes.Index(data, code)
	if start < 0 {
		if atEOF {
			return len(data), nil, nil
		}
		return max(0, len(data)-len(code)+1), nil, nil // all but a code's beginning
	}
	body := data[start+len(code):]
	end := bytes.Index(body, code)
	if end < 0 {
		if !atEOF {
			return start, nil, nil
		}
		end = len(body)
	}
	nal := bytes.TrimRight(body[:end], "\x00")
	return start + len(code) + end, nal, nil
}

// Info returns what the first access unit says.
func (a *AnnexBReader) Info() Info { return a.info }

// Next returns the next access unit.
func (a *AnnexBReader) Next() (Frame, error) {
	unit := a.first
	a.first = nil
	if unit == nil {
		var err error
		if unit, err = a.unit(); err != nil {
			return Frame{}, err
		}
	}
	f := Frame{PTS: a.at(a.frames), Key: framing.IsKey(framing.H264, unit), Data: unit}
	a.frames++
	f.Duration = a.at(a.frames) - f.PTS
	return f, nil
}

// at returns when frame n is due, without adding up rounding errors.
func (a *AnnexBReader) at(n int64) time.Duration {
	return time.Duration(float64(n) / a.info.FrameRate * float64(time.Second))
}

// unit reads one access unit, with long start codes.
func (a *AnnexBReader) unit() ([]byte, error) {
	var unit []byte
	var pictures, sps, pps bool
	for {
		nal, err := a.nal()
		if errors.Is(err, io.EOF) && pictures {
			return unit, nil
		}
		if err != nil {
			return nil, err
		}
		kind := nal[0] & 0x1f
		slice := kind >= 1 && kind <= nalSlices
		// Section 7.4.1.2.3: these begin an access unit when they follow picture data; of
		// slices, the one of the first macroblock.
		begins := kind > nalSlices && kind <= nalAUD || kind >= nalPrefix && kind <= 18 || slice && len(nal) > 1 && nal[1]&0x80 != 0
		if pictures && begins {
			a.next = nal
			return unit, nil
		}
		switch {
		case kind == nalSPS:
			a.sps, sps = nal, true
		case kind == nalPPS:
			a.pps, pps = nal, true
		case slice && !pictures && isB(nal):
			return nil, fmt.Errorf("%w: access unit %d has B slices, which cannot be sent in real time; encode without them", ErrFormat, a.frames)
		case kind == nalIDR && !pictures && (!sps || !pps):
			unit = a.complete(unit, sps, pps)
		}
		pictures = pictures || slice
		if len(unit)+len(nal) > MaxFrameBytes {
			return nil, fmt.Errorf("%w: access unit %d beyond %d bytes", ErrFormat, a.frames, MaxFrameBytes)
		}
		unit = append(append(unit, startCode...), nal...)
	}
}

// complete puts the missing parameter sets into an access unit: behind its
// delimiter, before everything else.
func (a *AnnexBReader) complete(unit []byte, sps, pps bool) []byte {
	var sets []byte
	if !sps && a.sps != nil {
		sets = append(append(sets, startCode...), a.sps...)
	}
	if !pps && a.pps != nil {
		sets = append(append(sets, startCode...), a.pps...)
	}
	at := 0
	if len(unit) > len(startCode) && unit[len(startCode)]&0x1f == nalAUD {
		if at = bytes.Index(unit[1:], []byte(startCode)) + 1; at == 0 {
			at = len(unit)
		}
	}
	return append(append(unit[:at:at], sets...), unit[at:]...)
}

// isB reports whether the first slice of a picture is of type 1 or 6 (Table 7-6).
// After the bit of first_mb_in_slice 0, those are the Exp-Golomb codes 010 and 00111.
func isB(nal []byte) bool {
	return nal[0]&0x1f != nalIDR && len(nal) > 1 && (nal[1]&0xf0 == 0xa0 || nal[1]&0xfc == 0x9c)
}

// nal returns the next NAL unit.
func (a *AnnexBReader) nal() ([]byte, error) {
	if nal := a.next; nal != nil {
		a.next = nil
		return nal, nil
	}
	for !a.ended && a.nals.Scan() {
		if b := a.nals.Bytes(); len(b) > 0 {
			return bytes.Clone(b), nil
		}
	}
	a.ended = true
	switch err := a.nals.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, fmt.Errorf("%w: NAL unit beyond %d bytes in access unit %d", ErrFormat, MaxFrameBytes, a.frames)
	case err != nil:
		return nil, fmt.Errorf("read H.264 stream: %w", err)
	}
	return nil, io.EOF
}

// AnnexBWriter writes access units one after another: the format knows no times.
type AnnexBWriter struct{ w io.Writer }

// NewAnnexBWriter returns a writer of a raw H.264 stream.
func NewAnnexBWriter(w io.Writer) *AnnexBWriter { return &AnnexBWriter{w: w} }

// Write adds an access unit with start codes.
func (a *AnnexBWriter) Write(f Frame) error {
	if _, err := a.w.Write(f.Data); err != nil {
		return fmt.Errorf("write H.264 access unit: %w", err)
	}
	return nil
}

// Close does nothing: every unit is written when it comes.
func (a *AnnexBWriter) Close() error { return nil }
