package node

import (
	"context"
	"net"
	"testing"
	"time"
)

// TestCanary: a port that somebody listens on gets a byte that is no QUIC; one
// that nobody listens on any more refuses it.
func TestCanary(t *testing.T) {
	peer, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	c, err := newCanary(peer.LocalAddr())
	if err != nil {
		t.Fatal(err)
	}
	c.Ask()
	b := make([]byte, 10)
	if n, err := peer.Read(b); err != nil || n != 1 || b[0]&0x40 != 0 {
		t.Fatalf("%v, %v: no byte, or one with which QUIC begins", b[:n], err)
	}
	select {
	case <-c.Refused():
		t.Error("refused, though somebody listens")
	default:
	}
	if err := peer.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c.Ask()
	select {
	case <-c.Refused():
	case <-ctx.Done():
		t.Error("nobody listens, and nobody says so")
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := newCanary(&net.TCPAddr{}); err == nil {
		t.Error("a canary for TCP")
	}
}
