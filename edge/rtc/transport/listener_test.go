package transport

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener without a network.
type pipes struct {
	conns chan net.Conn
	quit  chan struct{}
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), quit: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.quit:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	close(p.quit)
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// dialled is the node's end, with the address of the other.
type dialled struct {
	net.Conn
	from string
}

func (d dialled) RemoteAddr() net.Addr {
	a, _ := net.ResolveTCPAddr("tcp", d.from) // the tests' own
	return a
}

func (p *pipes) dial(from string) net.Conn {
	theirs, ours := net.Pipe()
	p.conns <- dialled{ours, from}
	return theirs
}

func frameOf(b []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)
}

func (t *Listener) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.open)
}

// inListener runs f beside a listener with one client of ours, "ours".
func inListener(t *testing.T, f func(t *testing.T, p *pipes, d *Demux, l *Listener)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p, d := newPipes(), newDemux(t, nil)
		c := publisher(d)
		c.Credentials("ours", password)
		l := NewListener(p, d, ListenerConfig{Max: 50, MaxPerAddr: 20, First: 5 * time.Second, Silence: 8 * time.Second})
		f(t, p, d, l)
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if len(l.open) != 0 || len(l.from) != 0 {
			t.Errorf("%d connections of %d addresses are left", len(l.open), len(l.from))
		}
	})
}

// TestListenerBounds opens more connections than there may be, which send nothing,
// half a header, half a frame, a byte now and then: all are gone in time, and a client
// is served meanwhile.
func TestListenerBounds(t *testing.T) {
	inListener(t, func(t *testing.T, p *pipes, d *Demux, l *Listener) { //nolint:thelper // it is the test
		check := frameOf(binding(t, "ours:client", password))
		closed := make(chan int, 200)
		for i := range 200 {
			c := p.dial(fmt.Sprintf("192.0.2.%d:%d", i%4, 1000+i))
			go func() {
				switch i % 3 {
				case 1:
					_, _ = c.Write(check[:1]) // refused or not
				case 2:
					for _, b := range check {
						if _, err := c.Write([]byte{b}); err != nil {
							break
						}
						time.Sleep(time.Second)
					}
				}
				_, _ = io.Copy(io.Discard, c) // until it is closed
				closed <- i
			}()
		}
		synctest.Wait()
		if n := l.count(); n != 50 {
			t.Errorf("%d connections are open, want 50", n)
		}
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if n := len(closed); n != 200 {
			t.Errorf("%d of 200 are closed", n)
		}
		limit, addr, silent := d.Refused(RefusedTCPLimit), d.Refused(RefusedTCPAddress), d.Refused(RefusedTCPSilent)
		if limit+addr != 150 || silent != 50 {
			t.Errorf("counted %d and %d beyond limits, %d silent", limit, addr, silent)
		}
		honest := p.dial("198.51.100.1:1000")
		go func() { _, _ = honest.Write(check) }() // its failure shows below
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 2000)
		n, err := io.ReadFull(c, buf[:len(check)])
		if err != nil || !slices.Equal(buf[:n], check) {
			t.Errorf("read %x, %v", buf[:n], err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestListenerPerAddress(t *testing.T) {
	inListener(t, func(t *testing.T, p *pipes, d *Demux, l *Listener) { //nolint:thelper // it is the test
		for i := range 30 {
			p.dial(fmt.Sprintf("[2001:db8::%x]:1000", i)) // one /64
		}
		p.dial("[2001:db8:0:1::1]:1000")
		synctest.Wait()
		if n := l.count(); n != 21 {
			t.Errorf("%d connections are open, want 21", n)
		}
		if n := d.Refused(RefusedTCPAddress); n != 10 {
			t.Errorf("%d were beyond the address's", n)
		}
	})
}

// TestListenerGreets: a connection is the multiplexer's only once its first frame has
// proved a session's password, and what it sends then is bounded, too.
func TestListenerGreets(t *testing.T) {
	for name, c := range map[string]struct {
		first []byte
		why   Refusal
	}{
		"no session":     {frameOf(binding(t, "stranger:client", password)), RefusedCheckUnknown},
		"wrong password": {frameOf(binding(t, "ours:client", "guessed")), RefusedCheckForged},
		"no STUN":        {frameOf([]byte("GET / HTTP/1.1\r\n\r\n")), RefusedCheckUnknown},
		"a huge frame":   {[]byte{0xff, 0xff, 0, 1}, RefusedTCPFrame},
		"empty":          {[]byte{0, 0}, RefusedCheckUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			inListener(t, func(t *testing.T, p *pipes, d *Demux, _ *Listener) { //nolint:thelper // as above
				conn := p.dial("192.0.2.1:1000")
				_, _ = conn.Write(c.first) // it may be closed half way
				if n, err := io.Copy(io.Discard, conn); n != 0 || err != nil {
					t.Errorf("%d bytes came back, %v", n, err)
				}
				if n := d.Refused(c.why); n != 1 {
					t.Errorf("%d counted as %v", n, c.why)
				}
			})
		})
	}
	inListener(t, func(t *testing.T, p *pipes, d *Demux, l *Listener) { //nolint:thelper // it is the test
		conn := p.dial("192.0.2.1:1000")
		check, media := frameOf(binding(t, "ours:client", password)), frameOf([]byte{0x80, 96, 1, 2})
		go func() {
			for range 1000 {
				_, _ = conn.Write(check) // its failure shows below
			}
			_, _ = conn.Write(frameOf(binding(t, "ours:client", "guessed")))
			_, _ = conn.Write(media)
		}()
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		checks := 0
		buf := make([]byte, 2)
		for {
			if _, err := io.ReadFull(c, buf); err != nil {
				t.Fatal(err)
			}
			b := make([]byte, binary.BigEndian.Uint16(buf))
			if _, err := io.ReadFull(c, b); err != nil {
				t.Fatal(err)
			}
			if b[0] == 0x80 {
				break
			}
			checks++
		}
		if checks != checkBurst || d.Refused(RefusedCheckFlood) != 1000-checkBurst || d.Refused(RefusedCheckForged) != 1 {
			t.Errorf("%d checks passed, %d were too many, %d forged", checks, d.Refused(RefusedCheckFlood), d.Refused(RefusedCheckForged))
		}
		began := time.Now()
		if _, err := c.Read(buf); err == nil || time.Since(began) != 8*time.Second {
			t.Errorf("a silent client is dropped after %v: %v", time.Since(began), err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}
