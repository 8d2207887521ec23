package backbone_test

import (
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go/testutils/simnet"
)

// network joins the sockets of a test. Every direction of every path is its own:
// delay, rate, queue and loss. Where there is no path, packets vanish.
type network struct {
	tb   testing.TB
	seed uint64

	mu    sync.Mutex
	conns map[string]*simnet.SimConn
	paths map[[2]string]*path
	wg    sync.WaitGroup
}

// pathSpec is one direction of a path.
type pathSpec struct {
	delay   time.Duration
	rateBps float64       // 0: unlimited
	queue   time.Duration // of waiting, beyond which packets are dropped; 0: 200 ms
	loss    float64
	jitter  time.Duration // added, up to, without changing the order
}

type path struct {
	to   *simnet.SimConn
	ch   chan delivery
	mu   sync.Mutex
	spec pathSpec
	down bool
	held chan struct{} // closed when packets may go on, nil if they may
	rng  *rand.Rand
	free time.Time // when the wire is free
	last time.Time // when the last packet arrives
	lost int
}

type delivery struct {
	at time.Time
	p  simnet.Packet
}

func newNetwork(tb testing.TB, seed uint64) *network {
	tb.Helper()
	return &network{tb: tb, seed: seed, conns: map[string]*simnet.SimConn{}, paths: map[[2]string]*path{}}
}

// endpoint returns a socket.
func (n *network) endpoint(addr *net.UDPAddr) net.PacketConn {
	c := simnet.NewBlockingSimConn(addr, n)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conns[addr.String()] = c
	return c
}

// connect makes a path in both directions.
func (n *network) connect(a, b *net.UDPAddr, spec pathSpec) {
	n.set(a, b, spec)
	n.set(b, a, spec)
}

// set makes or changes one direction.
func (n *network) set(from, to *net.UDPAddr, spec pathSpec) {
	if spec.queue == 0 {
		spec.queue = 200 * time.Millisecond
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	key := [2]string{from.String(), to.String()}
	if p := n.paths[key]; p != nil {
		p.mu.Lock()
		p.spec = spec
		p.mu.Unlock()
		return
	}
	p := &path{
		to: n.conns[to.String()], ch: make(chan delivery, 1<<16), spec: spec,
		rng: rand.New(rand.NewPCG(n.seed, uint64(len(n.paths)))),
	}
	n.paths[key] = p
	n.wg.Go(p.run)
}

// cut makes the path silent, in both directions, or speak again.
func (n *network) cut(a, b *net.UDPAddr, down bool) {
	for _, key := range [][2]string{{a.String(), b.String()}, {b.String(), a.String()}} {
		n.mu.Lock()
		p := n.paths[key]
		n.mu.Unlock()
		p.mu.Lock()
		p.down = down
		p.mu.Unlock()
	}
}

// freeze stops all that a node sends and receives, or lets it go on: what was on
// its way arrives then.
func (n *network) freeze(addr net.Addr, frozen bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for key, p := range n.paths {
		if key[0] != addr.String() && key[1] != addr.String() {
			continue
		}
		p.mu.Lock()
		if p.held != nil {
			close(p.held)
			p.held = nil
		}
		if frozen {
			p.held = make(chan struct{})
		}
		p.mu.Unlock()
	}
}

func (n *network) close() {
	n.mu.Lock()
	for _, p := range n.paths {
		close(p.ch)
	}
	n.paths = map[[2]string]*path{}
	n.mu.Unlock()
	n.wg.Wait()
}

// SendPacket implements simnet.Router.
func (n *network) SendPacket(p simnet.Packet) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if path := n.paths[[2]string{p.From.String(), p.To.String()}]; path != nil {
		path.send(p)
	}
	return nil
}

// AddNode implements simnet.Router.
func (n *network) AddNode(net.Addr, simnet.PacketReceiver) {}

func (p *path) send(pkt simnet.Packet) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if p.down || p.rng.Float64() < p.spec.loss {
		p.lost++
		return
	}
	at := now
	if p.spec.rateBps > 0 {
		if p.free.Before(now) {
			p.free = now
		}
		if p.free.Sub(now) > p.spec.queue {
			p.lost++
			return
		}
		const udpIP = 28
		p.free = p.free.Add(time.Duration(float64(len(pkt.Data)+udpIP) * 8 / p.spec.rateBps * 1e9))
		at = p.free
	}
	at = at.Add(p.spec.delay)
	if p.spec.jitter > 0 {
		at = at.Add(time.Duration(p.rng.Int64N(int64(p.spec.jitter))))
	}
	if at.Before(p.last) {
		at = p.last
	}
	p.last = at
	select {
	case p.ch <- delivery{at, pkt}:
	default:
		p.lost++
	}
}

func (p *path) run() {
	for d := range p.ch {
		if wait := time.Until(d.at); wait > 0 {
			time.Sleep(wait)
		}
		p.mu.Lock()
		held := p.held
		p.mu.Unlock()
		if held != nil {
			<-held
		}
		p.to.RecvPacket(d.p)
	}
}
