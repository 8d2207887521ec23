package transport

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/stun/v4"
)

func newDemux(tb testing.TB, conn net.PacketConn) *Demux {
	tb.Helper()
	d, err := NewDemux(conn)
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

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

// password is that of all clients here.
const password = "a password of a client of ours"

// binding is a connectivity check.
func binding(tb testing.TB, username, password string) []byte {
	tb.Helper()
	m, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewSoftware("odd"), stun.NewUsername(username),
		stun.NewShortTermIntegrity(password), stun.Fingerprint)
	if err != nil {
		tb.Fatal(err)
	}
	return m.Raw
}

// TestDemux: what comes from where a client of a Conn was checked is that Conn's, but
// for the checks; what comes from nobody is nobody's.
func TestDemux(t *testing.T) {
	const mine, other = "192.0.2.1:1000", "192.0.2.2:1000"
	rtcp, dtls, odd := []byte{0x80, 200, 0, 1, 0, 0, 0, 1}, []byte{22, 0, 0}, []byte{0xff}
	ours := binding(t, "ours:client", password)
	s := &script{packets: []scripted{
		{mine, dtls}, // nobody's yet
		{other, binding(t, "stranger:client", password)},
		{other, binding(t, "ours:client", "guessed")},
		{mine, ours},
		{mine, rtcp},
		{mine, dtls},
		{mine, odd},
		{"[::ffff:192.0.2.1]:1000", rtcp}, // the same address, from a socket for both
		{other, rtcp},
		{mine, ours}, // again
		{other, []byte{0, 1, 0, 0}},
	}}
	d := newDemux(t, s)
	c := newConn(&Port{cfg: Config{Demux: d, Silence: time.Second}}, nil)
	c.in.begin(newPipe(), Handler{RTCP: func([]byte, time.Time) {}})
	c.client.Credentials("ours", password)
	var passed []string
	buf := make([]byte, 1500)
	for {
		n, from, err := d.ReadFromAddrPort(buf)
		if err != nil {
			break
		}
		passed = append(passed, from.String()+" "+string(buf[:min(n, 1)]))
	}
	if want := []string{mine + " \x00", mine + " \x00"}; !slices.Equal(passed, want) {
		t.Errorf("passed on %q, want %q", passed, want)
	}
	if n := c.Refused(); n != 3 { // there are no keys: two of RTCP, and the odd one
		t.Errorf("%d packets refused, want 3", n)
	}
	if n, err := c.in.dtls.Read(buf); err != nil || n != len(dtls) {
		t.Errorf("DTLS got %d bytes, %v", n, err)
	}
	for r, want := range map[Refusal]uint64{
		RefusedStranger: 2, RefusedCheckUnknown: 2, RefusedCheckForged: 1, RefusedEarly: 2, RefusedKind: 1,
	} {
		if got := d.Refused(r); got != want {
			t.Errorf("%v: %d, want %d", r, got, want)
		}
	}
	c.client.Credentials("restarted", password)
	if d.pass(ours, netip.MustParseAddrPort(mine), time.Now()) {
		t.Error("the name before the restart is still taken")
	}
	c.client.Forget()
	if len(d.paths)+len(d.ufrags) != 0 {
		t.Errorf("%v and %v are left", d.paths, d.ufrags)
	}
}

// TestDemuxAddresses: a client that comes from ever more addresses is heard from the
// last of the first few, and no more than so many become known to its agent.
func TestDemuxAddresses(t *testing.T) {
	d := newDemux(t, &script{})
	c := newConn(&Port{cfg: Config{Demux: d}}, nil)
	c.client.Credentials("ours", password)
	b := binding(t, "ours:client", password)
	now := time.Unix(1_700_000_000, 0)
	address := func(i int) netip.AddrPort {
		return netip.AddrPortFrom(netip.MustParseAddr("192.0.2.3"), uint16(i+1))
	}
	passed := 0
	for i := range 1000 {
		if d.pass(b, address(i), now) {
			passed++
		}
		now = now.Add(10 * time.Millisecond) // no more checks than it may have
	}
	if passed != addressBurst {
		t.Errorf("%d addresses within 10 s, want %d", passed, addressBurst)
	}
	for i := range 2000 {
		now = now.Add(10 * time.Second)
		if d.pass(b, address(1000+i), now) {
			passed++
		}
	}
	if passed != maxAddresses {
		t.Errorf("%d addresses, want %d", passed, maxAddresses)
	}
	if len(d.paths) != maxPaths || len(c.client.paths) != maxPaths {
		t.Errorf("%d paths are remembered, %d of the client, want %d", len(d.paths), len(c.client.paths), maxPaths)
	}
	if got := d.Refused(RefusedAddress); got != uint64(3000-passed) {
		t.Errorf("%d refused of %d", got, 3000-passed)
	}
	// A new ICE session begins anew, and what is sent from the old path is taken.
	c.client.Credentials("restarted", password)
	if !d.pass(binding(t, "restarted:client", password), address(5000), now) {
		t.Error("a check after the restart is refused")
	}
	c.client.Forget()
	if len(d.paths)+len(d.ufrags) != 0 {
		t.Errorf("%v and %v are left", d.paths, d.ufrags)
	}
}

// TestDemuxFloods: of a second of each flood what passes is bounded, and another
// client is heard meanwhile.
func TestDemuxFloods(t *testing.T) {
	client := netip.MustParseAddrPort("192.0.2.1:1000")
	ours, forged := binding(t, "ours:client", password), binding(t, "ours:client", "guessed")
	indication, err := stun.Build(stun.TransactionID, stun.NewType(stun.MethodBinding, stun.ClassIndication), stun.Fingerprint)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		packet []byte
		from   netip.AddrPort
		most   int
		why    Refusal
	}{
		{"checks", ours, client, checkRate + checkBurst, RefusedCheckFlood},
		{"indications", indication.Raw, client, checkRate + checkBurst, RefusedCheckFlood},
		{"indications of strangers", indication.Raw, netip.MustParseAddrPort("192.0.2.2:1"), 0, RefusedStranger},
		{"forged checks", forged, client, 0, RefusedCheckForged},
		{"forged checks of strangers", forged, netip.MustParseAddrPort("192.0.2.2:1"), 0, RefusedCheckForged},
		{"media", []byte{0x80, 96, 0, 1}, client, mediaRate + mediaBurst, RefusedFlood},
		{"media of strangers", []byte{0x80, 96, 0, 1}, netip.MustParseAddrPort("192.0.2.2:1"), 0, RefusedStranger},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDemux(t, &script{})
			flooding, honest := publisher(d), publisher(d)
			flooding.Credentials("ours", password)
			honest.Credentials("other", password)
			now := time.Unix(1_700_000_000, 0)
			d.pass(ours, client, now)
			other, their := netip.MustParseAddrPort("192.0.2.9:1000"), binding(t, "other:client", password)
			passed, heard := 0, 0
			const flood = 100_000
			for i := range flood {
				now = now.Add(time.Second / flood)
				if taken(d, c.packet, c.from, now) {
					passed++
				}
				if i%5000 == 0 && d.pass(their, other, now) && taken(d, []byte{0x80, 96, 0, 1}, other, now) {
					heard++
				}
			}
			if passed > c.most {
				t.Errorf("%d passed of %d, want at most %d", passed, flood, c.most)
			}
			if got := d.Refused(c.why); got != uint64(flood-passed) {
				t.Errorf("%d are counted as %v, %d did not pass", got, c.why, flood-passed)
			}
			if heard != 20 {
				t.Errorf("another client was heard %d times of 20", heard)
			}
			if len(d.paths) != 2 || len(d.ufrags) != 2 {
				t.Errorf("%d paths and %d names are remembered", len(d.paths), len(d.ufrags))
			}
		})
	}
}

// publisher makes a client that may send media, and has not begun its handshake.
func publisher(d *Demux) *Client {
	c := newConn(&Port{cfg: Config{Demux: d, Silence: time.Second}}, nil)
	c.client.publishes()
	return c.client
}

// taken reports whether a packet goes to the multiplexer or to a Conn, which is not
// ready for it.
func taken(d *Demux, b []byte, from netip.AddrPort, now time.Time) bool {
	before := d.Refused(RefusedEarly)
	return d.pass(b, from, now) || d.Refused(RefusedEarly) > before
}

// TestDemuxTakesOver: a socket that a client uses for its next session is the new
// one's, and stays it when the old one ends.
func TestDemuxTakesOver(t *testing.T) {
	d := newDemux(t, &script{})
	a, b := publisher(d), publisher(d)
	a.Credentials("a", password)
	b.Credentials("b", password)
	from, now := netip.MustParseAddrPort("192.0.2.1:1000"), time.Now()
	d.pass(binding(t, "a:client", password), from, now)
	d.pass(binding(t, "b:client", password), from, now)
	a.Forget()
	if d.paths[from] != b {
		t.Error("the path went with the old session")
	}
	b.Forget()
	if len(d.paths)+len(d.ufrags) != 0 {
		t.Errorf("%v and %v are left", d.paths, d.ufrags)
	}
}

// TestSilence: the agent hears nothing, but the client still sends feedback. It ends
// once that has stopped too.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newConn(&Port{cfg: Config{Demux: newDemux(t, nil), Silence: 8 * time.Second}}, nil)
		c.heard(time.Now())
		c.quiet.Store(true)
		for range 20 {
			time.Sleep(time.Second)
			c.listen()
			c.heard(time.Now())
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

// FuzzParseSTUN reads messages as pion does: what is authentic for us is so for it.
func FuzzParseSTUN(f *testing.F) {
	ours := binding(f, "ours:client", password)
	f.Add(ours)
	f.Add(binding(f, "none", password))
	f.Add(ours[:30])
	f.Add(append(slices.Clone(ours[:20]), make([]byte, 100)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, ok := parseSTUN(b)
		if !ok {
			return
		}
		if len(m.ufrag) > len(b) || m.mac+24 > len(b) && m.mac != 0 {
			t.Fatalf("more than there is: %+v", m)
		}
		if !m.authentic([]byte(password)) {
			return
		}
		p := &stun.Message{Raw: slices.Clone(b)}
		if err := p.Decode(); err != nil {
			t.Fatal(err)
		}
		if err := stun.NewShortTermIntegrity(password).Check(p); err != nil {
			t.Fatal(err)
		}
	})
}
