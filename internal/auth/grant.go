package auth

import (
	"slices"
	"time"

	"trellis/wire"
)

// Grant is what a verified token allows. The zero Grant allows nothing. It is
// not modified after it was made, and may be copied.
type Grant struct {
	// ID is who holds the token: its subject, or where it has none something
	// that identifies the token itself. Never empty in a verified grant, never
	// secret. A resource made under one ID may be changed only under the same.
	ID string
	// TokenID is the token's "jti", empty if it has none.
	TokenID string
	// Publish and Subscribe are the names below which the holder may publish
	// and subscribe. An empty list is nothing; the empty prefix is everything.
	Publish, Subscribe []wire.Prefix
	// Expires is when what was granted ends: sessions are closed then.
	Expires time.Time
}

// CanPublish reports whether the holder may publish b.
func (g Grant) CanPublish(b wire.Broadcast) bool { return within(b, g.Publish) }

// CanSubscribe reports whether the holder may subscribe to tracks of b and be
// told that it exists.
func (g Grant) CanSubscribe(b wire.Broadcast) bool { return within(b, g.Subscribe) }

// CanBrowse reports whether every name below p is within what the holder may
// subscribe to. Where it is not, announcements must be asked for one by one
// with CanSubscribe.
func (g Grant) CanBrowse(p wire.Prefix) bool {
	return slices.ContainsFunc(g.Subscribe, func(have wire.Prefix) bool { return have.Covers(p) })
}

// Expired reports whether the grant has ended by now.
func (g Grant) Expired(now time.Time) bool { return !now.Before(g.Expires) }

func within(b wire.Broadcast, scopes []wire.Prefix) bool {
	return b != "" && slices.ContainsFunc(scopes, b.HasPrefix)
}
