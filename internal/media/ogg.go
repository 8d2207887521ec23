package media

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A page of RFC 3533, Section 6, numbers in little endian:
//
//	"OggS" | version 8 | flags 8 | granule position 64 | serial 32 | sequence 32 | CRC 32 | segments 8 | lacing values | data
const (
	oggMagic       = "OggS"
	oggHeaderBytes = 27
	maxSegments    = 255
)

// Flags of a page.
const (
	oggContinued = 1
	oggFirst     = 2
	oggLast      = 4
)

// oggPage is one page: its segments put together to packets.
type oggPage struct {
	flags    byte
	granule  uint64
	serial   uint32
	sequence uint32
	// packets are the pieces that end in this page, and tail one that does not.
	packets [][]byte
	tail    []byte
}

// readPage reads a page. The error is io.EOF at the end of the file.
func readPage(r io.Reader) (oggPage, error) {
	var h [oggHeaderBytes + maxSegments]byte
	var p oggPage
	if n, err := io.ReadFull(r, h[:oggHeaderBytes]); err != nil {
		switch {
		case n == 0 && errors.Is(err, io.EOF):
			return p, io.EOF
		case errors.Is(err, io.ErrUnexpectedEOF):
			return p, fmt.Errorf("%w: ends inside an Ogg page header", ErrFormat)
		}
		return p, fmt.Errorf("read Ogg page: %w", err)
	}
	if string(h[:4]) != oggMagic || h[4] != 0 {
		return p, fmt.Errorf("%w: no Ogg page where one should begin", ErrFormat)
	}
	p.flags = h[5]
	p.granule = binary.LittleEndian.Uint64(h[6:])
	p.serial = binary.LittleEndian.Uint32(h[14:])
	p.sequence = binary.LittleEndian.Uint32(h[18:])
	lacing := h[oggHeaderBytes : oggHeaderBytes+int(h[26])]
	if err := readFull(r, lacing, "an Ogg page header"); err != nil {
		return p, err
	}
	size := 0
	for _, l := range lacing {
		size += int(l)
	}
	data := make([]byte, size)
	if err := readFull(r, data, "an Ogg page"); err != nil {
		return p, err
	}
	crc := binary.LittleEndian.Uint32(h[22:])
	clear(h[22:26])
	if got := oggCRC(oggCRC(0, h[:oggHeaderBytes+len(lacing)]), data); got != crc {
		return p, fmt.Errorf("%w: checksum of Ogg page %d is %08x, want %08x", ErrFormat, p.sequence, got, crc)
	}
	// RFC 3533, Section 5: a packet ends with a lacing value below 255.
	from, at := 0, 0
	for _, l := range lacing {
		at += int(l)
		if l < 255 {
			p.packets = append(p.packets, data[from:at:at])
			from = at
		}
	}
	p.tail = data[from:]
	return p, nil
}

// append writes a page with whole packets only.
func (p oggPage) append(b []byte) ([]byte, error) {
	at := len(b)
	b = append(b, oggMagic...)
	b = append(b, 0, p.flags)
	b = binary.LittleEndian.AppendUint64(b, p.granule)
	b = binary.LittleEndian.AppendUint32(b, p.serial)
	b = binary.LittleEndian.AppendUint32(b, p.sequence)
	b = append(b, 0, 0, 0, 0, 0) // checksum and number of segments, below
	segments := 0
	for _, packet := range p.packets {
		n := len(packet)
		for ; n >= 255; n -= 255 {
			b = append(b, 255)
			segments++
		}
		b = append(b, byte(n))
		segments++
	}
	if segments > maxSegments {
		return nil, fmt.Errorf("%w: packets do not fit an Ogg page", ErrFormat)
	}
	b[at+26] = byte(segments)
	for _, packet := range p.packets {
		b = append(b, packet...)
	}
	binary.LittleEndian.PutUint32(b[at+22:], oggCRC(0, b[at:]))
	return b, nil
}

// oggCRC continues the checksum of RFC 3533, Section 6: polynomial 0x04c11db7,
// most significant bit first, neither inverted at the beginning nor at the end.
func oggCRC(crc uint32, b []byte) uint32 {
	for _, c := range b {
		crc ^= uint32(c) << 24
		for range 8 {
			if crc&(1<<31) != 0 {
				crc = crc<<1 ^ 0x04c11db7
			} else {
				crc <<= 1
			}
		}
	}
	return crc
}
