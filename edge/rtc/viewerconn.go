package rtc

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"time"

	"github.com/pion/rtcp"

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
func (c *viewerConn) feedback(compound []byte) {
	for len(compound) > 0 {
		size, ok := rtcpSize(compound)
		if !ok {
			c.session.edge.metrics.skipped[skipFeedback].Inc()
			return
		}
		packet := compound[:size]
		compound = compound[size:]
		if packet[1] == byte(rtcp.TypeTransportSpecificFeedback) && packet[0]&0x1f == rtcp.FormatTCC {
			c.steering.feedback(packet, time.Now())
			continue
		}
		c.request(packet)
	}
}

// rtcpSize returns the size of the first packet of a compound: RFC 3550, Section 6.4.1.
func rtcpSize(compound []byte) (int, bool) {
	if len(compound) < 4 || compound[0]>>6 != 2 {
		return 0, false
	}
	size := 4 * (int(binary.BigEndian.Uint16(compound[2:])) + 1)
	return size, size <= len(compound)
}

// request passes on what a viewer asks of one track.
func (c *viewerConn) request(packet []byte) {
	packets, err := rtcp.Unmarshal(packet)
	if err != nil {
		c.session.edge.metrics.skipped[skipFeedback].Inc()
		return // with a type that pion cannot read, it is none that we answer
	}
	for _, p := range packets {
		for _, ssrc := range p.DestinationSSRC() {
			for _, a := range c.sections {
				if a.track != nil && a.track.cfg.ssrc == ssrc {
					a.track.feedback(p)
				}
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
