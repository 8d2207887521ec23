package rtc

import (
	"context"
	"errors"
	"log/slog"
	"strings"

	"github.com/pion/rtcp"
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
}

// newViewerConn makes the transport of a viewer, gives it to the tracks, and
// returns the answer.
func (s *Session) newViewerConn(ctx context.Context, o *offer, sections []answered) (connection, string, error) {
	conn, err := s.edge.port.Open(ctx)
	if err != nil {
		return nil, "", err
	}
	c := &viewerConn{Conn: conn, port: s.edge.port, session: s, offer: o, sections: sections}
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

// feedback passes what the viewer reports on to the lanes.
func (c *viewerConn) feedback(compound []byte) {
	packets, err := rtcp.Unmarshal(compound)
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
