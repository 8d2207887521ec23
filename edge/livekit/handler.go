package livekit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"trellis/edge/livekit/signal"
	"trellis/edge/rtc"
	"trellis/internal/allowance"
	"trellis/internal/auth"
	"trellis/internal/relay"
)

// Paths are what a node mounts the handler at.
func Paths() []string {
	return []string{"/rtc", "/rtc/validate", pathJoin, pathValidate, "/{$}"}
}

const (
	pathJoin     = "/rtc/v1"
	pathValidate = "/rtc/v1/validate"
)

// Handler serves LiveKit's signalling. It is safe for concurrent use.
type Handler struct {
	cfg     Config
	log     *slog.Logger
	metrics *metrics
	rooms   rooms

	mu    sync.Mutex
	joins allowance.Bucket
}

// New returns a Handler. Run must be called, and ends it.
func New(cfg Config) (*Handler, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	m, err := newMetrics(cfg.Metrics)
	if err != nil {
		return nil, fmt.Errorf("livekit metrics: %w", err)
	}
	rate := float64(cfg.JoinsPerSecond)
	h := &Handler{cfg: cfg, log: cfg.Log, metrics: m, joins: allowance.New(rate, rate)}
	h.rooms = rooms{h: h, all: map[string]*room{}}
	return h, nil
}

// Run waits for ctx to end, then ends all sessions: clients are told to join anew,
// which may bring them to another node.
func (h *Handler) Run(ctx context.Context) error {
	<-ctx.Done()
	h.rooms.close(errStopping)
	return context.Cause(ctx)
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.allowOrigin(w, r)
	switch {
	case r.Method == http.MethodOptions:
		w.Header().Set("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
		w.Header().Set("Access-Control-Allow-Headers", "Authorization")
		w.WriteHeader(http.StatusNoContent)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD, OPTIONS")
		http.Error(w, "only GET has a meaning here", http.StatusMethodNotAllowed)
	case r.URL.Path == "/":
		w.WriteHeader(http.StatusOK)
	case r.URL.Path == pathJoin:
		h.join(w, r)
	case r.URL.Path == pathValidate:
		h.validate(w, r)
	default:
		h.metrics.joins[refusedDual].Inc()
		http.Error(w, "this node speaks LiveKit's signalling with one peer connection only: /rtc/v1", http.StatusNotFound)
	}
}

// allowOrigin adds the CORS headers of every response to an allowed origin: without
// them SDKs in browsers cannot read why they were refused.
func (h *Handler) allowOrigin(w http.ResponseWriter, r *http.Request) {
	origin := r.Header.Get("Origin")
	switch {
	case origin == "":
	case slices.Contains(h.cfg.AllowedOrigins, "*"):
		w.Header().Set("Access-Control-Allow-Origin", "*")
	case slices.Contains(h.cfg.AllowedOrigins, origin):
		w.Header().Set("Access-Control-Allow-Origin", origin)
		w.Header().Add("Vary", "Origin")
	}
}

// welcome reports whether pages of the request's origin may join: the token is no
// secret of the browser's, so this is only a courtesy to operators.
func (h *Handler) welcome(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" || slices.Contains(h.cfg.AllowedOrigins, "*") || slices.Contains(h.cfg.AllowedOrigins, origin) {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && strings.EqualFold(u.Host, r.Host)
}

// refusal is an answer instead of a session.
type refusal struct {
	status int
	text   string
	result outcome
}

func (e *refusal) Error() string { return e.text }

// check says whether the request's token lets its holder join here now.
func (h *Handler) check(r *http.Request) (auth.Access, error) {
	token := auth.BearerToken(r.Header)
	if token == "" {
		token = accessToken(r.URL)
	}
	a, err := h.cfg.Verifier.VerifyAccess(token, time.Now())
	switch {
	case err != nil:
		h.log.Debug("token refused", slog.Any("err", err))
		return a, &refusal{http.StatusUnauthorized, "the token is missing, or not valid, or not any more", refusedToken}
	case len(a.Subscribe) == 0:
		return a, &refusal{http.StatusForbidden, "the token does not allow to subscribe, and nothing else is to be done here", refusedGrant}
	case !h.welcome(r):
		return a, &refusal{http.StatusForbidden, "pages of this origin may not join", refusedGrant}
	}
	if h.cfg.Busy != nil {
		if why := h.cfg.Busy(r.Context(), r); why != "" {
			return a, &refusal{http.StatusServiceUnavailable, why, refusedBusy}
		}
	}
	return a, nil
}

// accessToken returns the token of a "?access_token=" parameter, where SDKs in
// browsers put it; empty if there is none or more than one.
func accessToken(u *url.URL) string {
	values := u.Query()["access_token"]
	if len(values) != 1 {
		return ""
	}
	return values[0]
}

// validate is asked by SDKs in browsers when a join has failed: there they cannot see
// why.
func (h *Handler) validate(w http.ResponseWriter, r *http.Request) {
	if _, err := h.check(r); err != nil {
		h.refuse(w, err)
		return
	}
	h.metrics.joins[validated].Inc()
	_, _ = w.Write([]byte("success")) // a client that left does not need it
}

func (h *Handler) refuse(w http.ResponseWriter, err error) {
	var no *refusal
	if !errors.As(err, &no) {
		h.log.Error("join failed", slog.Any("err", err))
		no = &refusal{http.StatusInternalServerError, "the node could not do this; its log says why", failed}
	} else {
		h.log.Debug("join refused", slog.Int("status", no.status), slog.String("detail", no.text))
	}
	h.metrics.joins[no.result].Inc()
	http.Error(w, no.text, no.status)
}

// join makes a session. All that can be refused is refused before the upgrade, with a
// status.
func (h *Handler) join(w http.ResponseWriter, r *http.Request) {
	s, err := h.admit(r)
	if err != nil {
		h.refuse(w, err)
		return
	}
	defer h.rooms.leave(s)
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		InsecureSkipVerify: true, // of the origin: welcome has looked at it
		CompressionMode:    websocket.CompressionDisabled,
	})
	if err != nil {
		h.metrics.joins[refusedUpgrade].Inc()
		s.drop(err)
		return
	}
	ws.SetReadLimit(maxMessage)
	h.metrics.joins[joined].Inc()
	h.metrics.sessions.Inc()
	defer h.metrics.sessions.Dec()
	s.run(ws) //nolint:contextcheck // what the request was is over with its upgrade
}

// admit makes a session out of a request, in its room, and with its media connection
// if the request has an offer.
func (h *Handler) admit(r *http.Request) (*session, error) {
	access, err := h.check(r)
	if err != nil {
		return nil, err
	}
	query := r.URL.Query()["join_request"]
	if len(query) != 1 {
		return nil, &refusal{http.StatusBadRequest, "there is no join_request", refusedRequest}
	}
	req, err := signal.UnpackJoin(query[0])
	if err != nil {
		return nil, &refusal{http.StatusBadRequest, err.Error(), refusedRequest}
	}
	if !h.mayJoin(time.Now()) {
		return nil, &refusal{http.StatusTooManyRequests, "too many clients join at once; try again", refusedRate}
	}
	s := newSession(h, access, req)
	if err := h.rooms.enter(s); err != nil { //nolint:contextcheck // a room outlives who comes first
		result := refusedRoom
		if errors.Is(err, errStopping) {
			result = refusedBusy
		}
		return nil, &refusal{http.StatusServiceUnavailable, err.Error(), result}
	}
	if req.Offer == nil || req.Reconnect {
		return s, nil
	}
	if err := s.begin(r.Context(), req.Offer); err != nil {
		s.drop(err)
		h.rooms.leave(s)
		return nil, refusalOf(err)
	}
	return s, nil
}

// refusalOf says why the edge made no session. What it does not know is our fault.
func refusalOf(err error) error {
	switch {
	case errors.Is(err, rtc.ErrBadOffer):
		return &refusal{http.StatusBadRequest, err.Error(), refusedOffer}
	case errors.Is(err, rtc.ErrTooMany), errors.Is(err, rtc.ErrClosed), errors.Is(err, relay.ErrLimit):
		return &refusal{http.StatusServiceUnavailable, err.Error(), refusedNode}
	}
	return err
}

func (h *Handler) mayJoin(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.joins.Take(now)
}
