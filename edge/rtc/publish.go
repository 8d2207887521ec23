package rtc

import (
	"context"
	"fmt"

	"github.com/pion/transport/v4/packetio"

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
	for _, m := range o.media {
		switch d := o.direction(m); d {
		case "sendrecv", "sendonly":
			m.direct("sendonly")
		default:
			return nil, fmt.Errorf("%w: the %s section is %s; a publisher sends",
				ErrBadOffer, m.desc.MediaName.Media, d)
		}
		if len(m.codecs) == 0 {
			return nil, &CodecError{Offered: m.names, Wanted: carried(m.audio)}
		}
	}
	text, err := o.text()
	if err != nil {
		return nil, err
	}
	s := e.newSession(RolePublisher, req)
	if err := e.admit(s); err != nil {
		return nil, err
	}
	settings := e.settings
	settings.BufferFactory = (&sources{session: s, count: map[packetio.BufferPacketType]int{}}).buffer
	api, err := e.publisherAPI(settings)
	if err != nil {
		e.leave(s)
		return nil, err
	}
	in := newIngest(e, s, o.section(true) != nil, o.section(false) != nil, o.section(false).streams(), req.OnDemand)
	s.ingest = in
	err = s.connect(req.Expires, func() (connection, string, error) {
		return s.newPeerConn(ctx, api, text, in.prepare)
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
