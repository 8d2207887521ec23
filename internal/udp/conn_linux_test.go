package udp

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"trellis/internal/ca"
)

func listen(t *testing.T, network, addr string) *Conn {
	t.Helper()
	a, err := net.ResolveUDPAddr(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	u, err := net.ListenUDP(network, a)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Open(u)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func messages(n int) []ipv4.Message {
	ms := make([]ipv4.Message, n)
	for i := range ms {
		ms[i] = ipv4.Message{Buffers: [][]byte{make([]byte, 1500)}, OOB: make([]byte, 128)}
	}
	return ms
}

// read returns n packets of c.
func read(t *testing.T, c *Conn, n int) (got [][]byte, from []net.Addr) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for len(got) < n {
		ms := messages(8)
		k, err := c.ReadBatch(ms, 0)
		if err != nil {
			t.Fatalf("after %d packets: %v", len(got), err)
		}
		for _, m := range ms[:k] {
			got, from = append(got, m.Buffers[0][:m.N]), append(from, m.Addr)
		}
	}
	return got, from
}

// TestPackets: both families go both ways, an IPv4 address through a socket of IPv6
// as well, and senders are who they are.
func TestPackets(t *testing.T) {
	for _, c := range []struct{ from, at, to, seen string }{
		{"udp4 127.0.0.1:0", "udp4 127.0.0.1:0", "127.0.0.1", "127.0.0.1"},
		{"udp6 [::1]:0", "udp6 [::1]:0", "::1", "::1"},
		{"udp [::]:0", "udp4 127.0.0.1:0", "127.0.0.1", "127.0.0.1"},
		{"udp4 127.0.0.1:0", "udp [::]:0", "127.0.0.1", "127.0.0.1"},
	} {
		open := func(s string) *Conn {
			network, addr, _ := bytes.Cut([]byte(s), []byte(" "))
			return listen(t, string(network), string(addr))
		}
		a, b := open(c.from), open(c.at)
		to := &net.UDPAddr{IP: net.ParseIP(c.to), Port: b.LocalAddr().(*net.UDPAddr).Port}
		for i := range 20 {
			if n, _, err := a.WriteMsgUDP(bytes.Repeat([]byte{byte(i)}, 100+i), nil, to); err != nil || n != 100+i {
				t.Fatalf("%v: %d bytes, %v", c, n, err)
			}
		}
		got, from := read(t, b, 20)
		for i, p := range got {
			if len(p) != 100+i || p[0] != byte(i) {
				t.Fatalf("%v: packet %d is of %d bytes, begins with %d", c, i, len(p), p[0])
			}
			u := from[i].(*net.UDPAddr)
			if !u.IP.Equal(net.ParseIP(c.seen)) || u.Port != a.LocalAddr().(*net.UDPAddr).Port {
				t.Fatalf("%v: packet %d is from %v", c, i, u)
			}
		}
	}
}

// TestQueue: messages for several sockets leave in one call, some of them cut into
// packets, and one that cannot leave is told and holds up nobody.
func TestQueue(t *testing.T) {
	for _, network := range []string{"udp4 127.0.0.1:0", "udp6 [::1]:0"} {
		name, at, _ := strings.Cut(network, " ")
		c, a, b := listen(t, name, at), listen(t, name, at), listen(t, name, at)
		if !c.Segments() {
			t.Fatal("this kernel has no UDP_SEGMENT, which Linux has since 4.18")
		}
		to := [2]Addr{c.Addr(a.LocalAddr().(*net.UDPAddr).AddrPort()), c.Addr(b.LocalAddr().(*net.UDPAddr).AddrPort())}
		q := c.NewQueue()
		for round := range 3 {
			p := bytes.Repeat([]byte{byte(round)}, 2500)
			q.Add(&to[0], p, 1000)
			q.Add(&to[0], make([]byte, 70_000), 0) // too large for a datagram
			q.Add(&to[1], p[:100], 0)
			q.Add(&to[0], p[:7], 0)
			if q.Len() != 4 {
				t.Fatalf("%d messages", q.Len())
			}
			var lost []int
			calls := q.Send(func(i int, err error) {
				lost = append(lost, i)
				if !errors.Is(err, unix.EMSGSIZE) {
					t.Errorf("too large: %v", err)
				}
			})
			if len(lost) != 1 || lost[0] != 1 || calls != 3 || q.Len() != 0 {
				t.Errorf("lost %v, %d calls, %d messages left", lost, calls, q.Len())
			}
			for _, want := range []struct {
				at    *Conn
				sizes []int
			}{{a, []int{1000, 1000, 500, 7}}, {b, []int{100}}} {
				got, _ := read(t, want.at, len(want.sizes))
				for i, p := range got {
					if len(p) != want.sizes[i] || p[0] != byte(round) {
						t.Errorf("packet %d of round %d has %d bytes and begins with %d, want %d", i, round, len(p), p[0], want.sizes[i])
					}
				}
			}
		}
		for range MaxQueued {
			q.Add(&to[0], []byte{1}, 0)
		}
		if calls := q.Send(func(i int, err error) { t.Errorf("message %d: %v", i, err) }); calls != 1 {
			t.Errorf("a full queue took %d calls", calls)
		}
		_, _ = read(t, a, MaxQueued)
	}
	// What a closed socket is given is lost.
	c := listen(t, "udp4", "127.0.0.1:0")
	to := c.Addr(c.LocalAddr().(*net.UDPAddr).AddrPort())
	q := c.NewQueue()
	q.Add(&to, []byte{1}, 0)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	var lost error
	if q.Send(func(_ int, err error) { lost = err }); !errors.Is(lost, net.ErrClosed) {
		t.Errorf("after the socket was closed: %v", lost)
	}
}

// TestErrors come in the form of net's.
func TestErrors(t *testing.T) {
	c := listen(t, "udp4", "127.0.0.1:0")
	to := c.LocalAddr().(*net.UDPAddr)
	_, _, err := c.WriteMsgUDP(make([]byte, 70_000), nil, to)
	if _, ok := errors.AsType[*os.SyscallError](err); !ok || !errors.Is(err, unix.EMSGSIZE) {
		t.Errorf("too large: %v", err)
	}
	if _, _, err := c.WriteMsgUDP([]byte{1}, nil, &net.UDPAddr{IP: net.IPv6loopback, Port: 9}); !errors.Is(err, unix.EAFNOSUPPORT) {
		t.Errorf("to an IPv6 address: %v", err)
	}
	unreachable := c.Addr(netip.MustParseAddrPort("[::1]:9"))
	if err := c.NewSender().Send(&unreachable, []byte{1}); err == nil {
		t.Error("a sender took an IPv6 address")
	}
	if err := c.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.ReadBatch(messages(1), 0); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after the deadline: %v", err)
	}
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	var reading sync.WaitGroup
	reading.Go(func() {
		if _, err := c.ReadBatch(messages(1), 0); !errors.Is(err, net.ErrClosed) {
			t.Errorf("closed: %v", err)
		}
	})
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	reading.Wait()
	if _, _, err := c.WriteMsgUDP([]byte{1}, nil, to); !errors.Is(err, net.ErrClosed) {
		t.Errorf("written after it was closed: %v", err)
	}
}

// TestQUIC carries a stream between two of them, with segmentation and ECN where the
// host has them.
func TestQUIC(t *testing.T) {
	server := &quic.Transport{Conn: listen(t, "udp", "[::]:0")}
	client := &quic.Transport{Conn: listen(t, "udp4", "127.0.0.1:0")}
	l, err := server.Listen(&tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{"test"}, GetCertificate: ca.NewEphemeral("127.0.0.1").GetCertificate,
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	sent := bytes.Repeat([]byte("trellis "), 1<<17)
	var serving sync.WaitGroup
	serving.Go(func() {
		conn, err := l.Accept(ctx)
		if err != nil {
			t.Error(err)
			return
		}
		s, err := conn.OpenUniStreamSync(ctx)
		if err != nil {
			t.Error(err)
			return
		}
		if _, err := s.Write(sent); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	to := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: server.Conn.LocalAddr().(*net.UDPAddr).Port}
	conn, err := client.Dial(ctx, to, &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{"test"}, InsecureSkipVerify: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := conn.AcceptUniStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(s)
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d bytes of %d arrived: %v", len(got), len(sent), err)
	}
	serving.Wait()
	if err := errors.Join(conn.CloseWithError(0, ""), client.Close(), server.Close()); err != nil {
		t.Error(err)
	}
}
