package whip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"trellis/edge/rtc"
	"trellis/internal/auth"
)

// Verifier checks a bearer token: an *auth.Verifier.
type Verifier interface {
	Verify(token string, now time.Time) (auth.Grant, error)
}

// Config configures a Handler.
type Config struct {
	// Edge makes the sessions. Required.
	Edge *rtc.Edge
	// Verifier checks tokens. Required, unless Anonymous.
	Verifier Verifier
	// Anonymous lets everybody publish and view everything, and ignores tokens:
	// for a node that listens on loopback only.
	Anonymous bool
	// AllowedOrigins are the web origins, such as https://app.example, whose pages
	// may call us; "*" stands for all. Empty: none, pages of other origins cannot.
	AllowedOrigins []string
	// Direct says where a newcomer is to be served. It must not wait for the network.
	// Nil: here.
	Direct func(context.Context, Newcomer) Direction
	// Log receives refusals, at debug level, and our own faults. Nil: nothing.
	Log *slog.Logger
	// Metrics receives the package's collectors; nil for none.
	Metrics prometheus.Registerer
}

func (c Config) validate() error {
	switch {
	case c.Edge == nil:
		return errors.New("whip.Config.Edge is required")
	case c.Verifier == nil && !c.Anonymous:
		return errors.New("whip.Config.Verifier is required, unless Anonymous is set")
	}
	for _, o := range c.AllowedOrigins {
		if o == "*" {
			continue
		}
		u, err := url.Parse(o)
		if err != nil || u.Scheme == "" || u.Host == "" || u.Path != "" {
			return fmt.Errorf("whip.Config.AllowedOrigins: %q is not an origin like https://app.example", o)
		}
	}
	return nil
}
