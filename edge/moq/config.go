package moq

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/quic-go/quic-go"

	"trellis/internal/auth"
	"trellis/internal/relay"
	"trellis/internal/telemetry"
)

// Verifier says what a token allows. *auth.Verifier is one.
type Verifier interface {
	// Verify returns the grant of token at the time now. token may be empty.
	Verify(token string, now time.Time) (auth.Grant, error)
}

// Config describes a Server. Table, Verifier and NodeID are required; other zero
// fields mean their default.
type Config struct {
	// Table is where tracks come from and go to.
	Table *relay.Table
	// Verifier decides over the token in each session's URL.
	Verifier Verifier
	// NodeID is this node's name; our hop id derives from it.
	NodeID string
	// Origins are the web origins, such as "https://example.com", whose pages may
	// connect. "*" allows every page: tokens, not cookies, are what admits here.
	// Default: only pages from the node's own host, and clients that are no
	// browsers and send no origin.
	Origins []string
	// MaxSessions bounds the sessions of the node. Default 20,000.
	MaxSessions int
	// MaxPublications bounds the broadcasts that one client announces. Default 1000.
	MaxPublications int
	// MaxSubscriptions bounds the tracks that one client watches at once, and
	// the tracks that are pulled from one. Default 256.
	MaxSubscriptions int
	// MaxRequests bounds the other requests of a client that are open at once:
	// announcements, track, fetch, probe. Default 64.
	MaxRequests int
	// MaxFrameBytes bounds one frame. Default 8 MiB, relay's own default.
	MaxFrameBytes uint64
	// MaxSending bounds the groups that are being sent to one client at once.
	// Default 64, well below the 100 streams that browsers allow us.
	MaxSending int
	// MaxWaiting bounds the groups that wait for their turn. Default 128.
	MaxWaiting int
	// HeaderTimeout is how long a stream may take to say what it is, and a
	// connection to become a session. Default 5 s.
	HeaderTimeout time.Duration
	// StallTimeout is how long a client may leave a frame half sent, or not read
	// what we send it. Default 10 s.
	StallTimeout time.Duration
	// AnswerTimeout is how long a track may take to tell what it is. Default 10 s.
	AnswerTimeout time.Duration
	// PullLatency is the max_latency that publishers are asked for: how long a
	// group is sent to us after a newer one began. Default 5 s.
	PullLatency time.Duration
	// Elsewhere returns the base URL of another node for a client that cannot stay
	// or come here, empty if there is none to name. client spreads clients over
	// nodes. It must not block. Nil: none is ever named.
	Elsewhere func(client string) string
	// Clock is this node's wall clock, for the ages of objects; nil: time.Now.
	Clock func() time.Time
	// Decisions remembers which pictures were paused and why; nil for nobody.
	Decisions *telemetry.Events
	// Log is required to be set by who wants one; nil discards.
	Log *slog.Logger
	// Metrics receives the package's collectors; nil for none.
	Metrics prometheus.Registerer
}

func (c Config) withDefaults() (Config, error) {
	switch {
	case c.Table == nil:
		return c, errors.New("moq.Config.Table is nil")
	case c.Verifier == nil:
		return c, errors.New("moq.Config.Verifier is nil")
	case c.NodeID == "":
		return c, errors.New("moq.Config.NodeID is empty")
	}
	for _, f := range []struct {
		name string
		v    *int
		def  int
	}{
		{"MaxSessions", &c.MaxSessions, 20_000},
		{"MaxPublications", &c.MaxPublications, 1000},
		{"MaxSubscriptions", &c.MaxSubscriptions, 256},
		{"MaxRequests", &c.MaxRequests, 64},
		{"MaxSending", &c.MaxSending, 64},
		{"MaxWaiting", &c.MaxWaiting, 128},
	} {
		if *f.v < 0 {
			return c, fmt.Errorf("moq.Config.%s is %d: must not be negative", f.name, *f.v)
		}
		if *f.v == 0 {
			*f.v = f.def
		}
	}
	for _, f := range []struct {
		name string
		v    *time.Duration
		def  time.Duration
	}{
		{"HeaderTimeout", &c.HeaderTimeout, 5 * time.Second},
		{"StallTimeout", &c.StallTimeout, 10 * time.Second},
		{"AnswerTimeout", &c.AnswerTimeout, 10 * time.Second},
		{"PullLatency", &c.PullLatency, 5 * time.Second},
	} {
		if *f.v < 0 {
			return c, fmt.Errorf("moq.Config.%s is %v: must not be negative", f.name, *f.v)
		}
		if *f.v == 0 {
			*f.v = f.def
		}
	}
	if c.MaxFrameBytes == 0 {
		c.MaxFrameBytes = 8 << 20
	}
	if c.Elsewhere == nil {
		c.Elsewhere = func(string) string { return "" }
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

// What MoQ needs of the QUIC connections that are handed to ServeConn.
const (
	// A browser that is killed says nothing. Its broadcasts and subscriptions are
	// to end within ten seconds: two until a keep-alive is sent, which starts
	// the idle timer anew (RFC 9000, Section 10.1), and seven more.
	idleTimeout = 7 * time.Second
	keepAlive   = 2 * time.Second
	// Each subscription holds a bidirectional stream for its life, and a
	// publisher sends a unidirectional one per group: fifty a second for audio
	// with a group per frame.
	maxIncomingStreams    = 512
	maxIncomingUniStreams = 1024
)

// QUICConfig sets in conf what MoQ needs of a connection, and returns it. conf is
// the node's own configuration, which is changed, or nil for a new one.
func QUICConfig(conf *quic.Config) *quic.Config {
	if conf == nil {
		conf = &quic.Config{}
	}
	conf.MaxIdleTimeout = idleTimeout
	conf.KeepAlivePeriod = keepAlive
	conf.MaxIncomingStreams = maxIncomingStreams
	conf.MaxIncomingUniStreams = maxIncomingUniStreams
	conf.EnableDatagrams = true
	// WebTransport demands it. It also lets a viewer learn which group a reset
	// stream was, where its client speaks it.
	conf.EnableStreamResetPartialDelivery = true
	return conf
}
