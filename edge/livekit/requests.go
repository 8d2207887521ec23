package livekit

import (
	"errors"
	"time"

	"trellis/edge/livekit/signal"
	"trellis/edge/rtc"
	"trellis/internal/relay"
)

// request does what the client asks, or says that it will not be done.
func (s *session) request(r signal.Request) {
	now := uint64(time.Now().UnixMilli()) //nolint:gosec // after 1970
	switch r.Kind {
	case signal.RequestOffer:
		s.offer(r.Description)
	case signal.RequestSubscription:
		s.subscribe(r.Subscription)
	case signal.RequestTrackSetting:
		s.prefer(r.Setting)
	case signal.RequestLeave:
		s.end(errLeft)
	case signal.RequestPing:
		s.say(&signal.Response{Kind: signal.ResponsePong, Pong: signal.Pong{Now: now}})
	case signal.RequestPingReq:
		s.say(&signal.Response{Kind: signal.ResponsePongResp, Pong: signal.Pong{Last: r.Timestamp, Now: now}})
	case signal.RequestAddTrack:
		s.deny(refusedPublish, signal.Refusal{Reason: signal.NotAllowed, Message: "nothing can be published here by LiveKit; use WHIP or MoQ", AddTrack: r.Track})
	case signal.RequestPublishData:
		s.deny(refusedPublishData, signal.Refusal{Reason: signal.NotAllowed, Message: "data is not carried here", PublishData: r.Handle})
	case signal.RequestMetadata:
		s.deny(refusedMetadata, signal.Refusal{ID: r.ID, Reason: signal.NotAllowed, Message: "who watches is not shown to others"})
	case signal.RequestTrickle:
		// A lite agent learns the client's addresses from its checks.
	case signal.RequestAnswer, signal.RequestMute, signal.RequestLayers, signal.RequestPermission,
		signal.RequestSyncState, signal.RequestSimulate:
		// Those speak of what the client publishes, and of offers that we do not make.
	}
}

func (s *session) deny(what refused, r signal.Refusal) {
	s.h.metrics.refused[what].Inc()
	s.say(&signal.Response{Kind: signal.ResponseRequest, Refusal: &r})
}

// farewell says what a client is to make of the end of its session.
func farewell(cause error) *signal.Leave {
	switch endingOf(cause) {
	case endLeft, endHungUp:
		return &signal.Leave{Reason: signal.ClientInitiated}
	case endDuplicate:
		return &signal.Leave{Reason: signal.DuplicateIdentity}
	case endExpired:
		return &signal.Leave{Reason: signal.ParticipantRemoved}
	case endShutdown:
		return &signal.Leave{Reason: signal.ServerShutdown, Action: signal.Reconnect}
	case endMedia:
		return &signal.Leave{Reason: signal.ConnectionTimeout, Action: signal.Reconnect}
	case endSocket, endSilent, endSlow, endResume:
		return &signal.Leave{Reason: signal.StateMismatch, Action: signal.Reconnect}
	case endFlood, endMessage, endText, endOffer, endLimit, endFailed:
	}
	return &signal.Leave{Reason: signal.JoinFailure}
}

// endingOf says which of the reasons that are counted a cause is.
func endingOf(cause error) ending {
	for _, c := range []struct {
		err error
		end ending
	}{
		{errLeft, endLeft},
		{errSocket, endSocket},
		{errSilent, endSilent},
		{errSlow, endSlow},
		{errFlood, endFlood},
		{errMessage, endMessage},
		{errText, endText},
		{errDuplicate, endDuplicate},
		{errResume, endResume},
		{errNoOffer, endOffer},
		{rtc.ErrBadOffer, endOffer},
		{rtc.ErrTooMany, endLimit},
		{relay.ErrLimit, endLimit},
		{rtc.ErrExpired, endExpired},
		{rtc.ErrHungUp, endHungUp},
		{rtc.ErrSilent, endMedia},
		{rtc.ErrSetupTimeout, endMedia},
	} {
		if errors.Is(cause, c.err) {
			return c.end
		}
	}
	if shutdown(cause) {
		return endShutdown
	}
	return endFailed
}
