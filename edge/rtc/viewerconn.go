package rtc

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"time"

	"github.com/pion/rtcp"

	"trellis/edge/rtc/bwe"
	"trellis/edge/rtc/transport"
)

// viewerConn is a viewer's connection.
type viewerConn struct {
	*transport.Conn
	port     *transport.Port
	session  *Session
	offer    *offer
	sections []answered
	steering *steering
	asks     asks
}

// newViewerConn makes the transport of a viewer, gives it to the tracks, and
// returns the answer.
func (s *Session) newViewerConn(
	ctx context.Context, o *offer, sections []answered, st *steering,
) (connection, string, error) {
	conn, err := s.edge.port.Open(ctx)
	if err != nil {
		return nil, "", err
	}
	c := &viewerConn{Conn: conn, port: s.edge.port, session: s, offer: o, sections: sections, steering: st}
	for _, a := range sections {
		if a.track != nil {
			a.track.cfg.out = conn
			a.track.viewer = newViewer(a.track.cfg)
		}
	}
	answer, err := c.answer()
	if err != nil {
		return c, "", err
	}
	s.tasks.run(c.follow)
	err = conn.Start(transport.Remote{
		Ufrag: o.attribute("ice-ufrag"), Pwd: o.attribute("ice-pwd"),
		Fingerprints: o.fingerprints(), Passive: o.attribute("setup") == "passive",
	}, c.feedback)
	if err != nil {
		return c, "", errors.Join(ErrBadOffer, err)
	}
	return c, answer, nil
}

func (c *viewerConn) answer() (string, error) {
	return writeAnswer(c.offer, c.sections, c.Local(), c.port.Fingerprint())
}

// follow tells the session what becomes of the transport.
func (c *viewerConn) follow() {
	select {
	case <-c.Ready():
		close(c.session.connected)
	case <-c.Context().Done():
	case <-c.session.ctx.Done():
		return
	}
	select {
	case <-c.Context().Done():
		switch err := context.Cause(c.Context()); {
		case errors.Is(err, transport.ErrSilent):
			c.session.end(ErrSilent)
		case errors.Is(err, transport.ErrHungUp):
			c.session.end(ErrHungUp)
		default:
			c.session.end(err)
		}
	case <-c.session.ctx.Done():
	}
}

// feedback passes what the viewer reports on to the steering and the lanes.
func (c *viewerConn) feedback(compound []byte) { c.read(compound, time.Now()) }

func (c *viewerConn) read(compound []byte, now time.Time) {
	for len(compound) > 0 {
		size, ok := rtcpSize(compound)
		if !ok {
			c.skip(skipBadFeedback)
			return
		}
		packet := compound[:size]
		compound = compound[size:]
		if packet[1] == byte(rtcp.TypeTransportSpecificFeedback) && packet[0]&0x1f == rtcp.FormatTCC {
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
	case !c.asks.reports.takeN(now, reportRate, reportBurst, max(f.Count, 1)):
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

// request passes on what a viewer asks of one track.
func (c *viewerConn) request(packet []byte, now time.Time) {
	packets, err := rtcp.Unmarshal(packet)
	if err != nil {
		c.skip(skipBadFeedback)
		return // with a type that pion cannot read, it is none that we answer
	}
	for _, p := range packets {
		switch p.(type) {
		case *rtcp.TransportLayerNack, *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
		default:
			continue // nothing is asked
		}
		for _, ssrc := range p.DestinationSSRC() {
			if why := c.ask(p, ssrc, now); why != numSkips {
				c.skip(why)
			}
		}
	}
}

// ask passes on what a viewer asks of the track with an SSRC.
func (c *viewerConn) ask(p rtcp.Packet, ssrc uint32, now time.Time) skip {
	for _, a := range c.sections {
		if a.track != nil && a.track.cfg.ssrc == ssrc {
			return a.track.feedback(p, &c.asks, now)
		}
	}
	return skipUnknownSSRC
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
