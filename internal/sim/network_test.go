package sim

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"trellis/internal/impair"
)

const ms = time.Millisecond

// testNet is a network in a bubble with the words that the tests tell their
// stories in.
type testNet struct {
	*testing.T
	*Network
	start time.Time
}

// inBubble runs a test on a network of its own, in virtual time.
func inBubble(t *testing.T, cfg NetworkConfig, test func(*testNet)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork(cfg)
		defer n.Close()
		test(&testNet{T: t, Network: n, start: time.Now()})
	})
}

// sleep lets virtual time pass.
func (tn *testNet) sleep(d time.Duration) { time.Sleep(d) }

func (tn *testNet) socket(host string, port uint16) *Conn {
	tn.Helper()
	c, err := tn.Host(host).ListenUDP(port)
	if err != nil {
		tn.Fatal(err)
	}
	return c
}

func (tn *testNet) path(a, b string, cfg impair.Config) {
	tn.Helper()
	if err := tn.SetPath(a, b, cfg); err != nil {
		tn.Fatal(err)
	}
}

func (tn *testNet) send(from, to *Conn, b []byte) {
	tn.Helper()
	if _, err := from.WriteToUDPAddrPort(b, to.host.AddrPort(to.port)); err != nil {
		tn.Fatal(err)
	}
}

// wantDatagram waits for a datagram and says when it must have come.
func (tn *testNet) wantDatagram(at *Conn, want []byte, after time.Duration) {
	tn.Helper()
	b := make([]byte, 2000)
	n, _, err := at.ReadFromUDPAddrPort(b)
	if err != nil {
		tn.Fatal(err)
	}
	if !bytes.Equal(b[:n], want) {
		tn.Errorf("got %q, want %q", b[:n], want)
	}
	if got := time.Since(tn.start); got != after {
		tn.Errorf("%q came after %v, want %v", b[:n], got, after)
	}
}

// wantSilence asserts that nothing arrives for a while.
func (tn *testNet) wantSilence(at *Conn, d time.Duration) {
	tn.Helper()
	if err := at.SetReadDeadline(time.Now().Add(d)); err != nil {
		tn.Fatal(err)
	}
	b := make([]byte, 2000)
	n, from, err := at.ReadFromUDPAddrPort(b)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		tn.Errorf("got %d bytes from %v (%v), want silence", n, from, err)
	}
	if err := at.SetReadDeadline(time.Time{}); err != nil {
		tn.Fatal(err)
	}
}

func TestNetworkDelaysExactly(t *testing.T) {
	inBubble(t, NetworkConfig{}, func(tn *testNet) {
		a, b := tn.socket("a", 1), tn.socket("b", 2)
		tn.path("a", "b", impair.Config{Delay: 37 * ms})
		if err := tn.SetLink("b", "a", impair.Config{Delay: 20 * ms}); err != nil {
			tn.Fatal(err)
		}
		tn.send(a, b, []byte("one"))
		tn.send(a, b, []byte("two"))
		tn.wantDatagram(b, []byte("one"), 37*ms)
		tn.wantDatagram(b, []byte("two"), 37*ms)
		tn.send(b, a, []byte("back"))
		tn.wantDatagram(a, []byte("back"), 57*ms)
		tn.send(a, a, []byte("self"))
		tn.wantDatagram(a, []byte("self"), 57*ms)
	})
}

func TestNetworkSerialisesBursts(t *testing.T) {
	inBubble(t, NetworkConfig{}, func(tn *testNet) {
		tn.path("a", "b", impair.Config{Delay: 20 * ms, RateBps: 50_000_000, QueueBytes: 200_000})
		// Two sockets of a host share its line.
		senders := []*Conn{tn.socket("a", 1), tn.socket("a", 2)}
		b := tn.socket("b", 1)
		// 120 datagrams of 1,250 bytes: 150 kB, 24 ms at 50 Mbit/s.
		data := make([]byte, 1250)
		for i := range 120 {
			tn.send(senders[i%2], b, data)
		}
		for i := range 120 {
			tn.wantDatagram(b, data, 20*ms+time.Duration(i+1)*200*time.Microsecond)
		}
	})
}

func TestNetworkLosesAShare(t *testing.T) {
	const seed, sent = 7, 20_000
	inBubble(t, NetworkConfig{Seed: seed}, func(tn *testNet) {
		tn.path("a", "b", impair.Config{Delay: ms, Loss: impair.Independent(0.02)})
		a, b := tn.socket("a", 1), tn.socket("b", 1)
		got := 0
		for range sent / 1000 {
			for range 1000 { // within the socket's queue
				tn.send(a, b, []byte("x"))
			}
			time.Sleep(2 * ms)
			for len(b.incoming) > 0 {
				<-b.incoming
				got++
			}
		}
		if share := 1 - float64(got)/sent; share < 0.017 || share > 0.023 {
			tn.Errorf("seed %d: %.4f of the datagrams lost, want 0.02", seed, share)
		}
		if c := tn.Counts("a", "b"); int(c.Packets) != got || int(c.Dropped(impair.DropLoss)) != sent-got {
			tn.Errorf("counts %+v, received %d of %d", c, got, sent)
		}
	})
}

func TestNetworkQueueOverflows(t *testing.T) {
	inBubble(t, NetworkConfig{}, func(tn *testNet) {
		tn.path("a", "b", impair.Config{RateBps: 8_000_000, QueueBytes: 10_000})
		a, b := tn.socket("a", 1), tn.socket("b", 1)
		for range 25 {
			tn.send(a, b, make([]byte, 1000))
		}
		for i := range 10 {
			tn.wantDatagram(b, make([]byte, 1000), time.Duration(i+1)*ms)
		}
		tn.wantSilence(b, time.Second)
		if got := tn.Counts("a", "b").Dropped(impair.DropQueue); got != 15 {
			tn.Errorf("%d datagrams dropped by the queue, want 15", got)
		}
	})
}

func TestNetworkPartition(t *testing.T) {
	inBubble(t, NetworkConfig{}, func(tn *testNet) {
		tn.path("a", "b", impair.Config{Delay: 5 * ms})
		a, b, c := tn.socket("a", 1), tn.socket("b", 1), tn.socket("c", 1)
		if err := tn.SetDown("a", "b", true); err != nil {
			tn.Fatal(err)
		}
		tn.send(a, b, []byte("lost"))
		tn.send(b, a, []byte("lost too"))
		tn.send(c, b, []byte("other path"))
		tn.wantDatagram(b, []byte("other path"), 0)
		tn.wantSilence(b, 50*ms)
		tn.wantSilence(a, 50*ms)
		if err := tn.SetDown("a", "b", false); err != nil {
			tn.Fatal(err)
		}
		tn.send(a, b, []byte("mended"))
		tn.wantDatagram(b, []byte("mended"), 105*ms)
		if got := tn.Counts("b", "a").Dropped(impair.DropDown); got != 1 {
			tn.Errorf("%d datagrams lost on the cut path, want 1", got)
		}
	})
}

func TestNetworkMTU(t *testing.T) {
	inBubble(t, NetworkConfig{}, func(tn *testNet) {
		a, b := tn.socket("a", 1), tn.socket("b", 1)
		tn.send(a, b, make([]byte, defaultMTU+1))
		tn.send(a, b, make([]byte, defaultMTU))
		tn.wantDatagram(b, make([]byte, defaultMTU), 0)
		if got := tn.Counts("a", "b").Dropped(impair.DropMTU); got != 1 {
			tn.Errorf("%d datagrams dropped for their size, want 1", got)
		}
	})
}

func TestSocketOverflowIsCounted(t *testing.T) {
	inBubble(t, NetworkConfig{}, func(tn *testNet) {
		a, b := tn.socket("a", 1), tn.socket("b", 1)
		for range socketQueue + 3 {
			tn.send(a, b, []byte("x"))
		}
		synctest.Wait()
		if got := b.Overflow(); got != 3 {
			tn.Errorf("%d datagrams overflowed, want 3", got)
		}
	})
}

func TestSocketErrors(t *testing.T) {
	inBubble(t, NetworkConfig{}, func(tn *testNet) {
		a := tn.socket("a", 1)
		if _, err := tn.Host("a").ListenUDP(1); err == nil {
			tn.Error("a port is opened twice")
		}
		if _, err := a.Write(nil); err == nil {
			tn.Error("a socket without a remote address writes")
		}
		go func() {
			time.Sleep(10 * ms)
			_ = a.Close() // what the test waits for below
		}()
		if _, _, err := a.ReadFrom(nil); !errors.Is(err, net.ErrClosed) || time.Since(tn.start) != 10*ms {
			tn.Errorf("read of a closed socket: %v after %v", err, time.Since(tn.start))
		}
		if _, err := a.WriteTo(nil, &net.UDPAddr{}); !errors.Is(err, net.ErrClosed) {
			tn.Errorf("write to a closed socket: %v", err)
		}
		tn.socket("a", 1) // the port is free again
	})
}

func TestSocketDeadlineMoves(t *testing.T) {
	inBubble(t, NetworkConfig{}, func(tn *testNet) {
		a := tn.socket("a", 1)
		go func() {
			time.Sleep(10 * ms)
			_ = a.SetReadDeadline(time.Now().Add(10 * ms)) // cannot fail
		}()
		_, _, err := a.ReadFrom(nil)
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() || time.Since(tn.start) != 20*ms {
			tn.Errorf("read: %v after %v, want a timeout after 20ms", err, time.Since(tn.start))
		}
		if _, _, err := a.ReadFrom(nil); !errors.Is(err, os.ErrDeadlineExceeded) {
			tn.Errorf("read after the deadline: %v", err)
		}
		tn.wantSilence(a, 5*ms)
	})
}

func TestStreams(t *testing.T) {
	inBubble(t, NetworkConfig{}, func(tn *testNet) {
		tn.path("client", "server", impair.Config{Delay: 20 * ms})
		server, client := tn.Host("server"), tn.Host("client")
		l, err := server.Listen(80)
		if err != nil {
			tn.Fatal(err)
		}
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(w, r.Body) // the test sees what is missing
		})}
		done := make(chan error)
		go func() { done <- srv.Serve(l) }()
		transport := &http.Transport{DialContext: client.DialContext}
		post := func(body string, want time.Duration) {
			tn.Helper()
			start := time.Now()
			resp, err := (&http.Client{Transport: transport}).Post("http://"+server.AddrPort(80).String()+"/", "text/plain", bytes.NewBufferString(body))
			if err != nil {
				tn.Fatal(err)
			}
			got, err := io.ReadAll(resp.Body)
			if err != nil || string(got) != body {
				tn.Errorf("got %q and %v", got, err)
			}
			if err := resp.Body.Close(); err != nil {
				tn.Error(err)
			}
			if took := time.Since(start); took != want {
				tn.Errorf("request took %v, want %v", took, want)
			}
		}
		post("hello", 80*ms) // one round trip to connect, one for the request
		post("again", 40*ms)
		transport.CloseIdleConnections()
		if err := srv.Close(); err != nil {
			tn.Error(err)
		}
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			tn.Errorf("server ended with %v", err)
		}
		if _, err := client.DialContext(tn.Context(), "tcp", server.AddrPort(80).String()); err == nil {
			tn.Error("a closed port accepts")
		}
	})
}

func TestStreamBreaksWithItsLink(t *testing.T) {
	inBubble(t, NetworkConfig{}, func(tn *testNet) {
		l, err := tn.Host("server").Listen(0)
		if err != nil {
			tn.Fatal(err)
		}
		near, err := tn.Host("client").DialContext(tn.Context(), "tcp", l.Addr().String())
		if err != nil {
			tn.Fatal(err)
		}
		far, err := l.Accept()
		if err != nil {
			tn.Fatal(err)
		}
		if _, err := near.Write([]byte("before")); err != nil {
			tn.Fatal(err)
		}
		if err := tn.SetDown("client", "server", true); err != nil {
			tn.Fatal(err)
		}
		if _, err := near.Write([]byte("after")); err == nil {
			tn.Error("a stream writes over a link that is down")
		}
		if err := near.Close(); err != nil {
			tn.Error(err)
		}
		got, err := io.ReadAll(far)
		if err != nil || string(got) != "before" {
			tn.Errorf("got %q and %v", got, err)
		}
		if err := far.Close(); err != nil {
			tn.Error(err)
		}
	})
}

func TestHostAddresses(t *testing.T) {
	inBubble(t, NetworkConfig{}, func(tn *testNet) {
		seen := map[netip.Addr]bool{}
		for i := range 300 {
			h := tn.Host(string(rune('a' + i)))
			if seen[h.Addr()] || tn.Host(h.Name()) != h {
				tn.Fatalf("host %q has the address %v of another", h.Name(), h.Addr())
			}
			seen[h.Addr()] = true
		}
	})
}
