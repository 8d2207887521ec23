package transport

import (
	"errors"
	"sync"
	"time"

	"github.com/pion/ice/v4"

	"trellis/internal/allowance"
)

// inbox is where what a client sends goes, but for STUN. It comes from the port's
// reader or, over TCP, from a goroutine of its own.
type inbox struct {
	mu    sync.Mutex
	dtls  *pipe        // nil until Start
	rtcp  func([]byte) // called with mu held
	plain []byte
	room  allowance.Bucket // for RTCP
}

func (in *inbox) begin(p *pipe, rtcp func([]byte)) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.dtls, in.rtcp = p, rtcp
	in.room = allowance.New(rtcpRate, rtcpBurst)
}

const (
	// RTCP packets of one client, which are read on a goroutine that all share.
	// Browsers send up to 40 in a second, and one for each loss.
	rtcpRate  = 250 // per second
	rtcpBurst = 500
)

// receive tells DTLS from RTCP by the first byte: RFC 7983, Section 7. Anything else
// a viewer has no reason to send. It does not keep b.
func (c *Conn) receive(b []byte) {
	in := &c.in
	in.mu.Lock()
	defer in.mu.Unlock()
	switch {
	case in.dtls == nil:
		c.refuse(RefusedEarly)
	case b[0] >= 20 && b[0] <= 63:
		_, _ = in.dtls.Write(b) // a full buffer loses a packet, as networks do
	case isRTCP(b):
		plain, why := c.open(b)
		if why != NumRefusals {
			c.refuse(why)
			return
		}
		in.rtcp(plain)
	default:
		c.refuse(RefusedKind)
	}
}

// isRTCP tells RTCP from what else may come: RFC 7983, Section 7, and RFC 5761, Section 4.
func isRTCP(b []byte) bool {
	return len(b) >= 8 && b[0] >= 128 && b[0] <= 191 && b[1] >= 192 && b[1] <= 223
}

// open opens a compound RTCP packet, or says why it is not read. The inbox is locked.
func (c *Conn) open(b []byte) ([]byte, Refusal) {
	in, k := &c.in, c.keys.Load()
	if k == nil {
		return nil, RefusedEarly
	}
	plain, err := k.rtcp.open(in.plain[:0], b)
	switch {
	case errors.Is(err, errReplay):
		return nil, RefusedReplayed
	case errors.Is(err, errSources):
		return nil, RefusedSource
	case err != nil:
		return nil, RefusedForged
	case !in.room.Take(time.Now()):
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
			c.heard()
			c.receive(buf[:n])
		}
	}
}

const receiveMTU = 1500

// heard notes that the client lives. The agent hears only its checks.
func (c *Conn) heard() { c.last.Store(time.Now().UnixNano()) }

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
