//go:build !linux

package udp

import (
	"net"
	"net/netip"
)

// Conn is a socket of the host's. Its methods are safe for concurrent use.
type Conn struct{ *net.UDPConn }

// Open takes over conn.
func Open(conn *net.UDPConn) (*Conn, error) { return &Conn{conn}, nil }

// Addr is an address in the form that a Sender takes.
type Addr struct{ to netip.AddrPort }

// Addr returns an address in the form that a Sender takes.
func (c *Conn) Addr(to netip.AddrPort) Addr { return Addr{to} }

// TrySend writes a packet.
func (c *Conn) TrySend(to *Addr, b []byte) error {
	_, err := c.WriteToUDPAddrPort(b, to.to)
	return err
}

// Segments reports whether a Queue takes messages of several packets.
func (c *Conn) Segments() bool { return false }

// Unsegmentable tells that segmentation does not work from other errors.
func Unsegmentable(error) bool { return true }

// Sender makes the calls of one goroutine that write to a Conn.
type Sender struct{ conn *Conn }

// NewSender returns a Sender.
func (c *Conn) NewSender() *Sender { return &Sender{c} }

// Send writes one packet.
func (s *Sender) Send(to *Addr, p []byte) error {
	_, err := s.conn.WriteToUDPAddrPort(p, to.to)
	return err
}

// MaxQueued is how many messages a Queue holds.
const MaxQueued = 32

// Queue holds messages of one goroutine until they leave.
type Queue struct {
	conn *Conn
	to   []*Addr
	p    [][]byte
}

// NewQueue returns an empty Queue.
func (c *Conn) NewQueue() *Queue { return &Queue{conn: c} }

// Len returns how many messages there are.
func (q *Queue) Len() int { return len(q.p) }

// Add puts a packet behind the others; size is zero: see Conn.Segments.
func (q *Queue) Add(to *Addr, p []byte, _ int) { q.to, q.p = append(q.to, to), append(q.p, p) }

// Send sends the messages and empties the Queue. failed is told which are lost.
func (q *Queue) Send(failed func(i int, err error)) (calls int) {
	for i, p := range q.p {
		if _, err := q.conn.WriteToUDPAddrPort(p, q.to[i].to); err != nil {
			failed(i, err)
		}
	}
	calls = len(q.p)
	q.to, q.p = q.to[:0], q.p[:0]
	return calls
}
