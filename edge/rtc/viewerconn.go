package rtc

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"trellis/edge/rtc/bwe"
	"trellis/edge/rtc/channels"
	"trellis/edge/rtc/stream"
	"trellis/edge/rtc/transport"
)

// viewerConn is a viewer's connection.
type viewerConn struct {
	*transport.Conn
	port     *transport.Port
	session  *Session
	steering *steering
	asks     asks

	offer    *offer                     // the last one; guarded by Session.negotiation
	sections atomic.Pointer[[]answered] // the slice is replaced, never changed
}

// newViewerConn makes the transport of a viewer, gives it to the tracks, and
// returns the answer. up is called once media can flow.
func (s *Session) newViewerConn(
	ctx context.Context, o *offer, sections []answered, st *steering, up func(),
) (connection, string, error) {
	conn, err := s.edge.port.Open(ctx)
	if err != nil {
		return nil, "", err
	}
	c := &viewerConn{Conn: conn, port: s.edge.port, session: s, steering: st, asks: newAsks()}
	answer, err := c.accept(o, sections)
	if err != nil {
		return c, "", err
	}
	s.endWithConn(conn) //nolint:contextcheck // it is the transport's end that counts
	remote := o.remote()
	if o.data != nil {
		remote.Inside = c.openChannels
	}
	err = conn.Start(remote, transport.Handler{RTCP: c.read, Ready: func() { s.tasks.run(up) }})
	if err != nil {
		return c, "", errors.Join(ErrBadOffer, err)
	}
	return c, answer, nil
}

// openChannels opens the client's data channels as long as the association lasts.
func (c *viewerConn) openChannels(association net.Conn) {
	err := channels.Serve(association, stream.LoggerFactory{Log: c.session.log})
	c.session.log.Debug("data channels ended", slog.Any("cause", err))
}

// accept answers an offer, and makes viewers of the tracks that have none.
func (c *viewerConn) accept(o *offer, sections []answered) (string, error) {
	for _, a := range sections {
		if a.track != nil && a.track.viewer == nil {
			a.track.cfg.out = c.Conn
			a.track.viewer = newViewer(a.track.cfg)
		}
	}
	c.offer = o
	c.sections.Store(&sections)
	return c.answer()
}

func (c *viewerConn) answer() (string, error) {
	return writeAnswer(c.offer, *c.sections.Load(), c.Local(), c.port.Fingerprint())
}

// read passes what the viewer reports on to the steering and the lanes.
func (c *viewerConn) read(compound []byte, now time.Time) {
	for len(compound) > 0 {
		size, ok := rtcpSize(compound)
		if !ok {
			c.skip(skipBadFeedback)
			return
		}
		packet := compound[:size]
		compound = compound[size:]
		if packet[1] == rtcpTransport && packet[0]&0x1f == formatTCC {
			c.arrivals(packet, now)
			continue
		}
		c.request(packet, now)
	}
}

// arrivals takes what the viewer says of when packets arrived.
func (c *viewerConn) arrivals(packet []byte, now time.Time) {
	f, err := bwe.ParseTransportFeedback(packet)
	switch {
	case err != nil:
		c.skip(skipBadFeedback)
	case !c.asks.reports.TakeN(now, max(f.Count, 1)):
		c.skip(skipReports)
	default:
		c.steering.feedback(packet, now)
	}
}

func (c *viewerConn) skip(why skip) { c.session.edge.metrics.skipped[why].Inc() }

// rtcpSize returns the size of the first packet of a compound: RFC 3550, Section 6.4.1.
func rtcpSize(compound []byte) (int, bool) {
	if len(compound) < 4 || compound[0]>>6 != 2 {
		return 0, false
	}
	size := 4 * (int(binary.BigEndian.Uint16(compound[2:])) + 1)
	return size, size <= len(compound)
}

// request passes on what a viewer asks of its tracks.
func (c *viewerConn) request(packet []byte, now time.Time) {
	a, ok := parseRequest(packet)
	if !ok {
		c.skip(skipBadFeedback)
		return
	}
	if a.kind == commandJoin { // it asks for nothing
		c.reports(packet, now)
		return
	}
	known := false
	for _, s := range *c.sections.Load() {
		if t := s.track; t != nil && a.of(t.cfg.ssrc) {
			known = true
			if why := t.feedback(&a, &c.asks, now); why != numSkips {
				c.skip(why)
			}
		}
	}
	if !known {
		c.skip(skipUnknownSSRC)
	}
}

// reports passes on what share of its tracks' packets the viewer has lost of late.
func (c *viewerConn) reports(packet []byte, now time.Time) {
	for _, s := range *c.sections.Load() {
		if t := s.track; t != nil && t.joined.Load() {
			if loss, ok := reportedLoss(packet, t.cfg.ssrc); ok {
				t.protect(now, loss)
			}
		}
	}
}

func (c *viewerConn) restart(ctx context.Context, ufrag, pwd string) (string, error) {
	if err := c.Restart(ctx, ufrag, pwd); err != nil {
		return "", err
	}
	return c.answer()
}

func (c *viewerConn) close() error {
	c.session.log.Debug("viewer's transport", slog.Uint64("packets_dropped", c.Dropped()),
		slog.Uint64("packets_refused", c.Refused()))
	return c.Close()
}
