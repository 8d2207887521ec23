package auth

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	// maxTokenBytes is checked before anything is parsed.
	maxTokenBytes = 8 << 10
	defaultLeeway = 10 * time.Second
	maxLeeway     = 30 * time.Second
)

// Config says which tokens a Verifier accepts.
type Config struct {
	// Keys are the keys whose signatures are believed. Required.
	Keys *KeySet
	// Issuer, where not empty, must equal "iss".
	Issuer string
	// Audience, where not empty, must be among "aud".
	Audience string
	// Leeway is how far clocks may disagree. Zero means 10 s, negative none;
	// more than 30 s is refused.
	Leeway time.Duration
}

// Verifier turns tokens into grants.
type Verifier struct {
	issuer, audience string
	leeway           time.Duration
	keys             atomic.Pointer[KeySet]
}

// NewVerifier returns a Verifier for cfg.
func NewVerifier(cfg Config) (*Verifier, error) {
	switch {
	case cfg.Keys == nil:
		return nil, errors.New("auth: no key set")
	case cfg.Leeway > maxLeeway:
		return nil, fmt.Errorf("auth: leeway of %v, at most %v", cfg.Leeway, maxLeeway)
	case cfg.Leeway == 0:
		cfg.Leeway = defaultLeeway
	}
	v := &Verifier{issuer: cfg.Issuer, audience: cfg.Audience, leeway: max(cfg.Leeway, 0)}
	v.keys.Store(cfg.Keys)
	return v, nil
}

// SetKeys replaces the key set, for rotation without a restart.
func (v *Verifier) SetKeys(keys *KeySet) { v.keys.Store(keys) }

// Verify returns what token grants at time now. Any error is a *DeniedError:
// safe to show to the client as it is, telling in the log.
func (v *Verifier) Verify(token string, now time.Time) (Grant, error) {
	claims, k, err := v.open(token)
	if err != nil {
		return Grant{}, err
	}
	if err := v.checkClaims(claims, now); err != nil {
		return Grant{}, err
	}
	grant, err := claims.grant(token)
	if err != nil {
		return Grant{}, deny(ReasonClaims, err.Error())
	}
	// A key that may sign for one tenant must not sign for another. One scope
	// too many refuses the token as a whole: trimming it would hide the mistake.
	for _, p := range slices.Concat(grant.Publish, grant.Subscribe) {
		if !k.scope.Covers(p) {
			return Grant{}, deny(ReasonKeyScope, fmt.Sprintf("key %q signs below %q, not %q", k.id, k.scope, p))
		}
	}
	return grant, nil
}

// open checks the form and the signature of token. Claims are not looked at
// before the signature holds.
func (v *Verifier) open(token string) (Claims, key, error) {
	switch {
	case token == "":
		return Claims{}, key{}, deny(ReasonMissing, "no token")
	case len(token) > maxTokenBytes:
		return Claims{}, key{}, deny(ReasonTooLarge, fmt.Sprintf("%d bytes, at most %d", len(token), maxTokenBytes))
	}
	signed, signature, ok := cutLast(token, '.')
	header, payload, ok2 := strings.Cut(signed, ".")
	if !ok || !ok2 || strings.Contains(payload, ".") {
		return Claims{}, key{}, deny(ReasonMalformed, "not three parts")
	}
	k, err := v.keyFor(header)
	if err != nil {
		return Claims{}, key{}, err
	}
	sig, err := decodeBase64(signature)
	if err != nil {
		return Claims{}, key{}, deny(ReasonMalformed, "signature is not base64url")
	}
	if err := k.algorithm.method().Verify(signed, sig, k.verify); err != nil {
		return Claims{}, key{}, deny(ReasonSignature, fmt.Sprintf("key %q: %v", k.id, err))
	}
	data, err := decodeBase64(payload)
	if err != nil {
		return Claims{}, key{}, deny(ReasonMalformed, "payload is not base64url")
	}
	claims, err := parseClaims(data)
	if err != nil {
		return Claims{}, key{}, deny(ReasonClaims, err.Error())
	}
	return claims, k, nil
}

// keyFor returns the key that a token's header names.
func (v *Verifier) keyFor(header string) (key, error) {
	data, err := decodeBase64(header)
	if err != nil {
		return key{}, deny(ReasonMalformed, "header is not base64url")
	}
	o, err := parseObject(data)
	if err != nil {
		return key{}, deny(ReasonMalformed, "header: "+err.Error())
	}
	// RFC 7515, Section 4.1: these bring a key along, or change how the token
	// is to be read. We follow none of them, so a token with one is not for us.
	for _, name := range []string{"jwk", "jku", "x5c", "x5u", "crit", "b64", "zip", "enc"} {
		if _, ok := o[name]; ok {
			return key{}, deny(ReasonHeader, fmt.Sprintf("header has %q", name))
		}
	}
	if typ, ok, err := o.text("typ"); err != nil || ok && !strings.EqualFold(typ, "JWT") {
		return key{}, deny(ReasonHeader, `header "typ" is not "JWT"`)
	}
	id, _, err := o.text("kid")
	if err != nil || !keyIDPattern.MatchString(id) {
		return key{}, deny(ReasonHeader, `header "kid" is missing or not 1 to 64 of A-Z a-z 0-9 _ -`)
	}
	k, ok := v.keys.Load().keys[id]
	if !ok {
		return key{}, deny(ReasonUnknownKey, fmt.Sprintf("no key %q", id))
	}
	alg, _, err := o.text("alg")
	if err != nil || alg != string(k.algorithm) {
		return key{}, deny(ReasonAlgorithm, fmt.Sprintf("header says %.20q, key %q is for %s", alg, id, k.algorithm))
	}
	return k, nil
}

func (v *Verifier) checkClaims(c Claims, now time.Time) error {
	switch {
	case !now.Before(c.Expires.Add(v.leeway)):
		return deny(ReasonExpired, "expired at "+c.Expires.Format(time.RFC3339))
	case now.Add(v.leeway).Before(c.NotBefore):
		return deny(ReasonNotYetValid, "not valid before "+c.NotBefore.Format(time.RFC3339))
	case now.Add(v.leeway).Before(c.IssuedAt):
		return deny(ReasonNotYetValid, "issued in the future, at "+c.IssuedAt.Format(time.RFC3339))
	case v.issuer != "" && c.Issuer != v.issuer:
		return deny(ReasonIssuer, fmt.Sprintf("issuer %.80q, want %q", c.Issuer, v.issuer))
	case v.audience != "" && !slices.Contains(c.Audience, v.audience):
		return deny(ReasonAudience, fmt.Sprintf("audience %.200q, want %q", c.Audience, v.audience))
	}
	return nil
}

func (c Claims) grant(token string) (Grant, error) {
	put, err := c.scopes(c.Publish)
	if err != nil {
		return Grant{}, err
	}
	get, err := c.scopes(c.Subscribe)
	if err != nil {
		return Grant{}, err
	}
	return Grant{
		ID:        c.identity(token),
		TokenID:   c.ID,
		Publish:   put,
		Subscribe: get,
		Expires:   c.Expires,
	}, nil
}

// identity says who holds token without giving it away.
func (c Claims) identity(token string) string {
	switch {
	case c.Subject != "":
		return c.Subject
	case c.ID != "":
		return "jti:" + c.ID
	default:
		sum := sha256.Sum256([]byte(token))
		return "token:" + hex.EncodeToString(sum[:8])
	}
}

// method is the primitive behind an algorithm, never chosen by a token.
func (a Algorithm) method() jwt.SigningMethod {
	switch a {
	case EdDSA:
		return jwt.SigningMethodEdDSA
	case ES256:
		return jwt.SigningMethodES256
	case HS256:
		return jwt.SigningMethodHS256
	default:
		panic("auth: key with unknown algorithm " + string(a))
	}
}

func cutLast(s string, sep byte) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}
