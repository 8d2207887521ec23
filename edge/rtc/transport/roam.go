package transport

import (
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"trellis/internal/allowance"
)

// A NAT that forgets a client's binding gives it another port. The client does not
// notice, and its next connectivity check, which says where it is now, may be two
// seconds away; reports come sooner. So RTCP from another port of an address at which
// a client was checked moves that client, if only the client can have sealed it
// and nobody has seen it before: a check proves no more, and can be replayed. It must be
// confirmed by a check.

const (
	// roamPatience is how long a client that has moved may take to check its new path, as
	// those do that consent (RFC 7675, Section 5.1: every 5 s).
	roamPatience = 10 * time.Second
	// maxNeighbours bounds the paths at one address for which it is tried whose a packet
	// is: opening one takes half a microsecond. Behind a larger NAT a check is waited for.
	maxNeighbours = 16
	// strayRate and strayBurst bound what is tried at all, for who forges addresses.
	strayRate, strayBurst = 200, 400
)

// strays finds whose a packet may be that comes from where nobody was checked. It is
// guarded by the Demux's lock.
type strays struct {
	near map[netip.Addr]*neighbours
	room allowance.Bucket
}

// neighbours are those with a path at one address, one entry for each path. Beyond
// maxNeighbours they are only counted.
type neighbours struct {
	paths   int
	clients []*Client
}

func newStrays() strays {
	return strays{near: map[netip.Addr]*neighbours{}, room: allowance.New(strayRate, strayBurst)}
}

func (s *strays) enter(c *Client, path netip.AddrPort) {
	near := s.near[path.Addr()]
	if near == nil {
		near = &neighbours{}
		s.near[path.Addr()] = near
	}
	near.paths++
	if len(near.clients) < maxNeighbours {
		near.clients = append(near.clients, c)
	}
}

func (s *strays) leave(c *Client, path netip.AddrPort) {
	near := s.near[path.Addr()]
	if near == nil {
		return
	}
	if near.paths--; near.paths == 0 {
		delete(s.near, path.Addr())
		return
	}
	if i := slices.Index(near.clients, c); i >= 0 {
		near.clients = slices.Delete(near.clients, i, i+1)
	}
}

// suspects lists who may have sent a packet.
func (s *strays) suspects(b []byte, from netip.AddrPort, now time.Time) []*Client {
	near := s.near[from.Addr()]
	if near == nil || near.paths > maxNeighbours || !isRTCP(b) || !s.room.Take(now) {
		return nil
	}
	return slices.Clone(near.clients)
}

// stray takes a packet from where nobody was checked.
func (d *Demux) stray(b []byte, from netip.AddrPort, now time.Time) {
	d.mu.Lock()
	suspects := d.strays.suspects(b, from, now)
	d.mu.Unlock()
	for _, c := range suspects {
		if c.conn.roam(b, from, now) {
			return
		}
	}
	d.refused.add(RefusedStranger)
}

// roamed is a move that a check has not confirmed yet.
type roamed struct{ before, after *dest }

// roam takes RTCP from another port of the client's address, and moves the client there.
// It reports whether the packet is the client's.
func (c *Conn) roam(b []byte, from netip.AddrPort, now time.Time) bool {
	before := c.dest.Load()
	if before == nil || before.tcp || before.addr.Addr() != from.Addr() {
		return false
	}
	in := &c.in
	in.mu.Lock()
	defer in.mu.Unlock()
	k := c.keys.Load()
	if in.dtls == nil || k == nil {
		return false
	}
	plain, why := c.open(k, b, now)
	if why != NumRefusals {
		return false
	}
	demux := c.port.cfg.Demux
	if why := demux.adopt(c.client, from, now); why != NumRefusals {
		c.refuse(why)
		return true
	}
	move := &roamed{before: before, after: &dest{addr: from, sock: demux.addr(from)}}
	c.roamed.Store(move)
	if c.dest.CompareAndSwap(before, move.after) {
		c.port.cfg.Log.Debug("a client has another port", slog.Any("before", before.addr), slog.Any("after", from))
		time.AfterFunc(roamPatience, func() { c.moveBack(move) })
	}
	c.heard(now)
	in.to.RTCP(plain, now)
	return true
}

// adopt makes a path a client's that no check has come from. It returns why not,
// NumRefusals if it is.
func (d *Demux) adopt(c *Client, path netip.AddrPort, now time.Time) Refusal {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c.ufrag == "" { // it is over
		return RefusedStranger
	}
	return d.enterLocked(c, path, now)
}

// checked is told that a check has come on one of the client's paths.
func (c *Conn) checked(path netip.AddrPort) {
	switch move := c.roamed.Load(); {
	case move == nil:
	case path == move.after.addr:
		c.roamed.CompareAndSwap(move, nil)
	case path == move.before.addr: // the client is still there
		c.moveBack(move)
	}
}

// moveBack undoes a move that no check has confirmed.
func (c *Conn) moveBack(move *roamed) {
	if c.roamed.CompareAndSwap(move, nil) {
		c.dest.CompareAndSwap(move.after, move.before)
	}
}
