package whipclient

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/pion/transport/v4"
)

// Config is what publishing and playing have in common.
type Config struct {
	// URL is the endpoint, such as https://node.example/whip/room/alice.
	URL string
	// Token is sent as a bearer token; empty for none.
	Token string
	// HTTP does the requests. Nil: a client of its own with a 10 s limit per
	// request. Redirects are followed here, whatever its policy.
	HTTP *http.Client
	// Log receives what pion has to say, at debug level. Nil: nothing.
	Log *slog.Logger
	// Net replaces the host's network, for simulations. Nil: the host's.
	Net transport.Net
	// Clock is the wall clock that published frames are stamped with. Nil: time.Now.
	Clock func() time.Time
	// ConnectTimeout bounds the time from the answer until media can flow.
	// Default 10 s.
	ConnectTimeout time.Duration
	// TCPOnly uses ICE over TCP, as behind a firewall without UDP.
	TCPOnly bool
}

const (
	defaultRequestTimeout = 10 * time.Second
	defaultConnectTimeout = 10 * time.Second
)

func (c Config) withDefaults() Config {
	if c.HTTP == nil {
		c.HTTP = &http.Client{Timeout: defaultRequestTimeout}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = defaultConnectTimeout
	}
	return c
}
