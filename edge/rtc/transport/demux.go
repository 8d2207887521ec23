package transport

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"trellis/internal/allowance"
	"trellis/internal/udp"
)

// Demux is the node's UDP socket, as the ICE multiplexer reads from it. It keeps
// from the multiplexer what would cost it something: connectivity checks that prove
// no session's password, packets from addresses that no check has come from, and
// floods, which the multiplexer would put into a queue without a bound.
//
// What comes from a client and is not STUN goes straight to its Conn. A multiplexed
// packet would wake three goroutines on its way, or five where it is media. DTLS, SRTP
// and SRTCP prove themselves.
type Demux struct {
	net.PacketConn

	host *udp.Conn // the same, where it is one of the host's

	refused refusals

	mu     sync.Mutex
	ufrags map[string]*Client
	paths  map[netip.AddrPort]*Client
	strays strays
}

// Client is who may send to a Demux: a session with its ICE credentials.
type Client struct {
	demux *Demux
	conn  *Conn

	// Guarded by the Demux's lock.
	ufrag    string
	password []byte
	paths    []netip.AddrPort // it was checked at, the oldest first
	known    int              // addresses of its ICE session so far

	checks    allowance.Bucket
	forged    allowance.Bucket // checks under its name that were not its own
	addresses allowance.Bucket
	packets   allowance.Bucket
}

const (
	// maxPaths bounds the addresses that a client can be heard from: one for each of
	// its candidates, and those that its NATs make of them.
	maxPaths = 16
	// maxAddresses bounds those of one ICE session, for an agent never forgets one.
	// Beyond that the client's checks fail and it restarts ICE.
	maxAddresses = 256
	// Browsers begin a check every 50 ms and repeat those that go unanswered (RFC
	// 8445, Section 14), then check twice a second on each pair.
	checkRate, checkBurst = 100, 300
	// Verifying a check takes a few microseconds, so those of strangers who know a
	// session's name cost less than 1 % of a core.
	forgedRate, forgedBurst = 1000, 1000
	// A client that moves has a new address for each network and NAT binding.
	addressRate, addressBurst = 0.1, maxPaths
	// Publishers send media: 100 Mbit/s in packets of 1,200 bytes, twice that in a
	// burst. Viewers send feedback and a handshake.
	mediaRate, mediaBurst       = 10_000, 20_000
	feedbackRate, feedbackBurst = 1000, 2000
)

// NewDemux returns a Demux that reads from a socket, and closes it in the end. A
// *net.UDPConn it takes over, as [udp.Open] does.
func NewDemux(conn net.PacketConn) (*Demux, error) {
	if host, ok := conn.(*net.UDPConn); ok {
		var err error
		if conn, err = udp.Open(host); err != nil {
			return nil, err
		}
	}
	d := &Demux{PacketConn: conn, ufrags: map[string]*Client{}, paths: map[netip.AddrPort]*Client{}, strays: newStrays()}
	d.host, _ = conn.(*udp.Conn) // nil where it is not one of the host's
	return d, nil
}

// Refused counts what was not taken for a reason, by the Conns, too.
func (d *Demux) Refused(r Refusal) uint64 { return d.refused[r].Load() }

// ReadFromAddrPort implements ice.AddrPortReaderWriter: it returns the next packet
// that the multiplexer should have.
func (d *Demux) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	for {
		n, from, err := d.read(b)
		if err != nil || d.pass(b[:n], netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), time.Now()) {
			return n, from, err
		}
	}
}

// WriteToAddrPort implements ice.AddrPortReaderWriter.
func (d *Demux) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	if d.host != nil {
		return d.host.WriteToUDPAddrPort(b, to)
	}
	return d.WriteTo(b, net.UDPAddrFromAddrPort(to))
}

// send writes a packet of our own without waiting.
func (d *Demux) send(to *dest, b []byte) error {
	if d.host != nil {
		return d.host.TrySend(&to.sock, b)
	}
	_, err := d.WriteToAddrPort(b, to.addr)
	return err
}

func (d *Demux) read(b []byte) (int, netip.AddrPort, error) {
	if d.host != nil {
		return d.host.ReadFromUDPAddrPort(b)
	}
	n, from, err := d.ReadFrom(b)
	if err != nil {
		return n, netip.AddrPort{}, err
	}
	addr, ok := from.(*net.UDPAddr)
	if !ok {
		return n, netip.AddrPort{}, errNotUDP
	}
	return n, addr.AddrPort(), nil
}

// segments reports whether several packets can go to the kernel in one call.
func (d *Demux) segments() bool { return d.host != nil && d.host.Segments() }

// addr returns an address in the form that senders take.
func (d *Demux) addr(a netip.AddrPort) (to udp.Addr) {
	if d.host != nil {
		to = d.host.Addr(a)
	}
	return to
}

var errNotUDP = errors.New("a packet that came from no UDP address")

// pass reports whether a packet is for the multiplexer. Others it gives to their
// Conn, or refuses.
func (d *Demux) pass(b []byte, from netip.AddrPort, now time.Time) bool {
	if len(b) == 0 {
		return false
	}
	if b[0] < 4 { // RFC 7983, Section 7
		return d.check(b, from, now) != nil
	}
	d.mu.Lock()
	c := d.paths[from]
	room := c != nil && c.packets.Take(now)
	d.mu.Unlock()
	switch {
	case c == nil:
		d.stray(b, from, now)
	case !room:
		d.refused.add(RefusedFlood)
	default:
		c.conn.heard(now)
		c.conn.receive(b, now)
	}
	return false
}

// check returns whose client a STUN message is from, nil if that is not proved or
// it is more than a client has reason for. A lite agent sends no requests, so it
// needs no answers.
func (d *Demux) check(b []byte, from netip.AddrPort, now time.Time) *Client {
	m, ok := parseSTUN(b)
	if ok && m.kind == stunIndication {
		return d.indicated(from, now)
	}
	if !ok || m.kind != stunRequest {
		d.refused.add(RefusedCheckUnknown)
		return nil
	}
	d.mu.Lock()
	c := d.ufrags[string(m.ufrag)]
	var password []byte
	look := false
	if c != nil {
		password = c.password
		look = from.IsValid() && d.paths[from] == c || c.forged.Has(now, 1)
	}
	d.mu.Unlock()
	switch {
	case c == nil:
		d.refused.add(RefusedCheckUnknown)
		return nil
	case !look:
		d.refused.add(RefusedCheckForged)
		return nil
	}
	authentic := m.authentic(password)
	why := d.admit(c, authentic, from, now)
	if why != NumRefusals {
		d.refused.add(why)
		return nil
	}
	c.conn.heard(now)
	c.conn.checked(from)
	return c
}

// indicated takes a keep-alive, which proves nothing.
func (d *Demux) indicated(from netip.AddrPort, now time.Time) *Client {
	d.mu.Lock()
	c := d.paths[from]
	room := c != nil && c.checks.Take(now)
	d.mu.Unlock()
	switch {
	case c == nil:
		d.refused.add(RefusedStranger)
		return nil
	case !room:
		d.refused.add(RefusedCheckFlood)
		return nil
	}
	return c
}

// admit notes a check under a client's name. It returns why it is refused,
// NumRefusals if it is not.
func (d *Demux) admit(c *Client, authentic bool, from netip.AddrPort, now time.Time) Refusal {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case !authentic:
		c.forged.Take(now)
		return RefusedCheckForged
	case !c.checks.Take(now):
		return RefusedCheckFlood
	case !from.IsValid() || d.paths[from] == c: // over TCP it has no path here
		return NumRefusals
	}
	return d.enterLocked(c, from, now)
}

// enterLocked adds a path to a client's, unless it has too many.
func (d *Demux) enterLocked(c *Client, from netip.AddrPort, now time.Time) Refusal {
	if c.known == maxAddresses || !c.addresses.Take(now) {
		return RefusedAddress
	}
	// The oldest gives way: it is the one that the client has most likely left.
	if len(c.paths) == maxPaths {
		d.leaveLocked(c, c.paths[0])
		c.paths = append(c.paths[:0], c.paths[1:]...)
	}
	c.known++
	c.paths = append(c.paths, from)
	d.paths[from] = c
	d.strays.enter(c, from)
	return NumRefusals
}

// leaveLocked forgets a path of a client, unless it is another's by now.
func (d *Demux) leaveLocked(c *Client, path netip.AddrPort) {
	d.strays.leave(c, path)
	if d.paths[path] == c {
		delete(d.paths, path)
	}
}

// newClient makes the client of a Conn. It is over with Forget.
func (d *Demux) newClient(conn *Conn) *Client {
	return &Client{
		demux: d, conn: conn,
		checks:    allowance.New(checkRate, checkBurst),
		forged:    allowance.New(forgedRate, forgedBurst),
		addresses: allowance.New(addressRate, addressBurst),
		packets:   allowance.New(feedbackRate, feedbackBurst),
	}
}

// publishes says that the client sends media.
func (c *Client) publishes() {
	c.demux.mu.Lock()
	defer c.demux.mu.Unlock()
	c.packets = allowance.New(mediaRate, mediaBurst)
}

// Credentials says by which of ours the client is known from now on, in place of
// those before. What it sends from where it was checked before goes on to be taken.
func (c *Client) Credentials(ufrag, password string) {
	d := c.demux
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.ufrags, c.ufrag)
	c.ufrag, c.password, c.known = ufrag, []byte(password), 0
	d.ufrags[ufrag] = c
}

// Forget ends a client's part in the Demux.
func (c *Client) Forget() {
	d := c.demux
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ufrags[c.ufrag] == c {
		delete(d.ufrags, c.ufrag)
	}
	for _, p := range c.paths {
		d.leaveLocked(c, p)
	}
	c.ufrag, c.paths = "", nil
}
