package node

import (
	"errors"
	"fmt"
	"net"
	"syscall"

	"trellis/backbone"
)

// canary is a connected UDP socket: the kernel tells it when the other host says
// that a port is closed, which the socket of QUIC, not connected, never learns.
type canary struct {
	conn    *net.UDPConn
	refused chan struct{}
	ended   chan struct{}
}

// newCanary makes the canary for a peer at addr, on a real network.
func newCanary(addr net.Addr) (backbone.Canary, error) {
	udp, ok := addr.(*net.UDPAddr)
	if !ok {
		return nil, fmt.Errorf("canary: %v is no UDP address", addr)
	}
	conn, err := net.DialUDP("udp", nil, udp)
	if err != nil {
		return nil, fmt.Errorf("canary: %w", err)
	}
	c := &canary{conn: conn, refused: make(chan struct{}, 1), ended: make(chan struct{})}
	go c.read()
	return c, nil
}

// canaryByte begins no packet of QUIC: the bit that all of them have is not set
// (RFC 9000, Section 17).
const canaryByte = 0

// Ask implements backbone.Canary.
func (c *canary) Ask() {
	if _, err := c.conn.Write([]byte{canaryByte}); errors.Is(err, syscall.ECONNREFUSED) {
		c.say()
	}
}

// Refused implements backbone.Canary.
func (c *canary) Refused() <-chan struct{} { return c.refused }

// Close implements backbone.Canary.
func (c *canary) Close() error {
	err := c.conn.Close()
	<-c.ended
	return err
}

func (c *canary) say() {
	select {
	case c.refused <- struct{}{}:
	default: // it was not heard yet
	}
}

// read waits for what the kernel has to say. Nobody sends anything: what comes
// nevertheless is thrown away.
func (c *canary) read() {
	defer close(c.ended)
	b := make([]byte, 1)
	for {
		switch _, err := c.conn.Read(b); {
		case err == nil:
		case errors.Is(err, syscall.ECONNREFUSED):
			c.say()
		default: // closed, or something that will not go away
			return
		}
	}
}
