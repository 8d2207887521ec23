package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"trellis/internal/keyfile"
	"trellis/wire"
)

// PrivateKey signs tokens. Formatting one shows its id and algorithm only.
type PrivateKey struct {
	k key
}

// GenerateKey makes a key pair for alg, EdDSA if empty. id is its "kid"; every
// name that it may sign for lies below scope.
func GenerateKey(id string, alg Algorithm, scope wire.Prefix) (PrivateKey, error) {
	if !keyIDPattern.MatchString(id) {
		return PrivateKey{}, fmt.Errorf("key id %.80q is not 1 to 64 of A-Z a-z 0-9 _ -", id)
	}
	k := key{id: id, algorithm: alg, scope: scope}
	switch alg {
	case EdDSA, "":
		pub, priv, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return PrivateKey{}, fmt.Errorf("generate key: %w", err)
		}
		k.algorithm, k.verify, k.sign = EdDSA, pub, priv
	case ES256:
		priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return PrivateKey{}, fmt.Errorf("generate key: %w", err)
		}
		k.verify, k.sign = &priv.PublicKey, priv
	case HS256:
		secret := make([]byte, minSharedBytes)
		rand.Read(secret) // never fails: crypto/rand
		k.verify, k.sign = secret, secret
	default:
		return PrivateKey{}, fmt.Errorf("unknown algorithm %.20q: want EdDSA, ES256 or HS256", string(alg))
	}
	return PrivateKey{k}, nil
}

// ParsePrivateKey reads a private JWK.
func ParsePrivateKey(data []byte) (PrivateKey, error) {
	keys, err := parseKeys(data)
	if err != nil {
		return PrivateKey{}, err
	}
	if len(keys) != 1 {
		return PrivateKey{}, fmt.Errorf("%d keys, want one to sign with", len(keys))
	}
	if !keys[0].private() {
		return PrivateKey{}, fmt.Errorf("key %q has no private part to sign with", keys[0].id)
	}
	return PrivateKey{keys[0]}, nil
}

// LoadPrivateKey reads a private JWK from a file that only its owner may read.
func LoadPrivateKey(path string) (PrivateKey, error) {
	data, err := keyfile.ReadSecret(path)
	if err != nil {
		return PrivateKey{}, err
	}
	p, err := ParsePrivateKey(data)
	if err != nil {
		return PrivateKey{}, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

// Save writes the private JWK to a new file that only its owner may read.
func (p PrivateKey) Save(path string) error {
	data, err := p.k.encode(true)
	if err != nil {
		return err
	}
	return keyfile.CreateSecret(path, append(data, '\n'))
}

// ID returns the key's "kid".
func (p PrivateKey) ID() string { return p.k.id }

// Algorithm returns what the key signs with.
func (p PrivateKey) Algorithm() Algorithm { return p.k.algorithm }

// String hides the key.
func (p PrivateKey) String() string { return fmt.Sprintf("key %s (%s)", p.k.id, p.k.algorithm) }

// Format writes String for every verb.
func (p PrivateKey) Format(f fmt.State, _ rune) {
	// A formatter has nowhere to report an error of its State.
	_, _ = io.WriteString(f, p.String())
}

// PublicSet returns the public parts of keys as a JWK Set, what nodes are given.
func PublicSet(keys ...PrivateKey) ([]byte, error) {
	set := struct {
		Keys []json.RawMessage `json:"keys"`
	}{}
	for _, p := range keys {
		raw, err := p.k.encode(false)
		if err != nil {
			return nil, err
		}
		set.Keys = append(set.Keys, raw)
	}
	return json.MarshalIndent(set, "", "  ")
}

// KeySet returns the set of just this key, for a node in the same process.
func (p PrivateKey) KeySet() *KeySet {
	k := p.k
	if k.algorithm != HS256 {
		k.sign = nil
	}
	return &KeySet{keys: map[string]key{k.id: k}}
}

// Mint signs a token with claims c at time now: "iat" is now, and a token
// without an id gets a random one. It refuses what no node would accept.
func (p PrivateKey) Mint(c Claims, now time.Time) (Secret, error) {
	c.IssuedAt = now
	if c.ID == "" {
		c.ID = rand.Text()
	}
	if err := c.check(); err != nil {
		return "", fmt.Errorf("mint token: %w", err)
	}
	if !c.Expires.After(now) {
		return "", fmt.Errorf("mint token: would expire at %s, in the past", c.Expires.Format(time.RFC3339))
	}
	for _, names := range [][]string{c.Publish, c.Subscribe} {
		scopes, err := c.scopes(names)
		if err != nil {
			return "", fmt.Errorf("mint token: %w", err)
		}
		for _, scope := range scopes {
			if !p.k.scope.Covers(scope) {
				return "", fmt.Errorf("mint token: key %q signs below %q, not %q", p.k.id, p.k.scope, scope)
			}
		}
	}
	payload, err := c.encode()
	if err != nil {
		return "", fmt.Errorf("mint token: %w", err)
	}
	// Read our own writing: limits on names and lists are the parser's.
	if _, err := parseClaims(payload); err != nil {
		return "", fmt.Errorf("mint token: %w", err)
	}
	return p.sign(map[string]string{"alg": string(p.k.algorithm), "kid": p.k.id, "typ": "JWT"}, payload)
}

func (p PrivateKey) sign(header any, payload []byte) (Secret, error) {
	h, err := json.Marshal(header)
	if err != nil {
		return "", fmt.Errorf("mint token: %w", err)
	}
	signed := strictBase64.EncodeToString(h) + "." + strictBase64.EncodeToString(payload)
	sig, err := p.k.algorithm.method().Sign(signed, p.k.sign)
	if err != nil {
		return "", fmt.Errorf("mint token: %w", err)
	}
	token := signed + "." + strictBase64.EncodeToString(sig)
	if len(token) > maxTokenBytes {
		return "", fmt.Errorf("mint token: %d bytes, at most %d", len(token), maxTokenBytes)
	}
	return Secret(token), nil
}
