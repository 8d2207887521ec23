package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/ice/v4"
	"github.com/pion/srtp/v3"

	"trellis/edge/rtc/packet"
	"trellis/internal/udp"
)

// Why a Conn ends.
var (
	ErrSilent      = errors.New("the client has become silent")
	ErrHungUp      = errors.New("the client has closed its DTLS association")
	ErrFingerprint = errors.New("the client's certificate is not the one of its offer")
	ErrClosed      = errors.New("transport closed")
)

// Local is our side of a Conn's ICE session.
type Local struct {
	Ufrag, Pwd string
	// Candidates in the form of a=candidate, without that name.
	Candidates []string
}

// Remote is what the client said of itself in its offer.
type Remote struct {
	Ufrag, Pwd string
	// Fingerprints are its a=fingerprint values, of which one must match.
	Fingerprints []string
	// Passive: the client waits for our ClientHello (a=setup:passive).
	Passive bool
	// Inside speaks with the client inside the association, until that ends or there
	// is no more to say. It does not close it. Nil: nothing is said there.
	Inside func(net.Conn)
}

// Handler takes what a client sends. Its functions are called one at a time, on the
// goroutine that reads the port, which all clients share: they must not block, nor keep
// what they are given.
type Handler struct {
	// RTCP takes a compound packet.
	RTCP func(compound []byte, now time.Time)
	// RTP takes a packet of media, of an SSRC that has proved to be the client's. Nil: the
	// client has no reason to send any.
	RTP func(p packet.Packet)
	// Ready is told once that media can flow.
	Ready func()
}

// Conn is the transport of one client. Its methods are safe for concurrent use.
type Conn struct {
	port  *Port
	agent *ice.Agent

	dest   atomic.Pointer[dest]
	stream atomic.Pointer[ice.Conn] // for DTLS, and for media over TCP
	keys   atomic.Pointer[keys]
	assoc  atomic.Pointer[dtls.Conn]
	path   chan struct{} // closed once there is a dest
	ready  chan struct{} // closed once media can flow
	ctx    context.Context
	end    context.CancelCauseFunc
	wg     sync.WaitGroup

	client *Client      // its part in the Demux
	last   atomic.Int64 // when something came on one of its paths, in ns since the epoch
	quiet  atomic.Bool  // the agent has heard nothing for a while

	overTCP atomic.Bool // what comes over TCP is being read
	in      inbox

	roamed atomic.Pointer[roamed] // nil but for a while after a move

	mu    sync.Mutex // of what follows
	local Local
	found []string // candidates of a gathering that goes on
	whole chan struct{}

	refused refusals      // packets of the client that were not taken
	dropped atomic.Uint64 // packets that the kernel or the client's connection did not take
}

// dest is where the selected candidate pair leads.
type dest struct {
	addr netip.AddrPort
	sock udp.Addr // the same, made once
	tcp  bool
}

// keys protect what we send, and open what the client sends.
type keys struct {
	media sealer
	in    mediaGuard // opens for the inbox
	rtcp  rtcpGuard  // opens for the inbox, and seals under mu

	mu  sync.Mutex
	buf []byte
}

func newConn(p *Port, agent *ice.Agent) *Conn {
	c := &Conn{port: p, agent: agent, path: make(chan struct{}), ready: make(chan struct{})}
	c.ctx, c.end = context.WithCancelCause(context.Background())
	c.client = p.cfg.Demux.newClient(c)
	return c
}

// watch follows what the agent finds.
func (c *Conn) watch() error {
	return errors.Join(
		c.agent.OnConnectionStateChange(func(s ice.ConnectionState) {
			c.quiet.Store(s == ice.ConnectionStateDisconnected)
			if s == ice.ConnectionStateDisconnected {
				c.listen()
			}
			if s == ice.ConnectionStateFailed {
				c.end(ErrSilent)
			}
		}),
		c.agent.OnSelectedCandidatePairChange(func(_, remote ice.Candidate) {
			if d, ok := destOf(remote, c.port.cfg.Demux); ok {
				if c.dest.Swap(d) == nil {
					close(c.path)
				}
				c.readTCP(d)
			}
		}),
		c.agent.OnCandidate(func(cand ice.Candidate) {
			c.mu.Lock()
			defer c.mu.Unlock()
			if cand != nil {
				c.found = append(c.found, cand.Marshal())
				return
			}
			close(c.whole)
		}),
	)
}

func destOf(remote ice.Candidate, demux *Demux) (*dest, bool) {
	addr, err := netip.ParseAddr(remote.Address())
	if err != nil {
		return nil, false
	}
	d := &dest{addr: netip.AddrPortFrom(addr.Unmap(), uint16(remote.Port())), tcp: remote.NetworkType().IsTCP()}
	if !d.tcp {
		d.sock = demux.addr(d.addr)
	}
	return d, true
}

// gather finds our candidates and takes the agent's credentials.
func (c *Conn) gather(ctx context.Context) error {
	c.mu.Lock()
	c.found, c.whole = nil, make(chan struct{})
	whole := c.whole
	c.mu.Unlock()
	if err := c.agent.GatherCandidates(); err != nil {
		return fmt.Errorf("gather candidates: %w", err)
	}
	select {
	case <-whole:
	case <-ctx.Done():
		return fmt.Errorf("gather candidates: %w", context.Cause(ctx))
	case <-c.ctx.Done():
		return c.cause()
	}
	ufrag, pwd, err := c.agent.GetLocalUserCredentials()
	if err != nil {
		return fmt.Errorf("ICE credentials: %w", err)
	}
	c.client.Credentials(ufrag, pwd)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.local = Local{Ufrag: ufrag, Pwd: pwd, Candidates: c.found}
	return nil
}

// Local returns our credentials and candidates.
func (c *Conn) Local() Local {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.local
}

// Start waits for the client's checks and handshake in the background, and gives to h
// what comes.
func (c *Conn) Start(r Remote, h Handler) error {
	p := newPipe()
	c.in.begin(p, h)
	if h.RTP != nil {
		c.client.publishes()
	}
	conn, err := c.agent.StartAccept(r.Ufrag, r.Pwd)
	if err != nil {
		return fmt.Errorf("ICE: %w", err)
	}
	p.out = conn
	c.stream.Store(conn)
	c.wg.Go(func() { c.associate(r, p, h) })
	return nil
}

// Ready is closed once media can flow.
func (c *Conn) Ready() <-chan struct{} { return c.ready }

// Context ends with the Conn; its cause says why.
func (c *Conn) Context() context.Context { return c.ctx }

// cause returns why the Conn is over, nil while it is not.
func (c *Conn) cause() error { return context.Cause(c.ctx) }

// Dropped counts packets that were sealed and did not leave.
func (c *Conn) Dropped() uint64 { return c.dropped.Load() }

// Refused counts packets that came on the client's path and were not its own, were
// sent again, too many, or of a kind that the client has no reason to send.
func (c *Conn) Refused() uint64 { return c.refused.total() }

// refuse counts a packet that is not taken.
func (c *Conn) refuse(r Refusal) {
	c.refused.add(r)
	c.port.cfg.Demux.refused.add(r)
}

// Restart begins a new ICE session with new credentials on both sides; media goes
// on to where it went until the client has checked its new path: RFC 8445, Section 2.4.
func (c *Conn) Restart(ctx context.Context, ufrag, pwd string) error {
	if err := c.agent.Restart("", ""); err != nil {
		return fmt.Errorf("ICE restart: %w", err)
	}
	if err := c.gather(ctx); err != nil {
		return err
	}
	if err := c.agent.SetRemoteCredentials(ufrag, pwd); err != nil {
		return fmt.Errorf("ICE restart: %w", err)
	}
	return nil
}

// Close ends the Conn and waits for its goroutines. Nothing is given to its Handler
// after that.
func (c *Conn) Close() error {
	c.end(ErrClosed)
	var err error
	if conn := c.assoc.Load(); conn != nil {
		err = conn.Close() // tells the client, while the path is still there
	}
	c.client.Forget()
	c.in.close()
	err = errors.Join(err, c.agent.GracefulClose())
	c.wg.Wait()
	return err
}

// associate makes the DTLS association and keeps it until the client closes it.
func (c *Conn) associate(r Remote, p *pipe, h Handler) {
	if err := c.agent.AwaitConnect(c.ctx); err != nil {
		c.end(fmt.Errorf("ICE: %w", err))
		return
	}
	conn, err := c.handshake(r, p, h.RTP != nil)
	if err != nil {
		c.end(fmt.Errorf("DTLS: %w", err))
		return
	}
	c.assoc.Store(conn)
	// The agent tells of the path on a goroutine of its own, which may be the later one.
	select {
	case <-c.path:
	case <-c.ctx.Done():
		_ = conn.Close() // nobody reads it
		return
	}
	close(c.ready)
	h.Ready()
	if r.Inside != nil {
		r.Inside(conn)
	}
	var buf [64]byte
	for {
		// Nothing more is said inside the association; what ends the reading is its end.
		if _, err := conn.Read(buf[:]); err != nil {
			c.end(ErrHungUp)
			_ = conn.Close()
			return
		}
	}
}

// handshake makes the association and takes the SRTP keys from it: RFC 5764.
func (c *Conn) handshake(r Remote, p *pipe, publishes bool) (*dtls.Conn, error) {
	conn, err := c.dtls(r, p, publishes)
	if err != nil {
		return nil, err
	}
	if err := conn.HandshakeContext(c.ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	k, err := newKeys(conn, r.Passive, publishes)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	c.unlock(k)
	return conn, nil
}

func newKeys(conn *dtls.Conn, client, publishes bool) (*keys, error) {
	profile, ok := conn.SelectedSRTPProtectionProfile()
	if !ok {
		return nil, errors.New("the client has no SRTP profile in common with us")
	}
	state, ok := conn.ConnectionState()
	if !ok {
		return nil, errors.New("no keying material")
	}
	cfg := srtp.Config{Profile: srtp.ProtectionProfile(profile)}
	if err := cfg.ExtractSessionKeysFromDTLS(&state, client); err != nil {
		return nil, fmt.Errorf("keying material: %w", err)
	}
	media, err := newSealer(profile, cfg.Keys.LocalMasterKey, cfg.Keys.LocalMasterSalt)
	if err != nil {
		return nil, err
	}
	k := &keys{media: media}
	sources := maxSources
	if publishes {
		sources = maxMediaSources
		if k.in.opener, err = newOpener(profile, cfg.Keys.RemoteMasterKey, cfg.Keys.RemoteMasterSalt); err != nil {
			return nil, err
		}
	}
	k.rtcp, err = newRTCPGuard(profile, &cfg.Keys, sources)
	return k, err
}

// WriteRTCP protects a compound packet and sends it.
func (c *Conn) WriteRTCP(compound []byte) error {
	k, d := c.keys.Load(), c.dest.Load()
	if k == nil || d == nil {
		return ErrClosed
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	b, err := k.rtcp.seal(k.buf[:0], compound)
	if err != nil {
		return fmt.Errorf("protect RTCP: %w", err)
	}
	k.buf = b
	return c.send(d, b)
}

// send sends one packet to the client. It does not wait: it is also called by who reads
// the port.
func (c *Conn) send(d *dest, b []byte) error {
	var err error
	if d.tcp {
		err = c.sendTCP(b)
	} else {
		err = c.port.cfg.Demux.send(d, b)
	}
	if err != nil {
		c.dropped.Add(1)
	}
	return err
}
