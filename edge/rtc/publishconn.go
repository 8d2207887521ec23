package rtc

import (
	"context"
	"errors"
	"log/slog"

	"trellis/edge/rtc/transport"
)

// publisherConn is a publisher's connection. What comes over it goes to its reception.
type publisherConn struct {
	*transport.Conn
	port     *transport.Port
	session  *Session
	offer    *offer
	accepted []acceptedMedia
	in       *reception
}

// newPublisherConn makes the transport of a publisher for its ingest, and returns the answer.
func (s *Session) newPublisherConn(
	ctx context.Context, o *offer, accepted []acceptedMedia, in *ingest,
) (connection, string, error) {
	conn, err := s.edge.port.Open(ctx)
	if err != nil {
		return nil, "", err
	}
	c := &publisherConn{Conn: conn, port: s.edge.port, session: s, offer: o, accepted: accepted}
	c.in = newReception(in, accepted, conn.WriteRTCP)
	answer, err := c.answer()
	if err != nil {
		return c, "", err
	}
	in.begin(c.in)
	s.endWithConn(conn) //nolint:contextcheck // it is the transport's end that counts
	err = conn.Start(o.remote(), transport.Handler{RTP: c.in.packet, RTCP: c.in.reports, Ready: s.isUp})
	if err != nil {
		return c, "", errors.Join(ErrBadOffer, err)
	}
	return c, answer, nil
}

func (c *publisherConn) answer() (string, error) {
	sections := make([]answeredSection, len(c.accepted))
	for i := range c.accepted {
		sections[i] = c.accepted[i].describe()
	}
	return composeAnswer(c.offer, sections, c.Local(), c.port.Fingerprint())
}

func (c *publisherConn) restart(ctx context.Context, ufrag, pwd string) (string, error) {
	if err := c.Restart(ctx, ufrag, pwd); err != nil {
		return "", err
	}
	return c.answer()
}

func (c *publisherConn) close() error {
	err := c.Close()
	c.in.close() // nothing comes any more
	c.session.log.Debug("publisher's transport", slog.Uint64("packets_refused", c.Refused()))
	return err
}
