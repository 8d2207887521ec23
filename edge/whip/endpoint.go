package whip

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"trellis/edge/rtc"
	"trellis/internal/auth"
	"trellis/internal/relay"
	"trellis/wire"
)

const (
	// retryNotLive is when a viewer of a broadcast that is not there should ask again.
	retryNotLive = 2 * time.Second
	// retryBusy is when a client should come back to a node that is full.
	retryBusy = 10 * time.Second
)

// endpoint is what WHIP and WHEP do differently.
type endpoint struct {
	prefix  string
	verb    string // for problems: what the grant must cover
	allowed func(auth.Grant, wire.Broadcast) bool
	open    func(context.Context, rtc.Request) (*rtc.Session, error)
	// elsewhere is the status that tells a client to go to another node.
	elsewhere int
}

func (h *Handler) whip(w http.ResponseWriter, r *http.Request) error {
	return h.endpoint(w, r, endpoint{
		prefix: WHIPPrefix, verb: "publishing", allowed: auth.Grant.CanPublish, open: h.cfg.Edge.Publish,
		elsewhere: http.StatusServiceUnavailable,
	})
}

func (h *Handler) whep(w http.ResponseWriter, r *http.Request) error {
	return h.endpoint(w, r, endpoint{
		prefix: WHEPPrefix, verb: "viewing", allowed: auth.Grant.CanSubscribe, open: h.cfg.Edge.Play,
		// draft-ietf-wish-whep-03, Section 4.2: not available here now
		elsewhere: http.StatusConflict,
	})
}

// endpoint serves a WHIP or WHEP endpoint: RFC 9725, Section 4.2.
func (h *Handler) endpoint(w http.ResponseWriter, r *http.Request, e endpoint) error {
	w.Header().Set("Accept-Post", sdpType)
	switch r.Method {
	case http.MethodOptions:
		options(w, endpointMethods)
		return nil
	case http.MethodGet, http.MethodHead:
		w.WriteHeader(http.StatusNoContent)
		return nil
	case http.MethodPost:
		return h.create(w, r, e)
	}
	return methodNotAllowed(w, r, endpointMethods)
}

// create makes a session from an offer.
func (h *Handler) create(w http.ResponseWriter, r *http.Request, e endpoint) error {
	grant, err := h.authenticate(w, r)
	if err != nil {
		return err
	}
	name, err := wire.ParseBroadcast(strings.TrimPrefix(r.URL.Path, e.prefix))
	if err != nil {
		return newProblem(http.StatusBadRequest,
			fmt.Sprintf("The path does not name a broadcast: %v. Use %s<room>/<name>.", err, e.prefix))
	}
	if !h.cfg.Anonymous && !e.allowed(grant, name) {
		return newProblem(http.StatusForbidden, fmt.Sprintf("The token does not cover %s %s.", e.verb, name))
	}
	offer, err := readBody(w, r, sdpType)
	if err != nil {
		return err
	}
	if done, err := h.direct(w, r, e, name); done || err != nil {
		return err
	}
	s, err := e.open(r.Context(), rtc.Request{
		Broadcast: name, Identity: grant.ID, Expires: grant.Expires, Offer: offer,
	})
	if err != nil {
		return problemOf(err)
	}
	hdr := w.Header()
	hdr.Set("Content-Type", sdpType)
	hdr.Set("Location", SessionPrefix+s.ID())
	hdr.Set("ETag", s.ETag())
	hdr.Set("Accept-Patch", fragType)
	hdr.Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusCreated)
	if _, err := w.Write([]byte(s.Answer())); err != nil {
		s.End(fmt.Errorf("send answer: %w", err))
	}
	return nil
}

// problemOf says in HTTP why the edge made no session. What it does not know is
// our fault and passes as it is.
func problemOf(err error) error {
	var codecs *rtc.CodecError
	switch {
	case errors.Is(err, rtc.ErrBadOffer):
		return newProblem(http.StatusBadRequest, fmt.Sprintf("The offer cannot be used: %v.", err))
	case errors.As(err, &codecs):
		return newProblem(http.StatusNotAcceptable, fmt.Sprintf("%v. H.264 needs packetization-mode=1.", err))
	case errors.Is(err, rtc.ErrNotLive):
		p := newProblem(http.StatusConflict, fmt.Sprintf("%v. Try again when its publisher is on air.", err))
		p.retryAfter = retryNotLive
		return p
	case errors.Is(err, rtc.ErrTooMany), errors.Is(err, rtc.ErrClosed), errors.Is(err, relay.ErrLimit):
		p := newProblem(http.StatusServiceUnavailable, fmt.Sprintf("%v. Try another node, or later.", err))
		p.retryAfter = retryBusy
		return p
	}
	return err
}
