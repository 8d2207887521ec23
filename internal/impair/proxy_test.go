package impair

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"
)

// Real sockets on loopback have no upper bound on their delay, so these tests
// only assert lower ones; exact times are TestLink's.

type proxyTest struct {
	*testing.T
	proxy  *Proxy
	target *net.UDPConn
}

func newProxyTest(t *testing.T, cfg ProxyConfig) *proxyTest {
	t.Helper()
	target := listen(t)
	cfg.Target = addrOf(target)
	p, err := NewProxy(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(t.Context()))
	stop := errors.New("test over")
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel(stop)
		if err := <-done; !errors.Is(err, stop) {
			t.Errorf("Run returned %v, want the cause of its context", err)
		}
	})
	return &proxyTest{T: t, proxy: p, target: target}
}

// waitDropped waits until a datagram was dropped on the way to the target.
func (pt *proxyTest) waitDropped(why Drop) {
	pt.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		if forward, _ := pt.proxy.Counts(); forward.Dropped(why) == 1 {
			return
		}
		runtime.Gosched()
	}
	pt.Fatalf("nothing was dropped for %v", why)
}

func listen(t *testing.T) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeSocket(c) })
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

func addrOf(c *net.UDPConn) netip.AddrPort { return c.LocalAddr().(*net.UDPAddr).AddrPort() }

func send(t *testing.T, from *net.UDPConn, to netip.AddrPort, b []byte) {
	t.Helper()
	if _, err := from.WriteToUDPAddrPort(b, to); err != nil {
		t.Fatal(err)
	}
}

func receive(t *testing.T, c *net.UDPConn) ([]byte, netip.AddrPort) {
	t.Helper()
	b := make([]byte, maxDatagram)
	n, from, err := c.ReadFromUDPAddrPort(b)
	if err != nil {
		t.Fatal(err)
	}
	return b[:n], from
}

func TestProxyDelaysEachDirection(t *testing.T) {
	pt := newProxyTest(t, ProxyConfig{
		Forward: Config{Delay: 30 * ms},
		Back:    Config{Delay: 50 * ms},
	})
	client := listen(t)
	start := time.Now()
	const n = 50 // within any socket buffer
	for i := range n {
		send(t, client, pt.proxy.Addr(), []byte{byte(i)})
	}
	var from netip.AddrPort
	for i := range n {
		var b []byte
		b, from = receive(t, pt.target)
		if len(b) != 1 || b[0] != byte(i) {
			t.Fatalf("datagram %d is %v", i, b)
		}
	}
	if got := time.Since(start); got < 30*ms-early {
		t.Errorf("forward took %v, less than its delay", got)
	}
	start = time.Now()
	send(t, pt.target, from, []byte("back"))
	b, sender := receive(t, client)
	if string(b) != "back" || sender != pt.proxy.Addr() {
		t.Errorf("client got %q from %v, want it from the proxy %v", b, sender, pt.proxy.Addr())
	}
	if got := time.Since(start); got < 50*ms-early {
		t.Errorf("back took %v, less than its delay", got)
	}
	forward, back := pt.proxy.Counts()
	if forward.Packets != n || back.Packets != 1 || forward.Lost()+back.Lost() != 0 {
		t.Errorf("counts %+v and %+v", forward, back)
	}
}

func TestProxyChangesWhileRunning(t *testing.T) {
	pt := newProxyTest(t, ProxyConfig{})
	client := listen(t)
	if err := pt.proxy.SetForward(Config{Down: true}); err != nil {
		t.Fatal(err)
	}
	send(t, client, pt.proxy.Addr(), []byte("lost"))
	pt.waitDropped(DropDown)
	if err := pt.proxy.SetForward(Config{}); err != nil {
		t.Fatal(err)
	}
	send(t, client, pt.proxy.Addr(), []byte("after"))
	if b, _ := receive(t, pt.target); string(b) != "after" {
		t.Errorf("got %q", b)
	}
	if err := pt.proxy.SetBack(Config{Delay: -1}); err == nil {
		t.Error("a negative delay is accepted")
	}
}

func TestProxyKeepsClientsApart(t *testing.T) {
	pt := newProxyTest(t, ProxyConfig{MaxClients: 2})
	clients := []*net.UDPConn{listen(t), listen(t), listen(t)}
	for i, c := range clients[:2] {
		send(t, c, pt.proxy.Addr(), []byte{byte(i)})
		b, from := receive(t, pt.target)
		send(t, pt.target, from, b) // echo
		if b, _ := receive(t, c); len(b) != 1 || b[0] != byte(i) {
			t.Errorf("client %d got %v", i, b)
		}
	}
	send(t, clients[2], pt.proxy.Addr(), []byte("one too many"))
	send(t, clients[0], pt.proxy.Addr(), []byte("known"))
	if b, _ := receive(t, pt.target); string(b) != "known" {
		t.Errorf("target got %q", b)
	}
	pt.waitDropped(DropClients)
}

// TestProxyRebinds: after it the target sees another address, answers to that reach
// the client, and those to the old one do not.
func TestProxyRebinds(t *testing.T) {
	pt := newProxyTest(t, ProxyConfig{MaxClients: 1})
	client := listen(t)
	send(t, client, pt.proxy.Addr(), []byte("before"))
	_, old := receive(t, pt.target)
	pt.proxy.Rebind()
	send(t, client, pt.proxy.Addr(), []byte("after"))
	b, now := receive(t, pt.target)
	if string(b) != "after" || now == old {
		t.Errorf("target got %q from %v, before from %v", b, now, old)
	}
	send(t, pt.target, old, []byte("lost"))
	send(t, pt.target, now, []byte("answer"))
	if b, _ := receive(t, client); string(b) != "answer" {
		t.Errorf("client got %q", b)
	}
}

func TestProxyForgetsIdleClients(t *testing.T) {
	pt := newProxyTest(t, ProxyConfig{MaxClients: 1, IdleTimeout: 20 * ms})
	for range 3 { // each gets the one place once the one before is forgotten
		client := listen(t)
		for got := false; !got; {
			send(t, client, pt.proxy.Addr(), []byte("hello"))
			if err := pt.target.SetReadDeadline(time.Now().Add(5 * ms)); err != nil {
				t.Fatal(err)
			}
			_, _, err := pt.target.ReadFromUDPAddrPort(make([]byte, 10))
			got = err == nil
		}
	}
}

func TestProxyCarriesLargeDatagrams(t *testing.T) {
	pt := newProxyTest(t, ProxyConfig{})
	client := listen(t)
	for _, size := range []int{0, 1, pooledBytes, pooledBytes + 1, 60_000} {
		send(t, client, pt.proxy.Addr(), make([]byte, size))
		if b, _ := receive(t, pt.target); len(b) != size {
			t.Errorf("sent %d bytes, got %d", size, len(b))
		}
	}
}

func TestProxyCloseBeforeRun(t *testing.T) {
	p, err := NewProxy(ProxyConfig{Target: netip.MustParseAddrPort("127.0.0.1:9")})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if err := p.Run(t.Context()); err != nil {
		t.Errorf("Run after Close returned %v", err)
	}
	if _, err := NewProxy(ProxyConfig{}); err == nil {
		t.Error("a proxy without a target is accepted")
	}
	if _, err := NewProxy(ProxyConfig{Target: p.Addr(), Back: Config{MTU: -1}}); err == nil {
		t.Error("a negative MTU is accepted")
	}
}

// BenchmarkProxyLateness reports by how much datagrams arrive later than the
// proxy's delay says, through the kernel's loopback twice.
func BenchmarkProxyLateness(b *testing.B) {
	const delay = 5 * ms
	target, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		b.Fatal(err)
	}
	defer closeSocket(target)
	p, err := NewProxy(ProxyConfig{Target: addrOf(target), Forward: Config{Delay: delay}})
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- p.Run(b.Context()) }()
	client, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(p.Addr()))
	if err != nil {
		b.Fatal(err)
	}
	defer closeSocket(client)
	var late []time.Duration
	buf := make([]byte, 1200)
	for b.Loop() {
		start := time.Now()
		if _, err := client.Write(buf); err != nil {
			b.Fatal(err)
		}
		if _, err := target.Read(buf); err != nil {
			b.Fatal(err)
		}
		late = append(late, time.Since(start)-delay)
	}
	slices.Sort(late)
	b.ReportMetric(float64(late[len(late)/2].Microseconds()), "us-late-p50")
	b.ReportMetric(float64(late[len(late)*99/100].Microseconds()), "us-late-p99")
	if err := p.Close(); err != nil {
		b.Fatal(err)
	}
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}
