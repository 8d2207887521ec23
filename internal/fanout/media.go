package fanout

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Load is what is published.
type Load struct {
	// Bitrate of the video in bit/s.
	Bitrate int `json:"bitrate_bps"`
	// Paced spreads the packets evenly: each is a frame of its own.
	Paced bool `json:"paced"`
	// GRO lets the kernel hand datagrams to viewers in batches, as it does to
	// browsers; Linux only. The sender is then charged for less of the way.
	GRO bool `json:"gro"`
}

// args are the arguments of LoadCommand, behind the URL.
func (l Load) args() []string {
	return []string{strconv.Itoa(l.Bitrate), strconv.FormatBool(l.Paced), strconv.FormatBool(l.GRO)}
}

// ParseLoad reads the arguments of LoadCommand, behind the URL.
func ParseLoad(args []string) (l Load, err error) {
	if len(args) != 3 {
		return l, fmt.Errorf("%s has %d arguments behind the URL, want 3", LoadCommand, len(args))
	}
	var errs [3]error
	l.Bitrate, errs[0] = strconv.Atoi(args[0])
	l.Paced, errs[1] = strconv.ParseBool(args[1])
	l.GRO, errs[2] = strconv.ParseBool(args[2])
	return l, errors.Join(errs[:]...)
}

const (
	frameRate = 30
	// pacedBytes is a frame that fits into one packet everywhere.
	pacedBytes = 1100
	gop        = 2 * time.Second
	audioEvery = 20 * time.Millisecond
	audioBytes = 120
)

// video returns the time between frames and their size.
func (l Load) video() (every time.Duration, size int) {
	if l.Paced {
		return time.Duration(pacedBytes) * 8 * time.Second / time.Duration(l.Bitrate), pacedBytes
	}
	return time.Second / frameRate, l.Bitrate / 8 / frameRate
}

// mark precedes the time at which a frame was due, in its first bytes.
var mark = []byte("\x9ddue\xc1\x5a\x07\xe3")

const stampBytes = 16

// videoFrame builds a VP8 frame that no decoder would enjoy, but whose header is
// right (RFC 6386, Section 9.1).
func videoFrame(buf []byte, key bool, due time.Time, size int) []byte {
	if key {
		buf = append(buf[:0], 0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01)
	} else {
		buf = append(buf[:0], 0x11, 0, 0)
	}
	buf = stamp(buf, due)
	for len(buf) < size {
		buf = append(buf, byte(len(buf)))
	}
	return buf
}

// audioFrame builds an Opus packet (RFC 6716, Section 3.1).
func audioFrame(buf []byte, due time.Time) []byte {
	buf = stamp(append(buf[:0], 0xfc), due)
	for len(buf) < audioBytes {
		buf = append(buf, byte(len(buf)))
	}
	return buf
}

func stamp(b []byte, due time.Time) []byte {
	return binary.BigEndian.AppendUint64(append(b, mark...), uint64(due.UnixMicro()))
}

// dueOf finds the time at which a frame was due in the payload of its first packet.
func dueOf(payload []byte) (time.Time, bool) {
	i := bytes.Index(payload[:min(len(payload), 64)], mark)
	if i < 0 || len(payload) < i+stampBytes {
		return time.Time{}, false
	}
	return time.UnixMicro(int64(binary.BigEndian.Uint64(payload[i+len(mark):]))), true
}
