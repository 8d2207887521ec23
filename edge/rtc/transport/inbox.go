package transport

import (
	"sync"
	"time"

	"github.com/pion/ice/v4"
)

// inbox is where what a client sends goes, but for STUN. It comes from the port's
// reader or, over TCP, from a goroutine of its own.
type inbox struct {
	mu    sync.Mutex
	dtls  *pipe        // nil until Start
	rtcp  func([]byte) // called with mu held
	plain []byte
	rtcpAllowance
}

func (in *inbox) begin(p *pipe, rtcp func([]byte)) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.dtls, in.rtcp = p, rtcp
}

// rtcpAllowance bounds the RTCP packets of one client, which are read on a goroutine
// that all share. Browsers send up to 40 in a second, and one for each loss.
type rtcpAllowance struct {
	left   float64
	filled time.Time
}

const (
	rtcpRate  = 250 // per second
	rtcpBurst = 500
)

func (a *rtcpAllowance) take(now time.Time) bool {
	if a.filled.IsZero() {
		a.left = rtcpBurst
	} else {
		a.left = min(rtcpBurst, a.left+now.Sub(a.filled).Seconds()*rtcpRate)
	}
	a.filled = now
	if a.left < 1 {
		return false
	}
	a.left--
	return true
}

// receive tells DTLS from RTCP by the first byte: RFC 7983, Section 7. Anything else
// a viewer has no reason to send. It does not keep b.
func (c *Conn) receive(b []byte) {
	in := &c.in
	in.mu.Lock()
	defer in.mu.Unlock()
	switch {
	case in.dtls == nil:
		c.refused.Add(1)
	case b[0] >= 20 && b[0] <= 63:
		_, _ = in.dtls.Write(b) // a full buffer loses a packet, as networks do
	case b[0] >= 128 && b[0] <= 191 && len(b) >= 8 && b[1] >= 192 && b[1] <= 223: // RFC 5761, Section 4
		k := c.keys.Load()
		if k == nil || !in.take(time.Now()) {
			c.refused.Add(1)
			return
		}
		plain, err := k.rtcp.open(in.plain[:0], b)
		if err != nil {
			c.refused.Add(1)
			return
		}
		in.plain = plain
		in.rtcp(plain)
	default:
		c.refused.Add(1)
	}
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
