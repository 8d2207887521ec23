package media

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"trellis/edge/framing"
)

// opusRate is the granule rate of Opus, whatever the input was (RFC 7845, Section 4).
const opusRate = 48_000

// OpusDuration returns how long an Opus packet lasts (RFC 6716, Sections 3.1 and
// 3.2), and whether it can be one.
func OpusDuration(packet []byte) (time.Duration, bool) {
	if len(packet) == 0 {
		return 0, false
	}
	var frame time.Duration
	switch config := packet[0] >> 3; {
	case config < 12: // SILK: 10, 20, 40, 60 ms
		frame = []time.Duration{10 * time.Millisecond, 20 * time.Millisecond, 40 * time.Millisecond, 60 * time.Millisecond}[config&3]
	case config < 16: // hybrid: 10, 20 ms
		frame = 10 * time.Millisecond << (config & 1)
	default: // CELT: 2.5, 5, 10, 20 ms
		frame = 2500 * time.Microsecond << (config & 3)
	}
	count := 1
	switch packet[0] & 3 {
	case 1, 2:
		count = 2
	case 3:
		if len(packet) < 2 {
			return 0, false
		}
		count = int(packet[1] & 0x3f)
	}
	d := frame * time.Duration(count)
	return d, d > 0 && d <= 120*time.Millisecond
}

// OggReader reads Opus from an Ogg file (RFC 7845): the first Opus stream in it.
// Times count from its first packet; the samples to skip at the beginning are not
// taken off, for live players do not skip them.
type OggReader struct {
	r      io.Reader
	info   Info
	serial uint32

	ready   [][]byte // packets read and not returned
	partial []byte   // a packet that goes on in the next page
	at      time.Duration
	packets int
	ended   bool
}

const (
	opusHead = "OpusHead"
	opusTags = "OpusTags"
	// maxOpusBytes is RFC 6716's bound of 48 frames of 1275 bytes, with their lengths.
	maxOpusBytes = 61_440
)

// NewOggReader reads the headers.
func NewOggReader(r io.Reader) (*OggReader, error) {
	o := &OggReader{r: r}
	head, err := o.findHead()
	if err != nil {
		return nil, err
	}
	// RFC 7845, Section 5.1: magic, version, channels, pre-skip 16, rate 32, gain 16, mapping family.
	switch {
	case len(head) < 19 || head[8]&0xf0 != 0:
		return nil, fmt.Errorf("%w: Opus header of %d bytes", ErrFormat, len(head))
	case head[18] != 0 || head[9] < 1 || head[9] > 2:
		return nil, fmt.Errorf("%w: Opus with %d channels in mapping family %d; want mono or stereo", framing.ErrCodec, head[9], head[18])
	}
	o.info = Info{Codec: framing.Opus, Channels: int(head[9])}
	tags, err := o.packet()
	if err != nil {
		return nil, fmt.Errorf("opus comment header: %w", err)
	}
	if !bytes.HasPrefix(tags, []byte(opusTags)) {
		return nil, fmt.Errorf("%w: no Opus comment header", ErrFormat)
	}
	return o, nil
}

// findHead looks for the Opus stream among those that begin at the front of the file.
func (o *OggReader) findHead() ([]byte, error) {
	const maxStreams = 64
	for range maxStreams {
		p, err := readPage(o.r)
		if err != nil {
			return nil, fmt.Errorf("look for an Opus stream: %w", err)
		}
		if p.flags&oggFirst == 0 {
			break
		}
		if len(p.packets) == 1 && bytes.HasPrefix(p.packets[0], []byte(opusHead)) {
			o.serial = p.serial
			return p.packets[0], nil
		}
	}
	return nil, fmt.Errorf("%w: no Opus stream in the Ogg file", ErrFormat)
}

// Info returns what the header says.
func (o *OggReader) Info() Info { return o.info }

// Next returns the next packet.
func (o *OggReader) Next() (Frame, error) {
	b, err := o.packet()
	if err != nil {
		return Frame{}, err
	}
	d, ok := OpusDuration(b)
	if !ok {
		return Frame{}, fmt.Errorf("%w: Opus packet %d", ErrFormat, o.packets)
	}
	f := Frame{PTS: o.at, Duration: d, Key: true, Data: b}
	o.at += d
	o.packets++
	return f, nil
}

// packet returns the next packet of the stream, put together from its pages.
func (o *OggReader) packet() ([]byte, error) {
	for len(o.ready) == 0 {
		if o.ended {
			return nil, io.EOF
		}
		p, err := readPage(o.r)
		if err != nil {
			return nil, err
		}
		if p.serial != o.serial {
			continue
		}
		o.ended = p.flags&oggLast != 0
		if (p.flags&oggContinued != 0) != (o.partial != nil) {
			return nil, fmt.Errorf("%w: Ogg page %d does not go on where the one before it ended", ErrFormat, p.sequence)
		}
		if len(o.partial)+len(p.tail) > maxOpusBytes {
			return nil, fmt.Errorf("%w: Opus packet %d beyond %d bytes", ErrFormat, o.packets, maxOpusBytes)
		}
		if len(p.packets) == 0 {
			o.partial = append(o.partial, p.tail...)
			continue
		}
		p.packets[0] = append(o.partial, p.packets[0]...)
		o.partial = nil
		if len(p.tail) > 0 {
			o.partial = p.tail
		}
		o.ready = p.packets
	}
	b := o.ready[0]
	o.ready = o.ready[1:]
	return b, nil
}

// OggWriter writes Opus into an Ogg file (RFC 7845). Pages hold up to a second;
// a gap in time is written as it is: granule positions tell it.
type OggWriter struct {
	w        io.Writer
	page     oggPage
	segments int
	granule  uint64 // end of the last packet, in samples
	begun    bool
	origin   time.Duration // PTS of the first packet
	failed   error
}

// oggSerial is the stream's number in the file; it needs to differ from others in
// the same file only.
const oggSerial = 1

// NewOggWriter writes the headers.
func NewOggWriter(w io.Writer, channels int) (*OggWriter, error) {
	if channels == 0 {
		channels = 2
	}
	if channels < 1 || channels > 2 {
		return nil, fmt.Errorf("%w: Opus with %d channels", framing.ErrCodec, channels)
	}
	o := &OggWriter{w: w, page: oggPage{serial: oggSerial, flags: oggFirst}}
	head := append([]byte(opusHead), 1, byte(channels), 0, 0)
	head = binary.LittleEndian.AppendUint32(head, opusRate)
	head = append(head, 0, 0, 0)
	const vendor = "trellis"
	tags := binary.LittleEndian.AppendUint32([]byte(opusTags), uint32(len(vendor)))
	tags = append(tags, vendor...)
	tags = binary.LittleEndian.AppendUint32(tags, 0)
	// RFC 7845, Section 3: each header has a page of its own.
	for _, h := range [][]byte{head, tags} {
		o.page.packets = [][]byte{h}
		o.flush()
	}
	return o, o.failed
}

// Write adds a packet.
func (o *OggWriter) Write(f Frame) error {
	d, ok := OpusDuration(f.Data)
	if !ok || len(f.Data) > maxOpusBytes {
		return fmt.Errorf("%w: Opus packet of %d bytes", ErrFormat, len(f.Data))
	}
	if !o.begun {
		o.begun, o.origin = true, f.PTS
	}
	segments := len(f.Data)/255 + 1
	if start := samples(f.PTS - o.origin); start > o.granule+samples(d) {
		o.flush() // a gap: the page before it ends where its packets do
		o.granule = start
	}
	if o.segments+segments > maxSegments || len(o.page.packets) >= 50 {
		o.flush()
	}
	o.page.packets = append(o.page.packets, bytes.Clone(f.Data))
	o.segments += segments
	o.granule += samples(d)
	return o.failed
}

func samples(d time.Duration) uint64 {
	return uint64(max(d, 0).Microseconds()) * opusRate / 1_000_000
}

// flush writes the page, if it has packets or is the last.
func (o *OggWriter) flush() {
	if len(o.page.packets) == 0 && o.page.flags&oggLast == 0 || o.failed != nil {
		return
	}
	o.page.granule = o.granule
	b, err := o.page.append(nil)
	if err == nil {
		_, err = o.w.Write(b)
	}
	if err != nil {
		o.failed = fmt.Errorf("write Ogg page: %w", err)
	}
	o.page.sequence++
	o.page.flags, o.page.packets, o.segments = 0, nil, 0
}

// Close writes the last page, which may be empty, and says that it is the last.
func (o *OggWriter) Close() error {
	o.page.flags |= oggLast
	o.flush()
	return o.failed
}
