package rtc

import (
	"context"
	"fmt"

	"trellis/edge/framing"
)

// Publish makes a session that publishes req.Broadcast. The broadcast is
// announced when the first packet arrives, and replaces an earlier publisher of
// the same name then, not before: who cannot connect disturbs nobody.
func (e *Edge) Publish(ctx context.Context, req Request) (*Session, error) {
	s, err := e.publish(ctx, req)
	if err != nil {
		e.metrics.refuse(err)
		return nil, fmt.Errorf("publish %s: %w", req.Broadcast, err)
	}
	return s, nil
}

func (e *Edge) publish(ctx context.Context, req Request) (*Session, error) {
	o, err := parseOffer(req.Offer)
	if err != nil {
		return nil, err
	}
	accepted := make([]acceptedMedia, len(o.media))
	streams := 0
	for i, m := range o.media {
		switch d := o.direction(m); d {
		case "sendrecv", "sendonly":
		default:
			return nil, fmt.Errorf("%w: the %s section is %s; a publisher sends",
				ErrBadOffer, m.desc.MediaName.Media, d)
		}
		a, ok := m.accept()
		if !ok {
			return nil, &CodecError{Offered: m.names, Wanted: carried(m.audio)}
		}
		accepted[i] = a
		streams += len(a.rids)
	}
	s := e.newSession(RolePublisher, req)
	in := newIngest(e, s, o.section(true) != nil, o.section(false) != nil, streams, req.OnDemand)
	s.ingest = in // before the session is known: Status looks at it
	if err := e.admit(s); err != nil {
		return nil, err
	}
	err = s.connect(req.Expires, func() (connection, string, error) {
		return s.newPublisherConn(ctx, o, accepted, in)
	}, in.finish)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// carried lists the codecs of a kind that the edge carries.
func carried(audio bool) []framing.Codec {
	if audio {
		return []framing.Codec{framing.Opus}
	}
	return []framing.Codec{framing.H264, framing.VP8, framing.VP9, framing.AV1}
}
