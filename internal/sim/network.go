package sim

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"trellis/internal/impair"
)

// NetworkConfig describes a simulated network. A zero field means its default.
type NetworkConfig struct {
	// Seed makes loss and jitter repeatable. Each direction between two hosts
	// has a generator of its own, so that traffic elsewhere does not change it.
	Seed uint64
	// Path says what the way from one host to another is like until SetLink
	// says otherwise. Default: perfect. It must be a pure function.
	Path func(from, to string) impair.Config
	// MTU is the largest datagram on links that do not set their own, in bytes
	// of UDP payload. Default 1472: Ethernet's 1500 without the headers of IPv4.
	MTU int
	// Grain rounds up when datagrams arrive, so that those of one moment are
	// handed over together: large worlds run faster, and every hop is longer by
	// half of it on average. Default: exact.
	Grain time.Duration
}

const defaultMTU = 1472

// Network carries datagrams and streams between hosts. It has no goroutine: a
// timer delivers what is due.
//
// Between two hosts there is one link in each direction, shared by all their
// sockets. A host reaches itself at once.
type Network struct {
	cfg NetworkConfig

	mu       sync.Mutex
	byName   map[string]*Host
	byAddr   map[netip.Addr]*Host
	links    map[direction]*impair.Link
	underWay impair.Queue[delivery]
	due      []delivery // taken off underWay, in the timer's hands
	timer    *time.Timer
	start    time.Time
	closed   bool
}

// direction is a pair of hosts, by number: the map of them is looked into for
// every datagram.
type direction uint64

func directionOf(from, to *Host) direction { return direction(from.number)<<32 | direction(to.number) }

// delivery is something under way: data for a receiver.
type delivery struct {
	to   receiver
	from netip.AddrPort
	data []byte
}

// receiver is the far end of something under way. It is called without the
// network's lock and must not block.
type receiver interface {
	deliver(from netip.AddrPort, data []byte)
}

// NewNetwork returns a network without hosts. Call it inside the synctest
// bubble that uses it, and Close it there.
func NewNetwork(cfg NetworkConfig) *Network {
	if cfg.Path == nil {
		cfg.Path = func(_, _ string) impair.Config { return impair.Config{} }
	}
	if cfg.MTU == 0 {
		cfg.MTU = defaultMTU
	}
	n := &Network{
		cfg:    cfg,
		byName: make(map[string]*Host),
		byAddr: make(map[netip.Addr]*Host),
		links:  make(map[direction]*impair.Link),
		start:  time.Now(),
	}
	n.timer = time.AfterFunc(time.Hour, n.deliverDue)
	n.timer.Stop()
	return n
}

// Host returns the host of that name, a new one with an address of its own if
// there is none yet.
func (n *Network) Host(name string) *Host {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.hostLocked(name)
}

func (n *Network) hostLocked(name string) *Host {
	if h := n.byName[name]; h != nil {
		return h
	}
	i := len(n.byName) + 1
	h := &Host{
		net:       n,
		name:      name,
		number:    uint32(i),
		addr:      netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}),
		sockets:   make(map[uint16]*Conn),
		listeners: make(map[uint16]*Listener),
		nextPort:  firstPort,
	}
	n.byName[name], n.byAddr[h.addr] = h, h
	return h
}

// SetLink changes one direction between two hosts.
func (n *Network) SetLink(from, to string, cfg impair.Config) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	l, err := n.linkLocked(n.hostLocked(from), n.hostLocked(to))
	if err != nil {
		return err
	}
	return l.Set(n.withMTU(cfg))
}

// SetPath changes both directions between two hosts.
func (n *Network) SetPath(a, b string, cfg impair.Config) error {
	if err := n.SetLink(a, b, cfg); err != nil {
		return err
	}
	return n.SetLink(b, a, cfg)
}

// SetDown cuts or mends both directions between two hosts, and leaves them
// otherwise as they are.
func (n *Network) SetDown(a, b string, down bool) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, d := range [][2]string{{a, b}, {b, a}} {
		if err := n.setDownLocked(d[0], d[1], down); err != nil {
			return err
		}
	}
	return nil
}

// SetDownOneWay cuts or mends one direction between two hosts.
func (n *Network) SetDownOneWay(from, to string, down bool) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.setDownLocked(from, to, down)
}

func (n *Network) setDownLocked(from, to string, down bool) error {
	l, err := n.linkLocked(n.hostLocked(from), n.hostLocked(to))
	if err != nil {
		return err
	}
	cfg := l.Config()
	cfg.Down = down
	return l.Set(cfg)
}

// Link returns what one direction between two hosts is like now.
func (n *Network) Link(from, to string) (impair.Config, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	l, err := n.linkLocked(n.hostLocked(from), n.hostLocked(to))
	if err != nil {
		return impair.Config{}, err
	}
	return l.Config(), nil
}

// Counts returns what happened to the datagrams of one direction.
func (n *Network) Counts(from, to string) impair.Counts {
	n.mu.Lock()
	defer n.mu.Unlock()
	if l := n.links[directionOf(n.hostLocked(from), n.hostLocked(to))]; l != nil {
		return l.Counts()
	}
	return impair.Counts{}
}

// Close closes every socket and drops what is under way.
func (n *Network) Close() {
	n.mu.Lock()
	n.closed = true
	n.timer.Stop()
	n.underWay = impair.Queue[delivery]{}
	var open []interface{ Close() error }
	for _, h := range n.byName {
		for _, c := range h.sockets {
			open = append(open, c)
		}
		for _, l := range h.listeners {
			open = append(open, l)
		}
	}
	n.mu.Unlock()
	for _, c := range open {
		_ = c.Close() // closed already at worst
	}
}

func (n *Network) withMTU(cfg impair.Config) impair.Config {
	if cfg.MTU == 0 {
		cfg.MTU = n.cfg.MTU
	}
	return cfg
}

func (n *Network) linkLocked(a, b *Host) (*impair.Link, error) {
	d, from, to := directionOf(a, b), a.name, b.name
	if l := n.links[d]; l != nil {
		return l, nil
	}
	name := fnv.New64a()
	_, _ = fmt.Fprintf(name, "%q %q", from, to) // a hash cannot fail
	rng := rand.New(rand.NewPCG(n.cfg.Seed, name.Sum64()))
	l, err := impair.NewLink(n.withMTU(n.cfg.Path(from, to)), rng)
	if err != nil {
		return nil, fmt.Errorf("link %s to %s: %w", from, to, err)
	}
	n.links[d] = l
	return l, nil
}

// sendDatagram copies b and puts it on its way. Like a real network it is
// silent about what does not arrive.
func (n *Network) sendDatagram(h *Host, from, to netip.AddrPort, b []byte) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return net.ErrClosed
	}
	dst := n.byAddr[to.Addr()]
	if dst == nil || h.off || dst.off {
		return nil // no such host, or no power
	}
	at := time.Now()
	if dst != h {
		l, err := n.linkLocked(h, dst)
		if err != nil {
			return err
		}
		var drop impair.Drop
		if at, drop = l.Send(at, len(b)); drop != impair.DropNone {
			return nil
		}
	}
	// The socket is looked up now and not on arrival, which spares a lookup and
	// differs only for one that opens while this is under way.
	if c := dst.sockets[to.Port()]; c != nil {
		d := delivery{to: c, from: from, data: append([]byte(nil), b...)}
		switch {
		case !h.frozen:
			n.pushLocked(at, d)
		case len(h.held) < socketQueue:
			h.held = append(h.held, heldDelivery{d, time.Until(at)})
		}
	}
	return nil
}

func (n *Network) pushLocked(at time.Time, d delivery) {
	if g := n.cfg.Grain; g > 0 {
		if over := at.Sub(n.start) % g; over > 0 {
			at = at.Add(g - over)
		}
	}
	if n.underWay.Push(at, d) {
		n.timer.Reset(time.Until(at))
	}
}

// deliverDue hands over what is due; the timer calls it.
func (n *Network) deliverDue() {
	n.mu.Lock()
	for {
		now := time.Now()
		due := n.due[:0]
		for {
			d, ok := n.underWay.Pop(now)
			if !ok {
				break
			}
			due = append(due, d)
		}
		if len(due) == 0 {
			if next, some := n.underWay.Next(); some && !n.closed {
				n.timer.Reset(time.Until(next))
			}
			n.mu.Unlock()
			return
		}
		n.due = nil // nobody else's while the lock is not held
		n.mu.Unlock()
		for i := range due {
			due[i].to.deliver(due[i].from, due[i].data)
		}
		clear(due)
		n.mu.Lock()
		n.due = due
	}
}

// SetPower turns a host off or on. One that is off neither sends nor receives,
// and what is under way to it is lost with it.
func (n *Network) SetPower(host string, on bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.hostLocked(host)
	h.off = !on
	for _, c := range h.sockets {
		c.off.Store(!on)
	}
}

// SetFrozen lets a host stand still, as if its processes were stopped: what comes
// waits in its sockets, what it sends waits with it, and both go on when it is
// over. Its timers run, which those of a stopped process would not.
func (n *Network) SetFrozen(host string, frozen bool) {
	n.mu.Lock()
	h := n.hostLocked(host)
	h.frozen = frozen
	held := h.held
	h.held = nil
	now := time.Now()
	for _, d := range held {
		n.pushLocked(now.Add(d.left), d.delivery)
	}
	sockets := make([]*Conn, 0, len(h.sockets))
	for _, c := range h.sockets {
		sockets = append(sockets, c)
	}
	n.mu.Unlock()
	for _, c := range sockets {
		c.setFrozen(frozen)
	}
}

// heldDelivery is something that a frozen host has sent.
type heldDelivery struct {
	delivery

	left time.Duration // what it still takes from when it goes on
}
