package backbone

import (
	"context"
	"log/slog"

	"trellis/wire"
	"trellis/wire/peer"
)

// readControl reads the peer's control messages and hands them to the loop, one
// at a time: a peer that talks faster than the loop listens waits.
func (l *link) readControl(ctx context.Context) error {
	for {
		t, body, err := l.control.read()
		if err != nil {
			return err
		}
		handle, err := l.parse(t, body) //nolint:contextcheck // what a message starts lives as long as the link, not as this reader
		if err != nil {
			l.stats.malformed.Inc()
			return refusal(peer.CodeOf(err), "%v", err)
		}
		if handle == nil {
			l.log.Debug("unknown control message skipped", slog.Uint64("type", uint64(t)), slog.Int("bytes", len(body)))
			continue
		}
		err = l.mesh.call(ctx, func() {
			if !l.gone {
				handle()
			}
		})
		if err != nil {
			return err
		}
	}
}

// parse returns what the loop is to do about a message, nil if its type is not
// known.
func (l *link) parse(t peer.Type, body []byte) (func(), error) {
	m := l.mesh
	switch t {
	case peer.TypeHello:
		return nil, refusal(wire.CodeProtocol, "second hello")
	case peer.TypeGoAway:
		msg, err := peer.ParseGoAway(body)
		return func() { m.onGoAway(l, msg) }, err
	case peer.TypeKeep:
		msg, err := peer.ParseKeep(body)
		return func() { l.kept = msg.Wanted }, err
	case peer.TypeLanes:
		msg, err := peer.ParseLanes(body)
		return func() { l.onLanes(msg) }, err
	case peer.TypeAdvert:
		return knowledge(l, body, peer.ParseAdvert)
	case peer.TypeKnown:
		return knowledge(l, body, peer.ParseKnown)
	case peer.TypeGraft:
		return knowledge(l, body, peer.ParseGraft)
	case peer.TypePrune:
		return knowledge(l, body, peer.ParsePrune)
	case peer.TypeFresh:
		return knowledge(l, body, peer.ParseFresh)
	case peer.TypeSubscribe:
		msg, err := peer.ParseSubscribe(body)
		return func() { m.onSubscribe(l, msg) }, err
	case peer.TypeSubscribeOK:
		msg, err := peer.ParseSubscribeOK(body)
		return func() { m.onSubscribeOK(l, msg) }, err
	case peer.TypeSubscribeError:
		msg, err := peer.ParseSubscribeError(body)
		return func() { m.onSubscribeError(l, msg) }, err
	case peer.TypeUnsubscribe:
		msg, err := peer.ParseUnsubscribe(body)
		return func() { m.onUnsubscribe(l, msg) }, err
	case peer.TypeTrackEnd:
		msg, err := peer.ParseTrackEnd(body)
		return func() { m.onTrackEnd(l, msg) }, err
	case peer.TypeDemand:
		msg, err := peer.ParseDemand(body)
		return func() { m.onDemand(l, msg) }, err
	case peer.TypePath:
		msg, err := peer.ParsePath(body)
		return func() { m.onPath(l, msg) }, err
	case peer.TypeResume:
		msg, err := peer.ParseResume(body)
		return func() { m.onResume(l, msg) }, err
	case peer.TypePause:
		msg, err := peer.ParsePause(body)
		return func() { m.onPause(l, msg) }, err
	case peer.TypePlan:
		msg, err := peer.ParsePlan(body)
		return func() { m.onPlan(l, msg) }, err
	case peer.TypeRefresh:
		msg, err := peer.ParseRefresh(body)
		return func() { m.onRefresh(l, msg) }, err
	default:
		return nil, nil
	}
}
