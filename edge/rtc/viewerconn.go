package rtc

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/pion/webrtc/v4"

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
// returns the answer. up is called once media can flow.
func (s *Session) newViewerConn(
	ctx context.Context, o *offer, sections []answered, st *steering, up func(),
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
	context.AfterFunc(conn.Context(), c.over) //nolint:contextcheck // it is the transport's end that counts
	err = conn.Start(transport.Remote{
		Ufrag: o.attribute("ice-ufrag"), Pwd: o.attribute("ice-pwd"),
		Fingerprints: o.fingerprints(), Passive: o.attribute("setup") == "passive",
	}, c.feedback, func() { s.tasks.run(up) })
	if err != nil {
		return c, "", errors.Join(ErrBadOffer, err)
	}
	return c, answer, nil
}

func (c *viewerConn) answer() (string, error) {
	return writeAnswer(c.offer, c.sections, c.Local(), c.port.Fingerprint())
}

// over tells the session why the transport has ended.
func (c *viewerConn) over() {
	switch err := context.Cause(c.Context()); {
	case errors.Is(err, transport.ErrSilent):
		c.session.end(ErrSilent)
	case errors.Is(err, transport.ErrHungUp):
		c.session.end(ErrHungUp)
	default:
		c.session.end(err)
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
		if packet[1] == rtcpTransport && packet[0]&0x1f == formatTCC {
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

// request passes on what a viewer asks of its tracks.
func (c *viewerConn) request(packet []byte) {
	a, ok := parseRequest(packet)
	if !ok {
		c.session.edge.metrics.skipped[skipFeedback].Inc()
		return
	}
	if a.kind == commandJoin { // it asks for nothing
		c.reports(packet)
		return
	}
	for i := range c.sections {
		if t := c.sections[i].track; t != nil && a.of(t.cfg.ssrc) {
			t.feedback(&a)
		}
	}
}

// reports passes on what share of its tracks' packets the viewer has lost of late.
func (c *viewerConn) reports(packet []byte) {
	for i := range c.sections {
		if t := c.sections[i].track; t != nil {
			if loss, ok := reportedLoss(packet, t.cfg.ssrc); ok {
				t.protect(time.Now(), loss)
			}
		}
	}
}

func (c *viewerConn) addCandidate(cand webrtc.ICECandidateInit) error {
	value := strings.TrimPrefix(cand.Candidate, "candidate:")
	if value == "" {
		return nil // the end of candidates
	}
	return c.AddCandidate(value)
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
