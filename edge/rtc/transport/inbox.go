package transport

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/pion/ice/v4"

	"trellis/edge/rtc/packet"
	"trellis/internal/allowance"
)

// inbox is where what a client sends goes, but for STUN. It comes from the port's
// reader or, over TCP, from a goroutine of its own.
type inbox struct {
	mu    sync.Mutex
	dtls  *pipe   // nil until Start, and after Close
	to    Handler // called with mu held
	plain []byte
	room  allowance.Bucket // for RTCP
	work  allowance.Bucket // for media: microseconds of the goroutine that all share
	early [][]byte         // what came before the keys to open it
}

func (in *inbox) begin(p *pipe, h Handler) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.dtls, in.to = p, h
	in.room = allowance.New(rtcpRate, rtcpBurst)
	in.work = allowance.New(workRate, workBurst)
}

// close lets nothing more in.
func (in *inbox) close() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.dtls, in.early = nil, nil
}

const (
	// RTCP packets of one client, which are read on a goroutine that all share.
	// Browsers send up to 40 in a second, and one for each loss.
	rtcpRate  = 250 // per second
	rtcpBurst = 500
	// What the media of one client may take of that goroutine's time, in microseconds: a
	// packet takes three, but one can be made to take a hundred times that, as of
	// hundreds of parameter sets. No packet counts for more than workMost: the process may
	// have stood still meanwhile.
	workRate  = 250_000 // per second
	workBurst = 500_000
	workMost  = 5_000
	// earlyPackets bounds the packets of a publisher that wait for the keys: its handshake
	// can be over while ours still derives them, and the first picture begins with them.
	earlyPackets = 64
)

// receive tells DTLS from SRTP and SRTCP by the first bytes: RFC 7983, Section 7, and
// RFC 5761, Section 4. Anything else a client has no reason to send. It does not keep b,
// which it may spoil.
func (c *Conn) receive(b []byte, now time.Time) {
	in := &c.in
	in.mu.Lock()
	defer in.mu.Unlock()
	switch {
	case in.dtls == nil:
		c.refuse(RefusedEarly)
	case b[0] >= 20 && b[0] <= 63:
		_, _ = in.dtls.Write(b) // a full buffer loses a packet, as networks do
	case b[0] >= 128 && b[0] <= 191:
		c.protected(b, now)
	default:
		c.refuse(RefusedKind)
	}
}

// isRTCP tells RTCP from what else may come: RFC 7983, Section 7, and RFC 5761, Section 4.
func isRTCP(b []byte) bool {
	return len(b) >= 8 && b[0] >= 128 && b[0] <= 191 && b[1] >= 192 && b[1] <= 223
}

// protected takes a packet that the client's keys protect. The inbox is locked.
func (c *Conn) protected(b []byte, now time.Time) {
	in, k := &c.in, c.keys.Load()
	rtcp := isRTCP(b)
	switch {
	case !rtcp && in.to.RTP == nil:
		c.refuse(RefusedKind)
	case k == nil && in.to.RTP != nil && len(in.early) < earlyPackets:
		in.early = append(in.early, slices.Clone(b))
	case k == nil:
		c.refuse(RefusedEarly)
	case rtcp:
		plain, why := c.open(k, b, now)
		if why != NumRefusals {
			c.refuse(why)
			return
		}
		in.to.RTCP(plain, now)
	case !in.work.Has(now, workMost):
		c.refuse(RefusedWork)
	default:
		c.media(k, b, now)
		in.work.TakeN(now, int(min(time.Since(now).Microseconds(), workMost)))
	}
}

// unlock begins to use the keys: what has waited for them comes first.
func (c *Conn) unlock(k *keys) {
	in := &c.in
	in.mu.Lock()
	defer in.mu.Unlock()
	c.keys.Store(k)
	now := time.Now()
	for _, b := range in.early {
		c.protected(b, now)
	}
	in.early = nil
}

// media opens a packet of media. The inbox is locked.
func (c *Conn) media(k *keys, b []byte, now time.Time) {
	h, err := packet.ParseHeader(b)
	if err != nil {
		c.refuse(RefusedKind)
		return
	}
	payload, why, full := k.in.open(b, &h)
	if why != NumRefusals {
		c.refuse(why)
		if full {
			c.end(ErrSources)
		}
		return
	}
	c.in.to.RTP(packet.Packet{Header: h, Payload: payload, Arrival: now})
}

// open opens a compound RTCP packet, or says why it is not read. The inbox is locked.
func (c *Conn) open(k *keys, b []byte, now time.Time) ([]byte, Refusal) {
	in := &c.in
	plain, err := k.rtcp.open(in.plain[:0], b)
	switch {
	case errors.Is(err, errReplay):
		return nil, RefusedReplayed
	case errors.Is(err, errSources):
		return nil, RefusedSource
	case err != nil:
		return nil, RefusedForged
	case !in.room.Take(now):
		return nil, RefusedRTCPFlood
	}
	in.plain = plain
	return plain, NumRefusals
}

// readTCP begins to read from the client's TCP connection, which is not the Demux's.
func (c *Conn) readTCP(d *dest) {
	conn := c.stream.Load()
	if !d.tcp || conn == nil || c.overTCP.Swap(true) {
		return
	}
	c.wg.Go(func() { c.read(conn) })
}

func (c *Conn) read(conn *ice.Conn) {
	buf := make([]byte, receiveMTU)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			c.end(ErrClosed)
			return
		}
		if n > 0 {
			now := time.Now()
			c.heard(now)
			c.receive(buf[:n], now)
		}
	}
}

const receiveMTU = 1500

// heard notes that the client lives. The agent hears only its checks.
func (c *Conn) heard(now time.Time) { c.last.Store(now.UnixNano()) }

// listen ends the Conn once nothing at all has come for the time that the client may
// be silent. The agent has heard nothing for that long already.
func (c *Conn) listen() {
	if !c.quiet.Load() || c.ctx.Err() != nil {
		return
	}
	silent := time.Since(time.Unix(0, c.last.Load()))
	if silent >= c.port.cfg.Silence {
		c.end(ErrSilent)
		return
	}
	time.AfterFunc(c.port.cfg.Silence-silent, c.listen)
}
