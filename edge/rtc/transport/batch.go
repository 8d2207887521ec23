package transport

import (
	"errors"
	"fmt"
	"log/slog"

	"trellis/internal/udp"
)

const (
	// maxSegments is what every kernel with UDP_SEGMENT takes in one call.
	maxSegments = 64
	// maxBatch is the largest payload of one call: what fits an IP packet.
	maxBatch = 65_000
)

// Batch collects protected packets of one viewer and sends them in one call. It
// belongs to one goroutine. Make it with Port.NewBatch.
type Batch struct {
	port *Port
	send *udp.Sender // nil where the socket is not one of the host's

	buf   []byte
	iv    nonce
	conn  *Conn
	size  int  // of all packets but the last
	n     int  // packets
	ended bool // the last one was shorter: nothing can follow it

	calls, packets uint64
}

// NewBatch returns an empty batch.
func (p *Port) NewBatch() *Batch {
	b := &Batch{port: p, buf: make([]byte, 0, maxBatch)}
	if host := p.cfg.Demux.host; host != nil {
		b.send = host.NewSender()
	}
	return b
}

// Packet protects one packet and puts it behind the others; header and payload
// are the caller's again when it returns. index is the extended sequence number
// of the packet in its SSRC: RFC 3711, Section 3.3.1. Packets of another viewer,
// or of a larger size, first send what is there. The error is about the packets
// that were sent then, or about this one, which is dropped.
func (b *Batch) Packet(c *Conn, header, payload []byte, ssrc uint32, index uint64) error {
	k := c.keys.Load()
	if k == nil {
		return ErrClosed
	}
	size := len(header) + len(payload) + k.media.overhead()
	var flushed error
	if b.n > 0 && (b.conn != c || b.ended || size > b.size || b.n == maxSegments || len(b.buf)+size > maxBatch) {
		flushed = b.Flush()
	}
	if size > maxBatch {
		c.dropped.Add(1)
		return errors.Join(flushed, fmt.Errorf("a packet of %d bytes fits no datagram", size))
	}
	buf, err := k.media.seal(b.buf, header, payload, ssrc, index, &b.iv)
	if err != nil {
		c.dropped.Add(1)
		return errors.Join(flushed, err)
	}
	if b.n == 0 {
		b.conn, b.size = c, size
	}
	b.buf = buf
	b.n++
	b.ended = size < b.size
	return flushed
}

// Send puts a packet for c into a batch: see [Batch.Packet].
func (c *Conn) Send(b *Batch, header, payload []byte, ssrc uint32, index uint64) error {
	return b.Packet(c, header, payload, ssrc, index)
}

// Flush sends what is there. It does not wait: what the kernel has no room for is
// dropped and counted, as on any other hop.
func (b *Batch) Flush() error {
	if b.n == 0 {
		return nil
	}
	c, n := b.conn, b.n
	sent, err := b.flush()
	b.packets += uint64(n)
	if lost := n - sent; lost > 0 {
		c.dropped.Add(uint64(lost))
	}
	b.buf, b.conn, b.n, b.ended = b.buf[:0], nil, 0, false
	return err
}

func (b *Batch) flush() (sent int, err error) {
	d := b.conn.dest.Load()
	if d == nil {
		return 0, ErrClosed
	}
	if !d.tcp && b.n > 1 && b.port.gso.Load() {
		b.calls++
		err := b.send.SendSegments(&d.sock, b.buf, b.size)
		switch {
		case err == nil:
			return b.n, nil
		case !udp.Unsegmentable(err):
			return 0, err
		}
		// The device or the kernel cannot segment: never again on this port.
		if b.port.gso.Swap(false) {
			b.port.cfg.Log.Warn("UDP segmentation offload does not work here; sending packet by packet", slog.Any("err", err))
		}
	}
	for i := 0; i < len(b.buf); i += b.size {
		p := b.buf[i:min(i+b.size, len(b.buf))]
		b.calls++
		switch {
		case d.tcp:
			err = b.conn.sendTCP(p)
		case b.send != nil:
			err = b.send.Send(&d.sock, p)
		default:
			_, err = b.port.cfg.Demux.WriteToAddrPort(p, d.addr)
		}
		if err != nil {
			return sent, err
		}
		sent++
	}
	return sent, nil
}

// sendTCP sends a packet over the client's TCP connection, which pion frames
// (RFC 4571) and buffers: it does not block.
func (c *Conn) sendTCP(p []byte) error {
	conn := c.stream.Load()
	if conn == nil {
		return ErrClosed
	}
	_, err := conn.Write(p)
	return err
}

// Counts returns the calls into the kernel and the packets so far.
func (b *Batch) Counts() (calls, packets uint64) { return b.calls, b.packets }
