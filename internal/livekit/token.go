package livekit

import (
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// The key of servers that are started here. They listen on loopback and live for
// minutes.
const (
	apiKey    = "trellis"
	apiSecret = "a-secret-of-a-benchmark-on-loopback"
)

// Grant is what somebody may do.
type Grant struct {
	// Identity is unique in a room.
	Identity string
	Room     string
	// Publish allows to publish; viewers only watch, and nobody is told of them.
	Publish bool
}

// tokenLife is longer than any comparison.
const tokenLife = 6 * time.Hour

// Token signs it for a server that was started here.
func (g Grant) Token(now time.Time) (string, error) {
	return jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"iss": apiKey,
		"sub": g.Identity,
		"nbf": now.Add(-time.Minute).Unix(),
		"exp": now.Add(tokenLife).Unix(),
		"video": map[string]any{
			"room": g.Room, "roomJoin": true, "canPublish": g.Publish, "canPublishData": false, "canSubscribe": !g.Publish,
			"hidden": !g.Publish,
		},
	}).SignedString([]byte(apiSecret))
}
