package transport

import (
	"fmt"
	"log/slog"

	"trellis/internal/udp"
)

const (
	// maxSegments is what every kernel with UDP_SEGMENT takes in one message.
	maxSegments = 64
	// maxBatch is the largest payload of one message, what fits an IP packet, and of
	// all that leave together: beyond a handful of pictures there is little to gain.
	maxBatch = 65_000
)

// Batch collects protected packets and sends them in one call: those of one viewer
// behind one another are one message, which the kernel or the device cuts into packets,
// and the messages of several viewers leave together. It belongs to one goroutine. Make
// it with Port.NewBatch.
type Batch struct {
	port  *Port
	queue *udp.Queue // nil where the socket is not one of the host's
	one   *udp.Sender
	lost  func(i int, err error) // of the queue, made once

	buf     []byte
	iv      nonce
	msgs    []message
	packets int     // in msgs
	queued  []piece // what the queue holds, by its index
	err     error   // the first since the last Flush

	calls, sent uint64
}

// message is a run of packets of one viewer in the buffer.
type message struct {
	conn     *Conn
	from, to int
	size     int // of all packets but the last
	n        int
	ended    bool // the last one was shorter: nothing can follow it
}

// piece is a message in the queue, or a single packet of one.
type piece struct {
	m        *message
	from, to int
}

// NewBatch returns an empty batch.
func (p *Port) NewBatch() *Batch {
	b := &Batch{
		port: p, buf: make([]byte, 0, maxBatch), msgs: make([]message, 0, udp.MaxQueued), queued: make([]piece, 0, udp.MaxQueued),
	}
	if host := p.cfg.Demux.host; host != nil {
		b.queue, b.one = host.NewQueue(), host.NewSender()
		b.lost = b.undelivered
	}
	return b
}

// Packet protects one packet and puts it behind the others; header and payload
// are the caller's again when it returns. index is the extended sequence number
// of the packet in its SSRC: RFC 3711, Section 3.3.1. Where there is no room for it,
// what is there is sent first; what is wrong with that, Flush says. The error is about this
// packet, which is dropped.
func (b *Batch) Packet(c *Conn, header, payload []byte, ssrc uint32, index uint64) error {
	k := c.keys.Load()
	if k == nil {
		return ErrClosed
	}
	size := len(header) + len(payload) + k.media.overhead()
	if size > maxBatch {
		c.dropped.Add(1)
		return fmt.Errorf("a packet of %d bytes fits no datagram", size)
	}
	follows := b.room(c, size)
	buf, err := k.media.seal(b.buf, header, payload, ssrc, index, &b.iv)
	if err != nil {
		c.dropped.Add(1)
		return err
	}
	b.put(c, buf, follows)
	return nil
}

// rtcp puts a compound packet behind the others, as Packet does with media.
func (b *Batch) rtcp(c *Conn, compound []byte) error {
	k := c.keys.Load()
	if k == nil {
		return ErrClosed
	}
	follows := b.room(c, len(compound)+srtcpOverhead)
	k.mu.Lock()
	defer k.mu.Unlock()
	sealed, err := k.rtcp.seal(k.buf[:0], compound)
	if err != nil {
		return fmt.Errorf("protect RTCP: %w", err)
	}
	k.buf = sealed
	b.put(c, append(b.buf, sealed...), follows)
	return nil
}

// srtcpOverhead is the most by which protection makes RTCP longer: RFC 7714, Section 9.
const srtcpOverhead = gcmOverhead + srtcpIndex

// room makes room for a packet, and reports whether it will be one more of the last message.
func (b *Batch) room(c *Conn, size int) (follows bool) {
	follows = b.follows(c, size)
	if len(b.buf)+size > maxBatch || !follows && len(b.msgs) == cap(b.msgs) {
		b.empty()
		follows = false
	}
	return follows
}

// put takes over the buffer with one more packet at its end.
func (b *Batch) put(c *Conn, buf []byte, follows bool) {
	from := len(b.buf)
	size := len(buf) - from
	b.buf = buf
	if !follows {
		b.msgs = append(b.msgs, message{conn: c, from: from, size: size})
	}
	m := &b.msgs[len(b.msgs)-1]
	m.to, m.n, m.ended = len(buf), m.n+1, size < m.size
	b.packets++
}

// follows reports whether a packet can be one more of the last message.
func (b *Batch) follows(c *Conn, size int) bool {
	if len(b.msgs) == 0 {
		return false
	}
	m := &b.msgs[len(b.msgs)-1]
	return m.conn == c && !m.ended && size <= m.size && m.n < maxSegments
}

// Send puts a packet for c into a batch: see [Batch.Packet].
func (c *Conn) Send(b *Batch, header, payload []byte, ssrc uint32, index uint64) error {
	return b.Packet(c, header, payload, ssrc, index)
}

// SendRTCP puts a compound packet for c into a batch, where it can be the last, shorter packet
// of a message. The error is about this packet, which is dropped.
func (c *Conn) SendRTCP(b *Batch, compound []byte) error { return b.rtcp(c, compound) }

// Flush sends what is there. It does not wait: what the kernel has no room for is
// dropped and counted, as on any other hop. It returns the first error since the last Flush.
func (b *Batch) Flush() error {
	b.empty()
	err := b.err
	b.err = nil
	return err
}

func (b *Batch) empty() {
	for i := range b.msgs {
		b.send(&b.msgs[i])
	}
	b.leave()
	b.sent += uint64(b.packets)
	clear(b.msgs) // the connections are their sessions'
	b.buf, b.msgs, b.packets = b.buf[:0], b.msgs[:0], 0
}

// send puts a message into the queue, whole or packet by packet; what cannot go
// there is sent.
func (b *Batch) send(m *message) {
	d := m.conn.dest.Load()
	switch {
	case d == nil:
		m.conn.dropped.Add(uint64(m.n))
		b.fail(ErrClosed)
	case d.tcp || b.queue == nil:
		b.each(m, func(p []byte) error {
			if d.tcp {
				return m.conn.sendTCP(p)
			}
			_, err := b.port.cfg.Demux.WriteToAddrPort(p, d.addr)
			return err
		})
	case m.n > 1 && b.port.gso.Load():
		b.add(d, piece{m, m.from, m.to}, m.size)
	default:
		for i := m.from; i < m.to; i += m.size {
			b.add(d, piece{m, i, min(i+m.size, m.to)}, 0)
		}
	}
}

func (b *Batch) add(d *dest, p piece, size int) {
	if b.queue.Len() == udp.MaxQueued {
		b.leave()
	}
	b.queue.Add(&d.sock, b.buf[p.from:p.to], size)
	b.queued = append(b.queued, p)
}

// each sends the packets of a message one by one.
func (b *Batch) each(m *message, send func(p []byte) error) {
	for i := m.from; i < m.to; i += m.size {
		b.calls++
		if err := send(b.buf[i:min(i+m.size, m.to)]); err != nil {
			m.conn.dropped.Add(1)
			b.fail(err)
		}
	}
}

// leave empties the queue.
func (b *Batch) leave() {
	if b.queue == nil {
		return
	}
	b.calls += uint64(b.queue.Send(b.lost))
	clear(b.queued)
	b.queued = b.queued[:0]
}

// undelivered handles a piece that the kernel did not take. Where that is because it
// cannot segment, the packets go one by one.
func (b *Batch) undelivered(i int, err error) {
	p := b.queued[i]
	m := p.m
	if d := m.conn.dest.Load(); d != nil && p.to-p.from > m.size && udp.Unsegmentable(err) {
		// The device or the kernel cannot segment: never again on this port.
		if b.port.gso.Swap(false) {
			b.port.cfg.Log.Warn("UDP segmentation offload does not work here; sending packet by packet", slog.Any("err", err))
		}
		b.each(m, func(p []byte) error { return b.one.Send(&d.sock, p) })
		return
	}
	m.conn.dropped.Add(uint64((p.to - p.from + m.size - 1) / m.size))
	b.fail(err)
}

// fail keeps the first error.
func (b *Batch) fail(err error) {
	if b.err == nil {
		b.err = err
	}
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
func (b *Batch) Counts() (calls, packets uint64) { return b.calls, b.sent }
