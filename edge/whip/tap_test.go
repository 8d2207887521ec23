package whip_test

import (
	"net"
	"sync"
	"testing"

	"trellis/edge/rtc"
	"trellis/edge/whip"
)

// tap is the node's socket with a hand on it: it puts in packets from anybody, and
// counts what goes to whom.
type tap struct {
	net.PacketConn

	in   chan tapped
	quit chan struct{}
	once sync.Once

	mu   sync.Mutex
	sent map[string]int // bytes by destination
	seen func(from string, b []byte)
}

type tapped struct {
	b    []byte
	from net.Addr
}

func newTap(conn net.PacketConn) *tap {
	p := &tap{PacketConn: conn, in: make(chan tapped, 64), quit: make(chan struct{}), sent: map[string]int{}}
	go func() {
		buf := make([]byte, 2000)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			b := append([]byte(nil), buf[:n]...)
			p.mu.Lock()
			seen := p.seen
			p.mu.Unlock()
			p.put(tapped{b, from})
			if seen != nil {
				seen(from.String(), b)
			}
		}
	}()
	return p
}

func (p *tap) put(t tapped) {
	select {
	case p.in <- t:
	case <-p.quit:
	}
}

// inject puts in a packet.
func (p *tap) inject(from string, b []byte) {
	addr, err := net.ResolveUDPAddr("udp4", from)
	if err != nil {
		panic(err)
	}
	p.put(tapped{append([]byte(nil), b...), addr})
}

// watch has f see each packet that arrives, on its way in.
func (p *tap) watch(f func(from string, b []byte)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = f
}

// to returns how many bytes went to an address.
func (p *tap) to(addr string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sent[addr]
}

func (p *tap) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case t := <-p.in:
		return copy(b, t.b), t.from, nil
	case <-p.quit:
		return 0, nil, net.ErrClosed
	}
}

func (p *tap) WriteTo(b []byte, to net.Addr) (int, error) {
	p.mu.Lock()
	p.sent[to.String()] += len(b)
	p.mu.Unlock()
	return p.PacketConn.WriteTo(b, to)
}

func (p *tap) Close() error {
	p.once.Do(func() { close(p.quit) })
	return p.PacketConn.Close()
}

// inTappedWorld is inWorld with a tap on the node's socket.
func inTappedWorld(t *testing.T, configure func(*rtc.Config), f func(w *world, p *tap)) {
	t.Helper()
	var p *tap
	inWorld(t, func(c *rtc.Config, _ *whip.Config) {
		p = newTap(c.UDP)
		c.UDP = p
		if configure != nil {
			configure(c)
		}
	}, func(w *world) { f(w, p) })
}
