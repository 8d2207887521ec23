package rtc

import (
	"errors"
	"fmt"
	"strings"

	"trellis/edge/framing"
	"trellis/edge/rtc/transport"
)

// Errors that a door branches on. They arrive wrapped.
var (
	// ErrBadOffer: the SDP cannot be understood, or lacks what WebRTC needs.
	ErrBadOffer = errors.New("bad offer")
	// ErrNotLive: the broadcast is not announced, or has no catalog yet.
	ErrNotLive = errors.New("broadcast is not live")
	// ErrTooMany: a limit on sessions is reached.
	ErrTooMany = errors.New("too many sessions")
	// ErrClosed: the edge is shutting down, or the session is over.
	ErrClosed = errors.New("closed")
)

// Why sessions end. These are the causes of Session.Context.
var (
	// ErrHungUp: the client ended the session.
	ErrHungUp = errors.New("ended by the client")
	// ErrSetupTimeout: ICE and DTLS were not complete in time.
	ErrSetupTimeout = errors.New("connection was not set up in time")
	// ErrSilent: the client vanished.
	ErrSilent = errors.New("client fell silent")
	// ErrExpired: the grant's time is over.
	ErrExpired = errors.New("grant expired")
	// ErrSources: the client sent media from ever more SSRCs.
	ErrSources = transport.ErrSources
	// ErrNothingLeft: all tracks that the viewer receives have ended.
	ErrNothingLeft = errors.New("all tracks ended")
)

// CodecError says that an offer and what we carry, or what the broadcast has,
// share no codec.
type CodecError struct {
	// Offered lists the encoding names in the offer.
	Offered []string
	// Wanted lists the codecs, one of which would do.
	Wanted []framing.Codec
}

func (e *CodecError) Error() string {
	wanted := make([]string, len(e.Wanted))
	for i, c := range e.Wanted {
		wanted[i] = c.EncodingName()
	}
	return fmt.Sprintf("no codec in common: offered %s; need one of %s",
		orNone(strings.Join(e.Offered, ", ")), orNone(strings.Join(wanted, ", ")))
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
