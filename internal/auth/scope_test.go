package auth

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"trellis/wire"
)

// allowedModel says again, slowly and in parts, what a scope means.
func allowedModel(root string, scopes []string, name string) bool {
	split := func(s string) []string {
		if s == "" {
			return nil
		}
		return strings.Split(s, "/")
	}
	parts := split(name)
	for _, scope := range scopes {
		want := append(split(root), split(scope)...)
		if len(parts) >= len(want) && slices.Equal(parts[:len(want)], want) {
			return true
		}
	}
	return false
}

// TestScopesAgainstModel draws names that look alike, out of the parts that
// have let others through elsewhere.
func TestScopesAgainstModel(t *testing.T) {
	rounds := 1_000_000
	if testing.Short() {
		rounds = 50_000
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	words := []string{
		"a", "b", "ab", "A", "foo", "foobar", "foo.", ".foo", "..", ".", "", "%2e%2e", "%2F", "*",
		"foo\x00", "foo\\bar", "fоo" /* Cyrillic о */, "foo ", "føø", "fo\u0301o", "~", "...",
	}
	path := func(limit int) string {
		parts := make([]string, rng.IntN(limit+1))
		for i := range parts {
			parts[i] = words[rng.IntN(len(words))]
		}
		return strings.Join(parts, "/")
	}
	granted, refused := 0, 0
	for range rounds {
		root, name := path(2), path(4)
		scopes := make([]string, rng.IntN(3))
		for i := range scopes {
			scopes[i] = path(2)
		}
		prefixes, err := Claims{Root: root}.scopes(scopes)
		if err != nil {
			refused++
			continue // such a token is refused as a whole
		}
		b, err := wire.ParseBroadcast(name)
		if err != nil {
			refused++
			continue // such a name never reaches a grant
		}
		got := Grant{Publish: prefixes}.CanPublish(b)
		want := allowedModel(root, scopes, name)
		if got != want {
			t.Fatalf("root %q, scopes %q: CanPublish(%q) = %v, want %v", root, scopes, name, got, want)
		}
		if got != (Grant{Subscribe: prefixes}).CanSubscribe(b) {
			t.Fatalf("root %q, scopes %q: publish and subscribe differ on %q", root, scopes, name)
		}
		if (Grant{Subscribe: prefixes}).CanBrowse(wire.Prefix(b)) && !got {
			t.Fatalf("root %q, scopes %q: CanBrowse(%q), but not subscribe there", root, scopes, name)
		}
		if got {
			granted++
		}
	}
	if granted == 0 || refused == 0 {
		t.Errorf("%d granted, %d refused: the draw is too narrow to show anything", granted, refused)
	}
}

func TestGrantZero(t *testing.T) {
	var g Grant
	if g.CanPublish("a") || g.CanSubscribe("a") || g.CanBrowse("") || !g.Expired(testNow) {
		t.Error("the zero grant allows something")
	}
	if (Grant{Publish: []wire.Prefix{""}}).CanPublish("") {
		t.Error("the empty name may be published")
	}
}
