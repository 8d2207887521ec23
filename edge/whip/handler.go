package whip

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strings"
	"time"

	"trellis/internal/auth"
)

// The paths below which the handler serves. A node mounts it at all three.
const (
	WHIPPrefix    = "/whip/"
	WHEPPrefix    = "/whep/"
	SessionPrefix = "/rtc/"
)

const (
	sdpType  = "application/sdp"
	fragType = "application/trickle-ice-sdpfrag"
	// maxBody bounds offers and fragments. A browser's offer has 6 to 12 kB.
	maxBody = 64 << 10
)

// Handler serves WHIP and WHEP. It is safe for concurrent use.
type Handler struct {
	cfg     Config
	log     *slog.Logger
	metrics *metrics
}

// New returns a Handler.
func New(cfg Config) (*Handler, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	m, err := newMetrics(cfg.Metrics)
	if err != nil {
		return nil, fmt.Errorf("whip metrics: %w", err)
	}
	return &Handler{cfg: cfg, log: cfg.Log, metrics: m}, nil
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.allowOrigin(w, r)
	door, serve := doorOther, h.unknown
	switch path := r.URL.Path; {
	case strings.HasPrefix(path, WHIPPrefix):
		door, serve = doorWHIP, h.whip
	case strings.HasPrefix(path, WHEPPrefix):
		door, serve = doorWHEP, h.whep
	case strings.HasPrefix(path, SessionPrefix):
		door, serve = doorSession, h.session
	}
	rec := &statusRecorder{ResponseWriter: w, status: http.StatusOK}
	if err := serve(rec, r); err != nil {
		h.refuse(rec, r, err)
	}
	h.metrics.count(door, rec.status)
}

// refuse writes the problem that err is, or the one that our own fault is.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var p *problem
	if !errors.As(err, &p) {
		h.log.Error("request failed", slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.Any("err", err))
		p = newProblem(http.StatusInternalServerError, "The node could not do this. Its log says why; try again, or another node.")
	} else if h.log.Enabled(r.Context(), slog.LevelDebug) {
		h.log.Debug("request refused", slog.String("method", r.Method), slog.Int("status", p.Status), slog.String("detail", p.Detail))
	}
	p.write(w)
}

func (h *Handler) unknown(http.ResponseWriter, *http.Request) error {
	return newProblem(http.StatusNotFound, "There is nothing here. Publish with POST to /whip/<broadcast>, view with POST to /whep/<broadcast>.")
}

// authenticate returns the grant of the request's bearer token.
func (h *Handler) authenticate(w http.ResponseWriter, r *http.Request) (auth.Grant, error) {
	if h.cfg.Anonymous {
		return auth.Grant{}, nil
	}
	token := auth.BearerToken(r.Header)
	if token == "" {
		w.Header().Set("WWW-Authenticate", `Bearer realm="trellis"`)
		return auth.Grant{}, newProblem(http.StatusUnauthorized, "A token is needed. Send it as Authorization: Bearer <token>.")
	}
	g, err := h.cfg.Verifier.Verify(token, time.Now())
	if err != nil {
		h.log.Debug("token refused", slog.Any("err", err))
		w.Header().Set("WWW-Authenticate", `Bearer realm="trellis", error="invalid_token"`)
		return auth.Grant{}, newProblem(http.StatusUnauthorized, "The token is not valid, or not any more. Get a new one.")
	}
	return g, nil
}

// readBody reads a body of one type and of at most maxBody bytes.
func readBody(w http.ResponseWriter, r *http.Request, want string) (string, error) {
	t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || t != want {
		return "", newProblem(http.StatusUnsupportedMediaType,
			fmt.Sprintf("Content-Type is %q. Send %s.", r.Header.Get("Content-Type"), want))
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return "", newProblem(http.StatusRequestEntityTooLarge,
			fmt.Sprintf("The body is larger than %d bytes. Offer fewer codecs or candidates.", maxBody))
	case err != nil:
		return "", newProblem(http.StatusBadRequest, "The body could not be read to its end.")
	case len(body) == 0:
		return "", newProblem(http.StatusBadRequest, "The body is empty. Send "+want+".")
	}
	return string(body), nil
}

func methodNotAllowed(w http.ResponseWriter, r *http.Request, methods string) error {
	w.Header().Set("Allow", methods)
	return newProblem(http.StatusMethodNotAllowed, fmt.Sprintf("%s has no meaning here. Possible: %s.", r.Method, methods))
}

// statusRecorder remembers the status for the metrics.
type statusRecorder struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (r *statusRecorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController find the writer.
func (r *statusRecorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
