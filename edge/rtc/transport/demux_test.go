package transport

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// script is a socket that packets come from as written down.
type script struct {
	net.PacketConn

	packets []scripted
}

type scripted struct {
	from    string
	payload []byte
}

func (s *script) ReadFrom(b []byte) (int, net.Addr, error) {
	if len(s.packets) == 0 {
		return 0, nil, net.ErrClosed
	}
	p := s.packets[0]
	s.packets = s.packets[1:]
	return copy(b, p.payload), net.UDPAddrFromAddrPort(netip.MustParseAddrPort(p.from)), nil
}

// binding is a STUN binding request with a USERNAME behind another attribute.
func binding(username string) []byte {
	attribute := func(b []byte, kind uint16, value string) []byte {
		b = binary.BigEndian.AppendUint16(b, kind)
		b = binary.BigEndian.AppendUint16(b, uint16(len(value)))
		b = append(b, value...)
		return append(b, make([]byte, -len(value)&3)...)
	}
	b := binary.BigEndian.AppendUint32([]byte{0, 1, 0, 0}, stunCookie)
	b = append(b, make([]byte, 12)...)
	return attribute(attribute(b, 0x0025, "odd"), stunUsername, username)
}

// TestDemux: what comes from a client that has named one of our Conns is that
// Conn's, but for STUN; all else is the multiplexer's.
func TestDemux(t *testing.T) {
	const mine, other = "192.0.2.1:1000", "192.0.2.2:1000"
	rtcp, dtls, odd := []byte{0x80, 200, 0, 1, 0, 0, 0, 1}, []byte{22, 0, 0}, []byte{0xff}
	s := &script{packets: []scripted{
		{mine, dtls}, // nobody's yet
		{other, binding("stranger:client")},
		{mine, binding("ours:client")},
		{mine, rtcp},
		{mine, dtls},
		{mine, odd},
		{"[::ffff:192.0.2.1]:1000", rtcp}, // the same address, from a socket for both
		{other, rtcp},
		{mine, binding("ours:client")}, // again
	}}
	d := NewDemux(s)
	p := &Port{cfg: Config{Demux: d, Silence: time.Second}}
	c := newConn(p, nil)
	c.in.begin(newPipe(), func([]byte) {})
	d.register(c, "ours")
	var passed []string
	buf := make([]byte, 1500)
	for {
		n, from, err := d.ReadFromAddrPort(buf)
		if err != nil {
			break
		}
		passed = append(passed, from.String()+" "+string(buf[:min(n, 1)]))
	}
	want := []string{mine + " \x16", other + " \x00", mine + " \x00", other + " \x80", mine + " \x00"}
	if len(passed) != len(want) {
		t.Fatalf("passed on %q, want %q", passed, want)
	}
	for i := range want {
		if passed[i] != want[i] {
			t.Errorf("packet %d: passed on %q, want %q", i, passed[i], want[i])
		}
	}
	if n := c.Refused(); n != 3 { // there are no keys: two of RTCP, and the odd one
		t.Errorf("%d packets refused, want 3", n)
	}
	if n, err := c.in.dtls.Read(buf); err != nil || n != len(dtls) {
		t.Errorf("DTLS got %d bytes, %v", n, err)
	}

	for i := range 2 * maxPaths {
		from := netip.AddrPortFrom(netip.MustParseAddr("192.0.2.3"), uint16(i+1))
		d.take(binding("ours:client"), from)
		if d.take(rtcp, from) != true {
			t.Errorf("path %d is not taken", i)
		}
	}
	if len(d.paths) != maxPaths || len(c.paths) != maxPaths {
		t.Errorf("%d paths are remembered, %d of the Conn, want %d", len(d.paths), len(c.paths), maxPaths)
	}
	d.register(c, "restarted")
	d.forget(c)
	if len(d.paths)+len(d.ufrags) != 0 {
		t.Errorf("%v and %v are left", d.paths, d.ufrags)
	}
}

// TestRTCPAllowance: a client that floods is read up to a bound.
func TestRTCPAllowance(t *testing.T) {
	var a rtcpAllowance
	now := time.Unix(1_700_000_000, 0)
	for _, c := range []struct {
		after time.Duration
		want  int
	}{{0, rtcpBurst}, {time.Second, rtcpRate}, {time.Hour, rtcpBurst}} {
		now = now.Add(c.after)
		got := 0
		for range 10_000 {
			if a.take(now) {
				got++
			}
		}
		if got != c.want {
			t.Errorf("after %v: %d packets are read, want %d", c.after, got, c.want)
		}
	}
}

// TestSilence: the agent hears nothing, but the client still sends feedback. It ends
// once that has stopped too.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newConn(&Port{cfg: Config{Silence: 8 * time.Second}}, nil)
		c.heard()
		c.quiet.Store(true)
		for range 20 {
			time.Sleep(time.Second)
			c.listen()
			c.heard()
		}
		time.Sleep(7 * time.Second)
		synctest.Wait()
		if err := c.cause(); err != nil {
			t.Fatalf("ended while it was heard: %v", err)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if err := context.Cause(c.Context()); !errors.Is(err, ErrSilent) {
			t.Errorf("ended with %v", err)
		}
	})
}

func FuzzSTUNUfrag(f *testing.F) {
	f.Add(binding("ours:client"))
	f.Add(binding("none"))
	f.Add(binding("ours:client")[:30])
	f.Fuzz(func(t *testing.T, b []byte) {
		if ufrag, ok := stunUfrag(b); ok && len(ufrag) > len(b) {
			t.Error("more than there is")
		}
	})
}
