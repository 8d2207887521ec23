package framing

import (
	"errors"
	"fmt"
)

// DefaultMaxPayload keeps a packet within 1200 bytes of UDP payload: 12 of RTP
// header, 12 of header extensions and 16 of authentication tag around it.
const DefaultMaxPayload = 1160

// minPayload leaves room for the largest payload header and some content.
const minPayload = 64

// ErrFrame is wrapped by errors about the bytes of a frame.
var ErrFrame = errors.New("malformed frame")

// Packetizer splits frames into RTP payloads. Where the codec allows it, all
// payloads of a frame but the last have the same size, because UDP segmentation
// offload wants that.
type Packetizer interface {
	// Packetize appends the payloads of one whole frame to dst. The RTP marker
	// belongs on the last of them. key says that decoding can begin here. After an
	// error dst holds nothing of the frame.
	Packetize(frame []byte, key bool, dst *Payloads) error
}

// PacketizerConfig has the settings of a Packetizer.
type PacketizerConfig struct {
	// MaxPayload is the size of the largest payload. Zero means DefaultMaxPayload.
	MaxPayload int
}

// NewPacketizer returns a Packetizer for c.
func NewPacketizer(c Codec, cfg PacketizerConfig) (Packetizer, error) {
	if cfg.MaxPayload == 0 {
		cfg.MaxPayload = DefaultMaxPayload
	}
	if cfg.MaxPayload < minPayload {
		return nil, fmt.Errorf("packetizer: payload of %d bytes, at least %d", cfg.MaxPayload, minPayload)
	}
	switch c {
	case Opus:
		return opusPacketizer{}, nil
	case VP8:
		return &vp8Packetizer{max: cfg.MaxPayload}, nil
	case VP9:
		return &vp9Packetizer{max: cfg.MaxPayload}, nil
	case H264:
		return &h264Packetizer{max: cfg.MaxPayload}, nil
	case AV1:
		return &av1Packetizer{max: cfg.MaxPayload}, nil
	default:
		return nil, codecError(c)
	}
}

func codecError(c Codec) error { return fmt.Errorf("%w: %s", ErrCodec, c) }

// Payloads is a run of RTP payloads in one piece of memory. The zero value is
// empty and ready; Reset makes it so again, and keeps the memory.
type Payloads struct {
	buf  []byte
	ends []int
}

// Reset empties p. Slices returned by At are overwritten by what is added next.
func (p *Payloads) Reset() { p.buf, p.ends = p.buf[:0], p.ends[:0] }

// Len returns the number of payloads.
func (p *Payloads) Len() int { return len(p.ends) }

// Bytes returns the sum of the sizes of all payloads.
func (p *Payloads) Bytes() int { return len(p.buf) }

// At returns payload i. It aliases p and is valid until Reset.
func (p *Payloads) At(i int) []byte {
	start := 0
	if i > 0 {
		start = p.ends[i-1]
	}
	return p.buf[start:p.ends[i]:p.ends[i]]
}

// begin makes room for n bytes, so that a frame costs at most one growth.
func (p *Payloads) begin(n int) {
	if free := cap(p.buf) - len(p.buf); free < n {
		p.buf = append(make([]byte, 0, len(p.buf)+n), p.buf...)
	}
}

// end closes the payload that was being written to buf.
func (p *Payloads) end() { p.ends = append(p.ends, len(p.buf)) }

// truncate drops everything from payload n on.
func (p *Payloads) truncate(n int) {
	p.ends = p.ends[:n]
	if n == 0 {
		p.buf = p.buf[:0]
		return
	}
	p.buf = p.buf[:p.ends[n-1]]
}

// split returns the size of the pieces into which size bytes are best cut, each
// at most limit: as few pieces as possible, all equal but the last.
func split(size, limit int) int {
	n := (size + limit - 1) / limit
	if n <= 1 {
		return max(size, 1)
	}
	return (size + n - 1) / n
}
