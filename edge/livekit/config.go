package livekit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"trellis/edge/rtc"
	"trellis/internal/auth"
	"trellis/internal/relay"
)

// Verifier checks access tokens: an *auth.AccessVerifier.
type Verifier interface {
	VerifyAccess(token string, now time.Time) (auth.Access, error)
}

// Config configures a Handler. A zero field without a stated default is required.
type Config struct {
	// Edge carries the media, Table has the broadcasts.
	Edge  *rtc.Edge
	Table *relay.Table
	// Verifier checks tokens.
	Verifier Verifier
	// NodeID and Region are shown to clients. Region may be empty.
	NodeID, Region string
	// AllowedOrigins are the web origins whose pages may join; "*" stands for all.
	// Empty: those of this host.
	AllowedOrigins []string
	// Busy says why this node takes nobody now, empty if it does. It must not wait
	// for the network. Nil: it always does.
	Busy func(context.Context, *http.Request) string

	// MaxParticipants bounds the broadcasts that are shown of a room. Default 64.
	MaxParticipants int
	// MaxViewers bounds the sessions of a room on this node. Default 10,000.
	MaxViewers int
	// JoinsPerSecond bounds how many clients may join the node. Default 200.
	JoinsPerSecond int

	// Log receives what happens to sessions. Nil: nothing.
	Log *slog.Logger
	// Metrics receives the package's collectors; nil for none.
	Metrics prometheus.Registerer
}

func (c Config) withDefaults() (Config, error) {
	switch {
	case c.Edge == nil || c.Table == nil:
		return c, errors.New("livekit.Config: Edge and Table are required")
	case c.Verifier == nil:
		return c, errors.New("livekit.Config.Verifier is required")
	case c.NodeID == "":
		return c, errors.New("livekit.Config.NodeID is required")
	}
	for _, f := range []struct {
		name string
		v    *int
		def  int
	}{
		{"MaxParticipants", &c.MaxParticipants, 64},
		{"MaxViewers", &c.MaxViewers, 10_000},
		{"JoinsPerSecond", &c.JoinsPerSecond, 200},
	} {
		if *f.v < 0 {
			return c, fmt.Errorf("livekit.Config.%s is %d: must not be negative", f.name, *f.v)
		}
		if *f.v == 0 {
			*f.v = f.def
		}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

// Limits of a session. An SDK sends some twenty messages when it joins, of up to 20
// kB, and then two every five seconds.
const (
	// maxMessage bounds what a client may say at once: an offer has 2.6 kB for each of its
	// sections, one for each track that is sent.
	maxMessage   = 512 << 10
	messageRate  = 30
	messageBurst = 200
	// Each offer takes an answer's work, and may change what is sent. We ask for one
	// every askEvery at most.
	offerRate  = 8
	offerBurst = 40
	askEvery   = 250 * time.Millisecond
	// retryTrack is when a track is tried again that could not be had just now.
	retryTrack = 5 * time.Second
	// readQueue and writeQueue bound the messages on their way. A client that does not
	// read what it is told is ended.
	readQueue  = 8
	writeQueue = 64
	// writeTimeout is how long a message may take to leave.
	writeTimeout = 10 * time.Second
	// A client pings every pingInterval and gives up after pingTimeout without an
	// answer; we do after twice that.
	pingInterval = 5 * time.Second
	pingTimeout  = 15 * time.Second
	silence      = 2 * pingTimeout
	// offerTimeout is how long a client may take for its first offer.
	offerTimeout = 15 * time.Second
)
