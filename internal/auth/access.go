package auth

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"trellis/internal/keyfile"
	"trellis/wire"
)

// accessLeeway is how far clocks may disagree about LiveKit's access tokens, as its
// own server has it.
const accessLeeway = time.Minute

// apiKeyPattern is what an API key may look like: it is shown in logs.
var apiKeyPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// AccessKeys are the API keys of LiveKit's tokens with their secrets. Whoever has
// one can sign: a file of them is as secret as a private key.
type AccessKeys struct {
	keys map[string]accessKey
}

type accessKey struct {
	secret []byte
	scope  wire.Prefix // of the rooms that it may sign for
}

// ParseAccessKeys reads a line for each key: "KEY: SECRET", or "KEY: SECRET PREFIX"
// for a key that signs for rooms below a prefix only. Lines with # are comments.
func ParseAccessKeys(data []byte) (*AccessKeys, error) {
	a := &AccessKeys{keys: map[string]accessKey{}}
	scan := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; scan.Scan(); n++ {
		line := strings.TrimSpace(scan.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, rest, ok := strings.Cut(line, ":")
		fields := strings.Fields(rest)
		switch {
		case !ok || len(fields) == 0 || len(fields) > 2:
			return nil, fmt.Errorf("line %d: want KEY: SECRET, or KEY: SECRET PREFIX", n)
		case !apiKeyPattern.MatchString(name):
			return nil, fmt.Errorf("line %d: a key is 1 to 64 of A-Z a-z 0-9 _ -", n)
		case len(fields[0]) < minSharedBytes:
			return nil, fmt.Errorf("line %d: the secret of %s has %d characters, HS256 needs at least %d", n, name, len(fields[0]), minSharedBytes)
		case len(a.keys) == maxKeys:
			return nil, fmt.Errorf("line %d: more than %d keys", n, maxKeys)
		}
		if _, twice := a.keys[name]; twice {
			return nil, fmt.Errorf("line %d: key %s twice", n, name)
		}
		k := accessKey{secret: []byte(fields[0])}
		if len(fields) == 2 {
			scope, err := wire.ParsePrefix(fields[1])
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", n, err)
			}
			k.scope = scope
		}
		a.keys[name] = k
	}
	if err := scan.Err(); err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	if len(a.keys) == 0 {
		return nil, errors.New("there is no key")
	}
	return a, nil
}

// LoadAccessKeys reads them from a file that only its owner may read.
func LoadAccessKeys(path string) (*AccessKeys, error) {
	data, err := keyfile.ReadSecret(path)
	if err != nil {
		return nil, err
	}
	a, err := ParseAccessKeys(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return a, nil
}

// IDs returns the API keys, sorted.
func (a *AccessKeys) IDs() []string { return slices.Sorted(maps.Keys(a.keys)) }

// Access is what an access token of LiveKit's allows.
type Access struct {
	// Grant is that in our words: its ID is the API key and the identity.
	Grant

	// Identity is who joins, Room where.
	Identity string
	Room     string
	// Name and Metadata are shown to others; empty if there are none.
	Name, Metadata string
	// Hidden: others are not to be told of the holder.
	Hidden bool
}

// AccessVerifier checks access tokens: JWTs signed with HS256 by an API key's
// secret, whose claim "video" says what the holder may do in which room.
type AccessVerifier struct {
	keys atomic.Pointer[AccessKeys]
}

// NewAccessVerifier returns one for keys.
func NewAccessVerifier(keys *AccessKeys) *AccessVerifier {
	v := &AccessVerifier{}
	v.keys.Store(keys)
	return v
}

// SetKeys replaces the keys, for rotation without a restart.
func (v *AccessVerifier) SetKeys(keys *AccessKeys) { v.keys.Store(keys) }

// VerifyAccess returns what token grants at time now. Any error is a *DeniedError.
func (v *AccessVerifier) VerifyAccess(token string, now time.Time) (Access, error) {
	o, name, k, err := v.open(token)
	if err != nil {
		return Access{}, err
	}
	if err := o.checkTimes(now); err != nil {
		return Access{}, err
	}
	a, err := o.access()
	if err != nil {
		return Access{}, deny(ReasonClaims, err.Error())
	}
	room, err := wire.ParsePrefix(a.Room)
	if err != nil || room == "" {
		return Access{}, deny(ReasonClaims, fmt.Sprintf("room %.80q is not a name such as demo or demo/film", a.Room))
	}
	if !k.scope.Covers(room) {
		return Access{}, deny(ReasonKeyScope, fmt.Sprintf("key %q signs below %q, not %q", name, k.scope, room))
	}
	a.ID = name + ":" + a.Identity
	for i := range a.Subscribe {
		a.Subscribe[i] = room
	}
	return a, nil
}

// open checks form and signature. The algorithm is ours, never the token's.
func (v *AccessVerifier) open(token string) (o object, name string, k accessKey, err error) {
	switch {
	case token == "":
		return nil, "", k, deny(ReasonMissing, "no token")
	case len(token) > maxTokenBytes:
		return nil, "", k, deny(ReasonTooLarge, fmt.Sprintf("%d bytes, at most %d", len(token), maxTokenBytes))
	}
	signed, signature, ok := cutLast(token, '.')
	header, payload, ok2 := strings.Cut(signed, ".")
	if !ok || !ok2 || strings.Contains(payload, ".") {
		return nil, "", k, deny(ReasonMalformed, "not three parts")
	}
	data, err := decodeBase64(payload)
	if err != nil {
		return nil, "", k, deny(ReasonMalformed, "payload is not base64url")
	}
	// RFC 7519, Section 4.1.1: who issued it names the key. Nothing else of the
	// claims is looked at before the signature holds.
	if o, err = parseObject(data); err != nil {
		return nil, "", k, deny(ReasonMalformed, err.Error())
	}
	if err := checkAccessHeader(header); err != nil {
		return nil, "", k, err
	}
	name, _, err = o.text("iss")
	if err != nil || !apiKeyPattern.MatchString(name) {
		return nil, "", k, deny(ReasonIssuer, `"iss" is not an API key`)
	}
	k, ok = v.keys.Load().keys[name]
	if !ok {
		return nil, "", k, deny(ReasonUnknownKey, fmt.Sprintf("no API key %q", name))
	}
	sig, err := decodeBase64(signature)
	if err != nil {
		return nil, "", k, deny(ReasonMalformed, "signature is not base64url")
	}
	if err := jwt.SigningMethodHS256.Verify(signed, sig, k.secret); err != nil {
		return nil, "", k, deny(ReasonSignature, fmt.Sprintf("API key %q: %v", name, err))
	}
	return o, name, k, nil
}

func checkAccessHeader(header string) error {
	data, err := decodeBase64(header)
	if err != nil {
		return deny(ReasonMalformed, "header is not base64url")
	}
	o, err := parseObject(data)
	if err != nil {
		return deny(ReasonMalformed, "header: "+err.Error())
	}
	if alg, _, err := o.text("alg"); err != nil || alg != string(HS256) {
		return deny(ReasonAlgorithm, fmt.Sprintf("header says %.20q, access tokens are signed with HS256", alg))
	}
	if _, ok := o["crit"]; ok { // RFC 7515, Section 4.1.11
		return deny(ReasonHeader, `header has "crit"`)
	}
	return nil
}

func (o object) checkTimes(now time.Time) error {
	expires, err := o.instant("exp")
	switch {
	case err != nil:
		return deny(ReasonClaims, err.Error())
	case expires.IsZero():
		return deny(ReasonClaims, `"exp" is missing: every token ends`)
	case !now.Before(expires.Add(accessLeeway)):
		return deny(ReasonExpired, "expired at "+expires.Format(time.RFC3339))
	}
	notBefore, err := o.instant("nbf")
	switch {
	case err != nil:
		return deny(ReasonClaims, err.Error())
	case now.Add(accessLeeway).Before(notBefore):
		return deny(ReasonNotYetValid, "not valid before "+notBefore.Format(time.RFC3339))
	}
	return nil
}

// access reads the claims. What the token leaves out is as LiveKit has it: who may
// join may subscribe.
func (o object) access() (Access, error) {
	var a Access
	var errs [5]error
	a.Expires, errs[0] = o.instant("exp")
	a.Identity, errs[1] = o.identity("sub")
	a.TokenID, errs[2] = o.identity("jti")
	a.Name, _, errs[3] = o.text("name")
	a.Metadata, _, errs[4] = o.text("metadata")
	if err := errors.Join(errs[:]...); err != nil {
		return a, err
	}
	if a.Identity == "" {
		a.Identity = a.TokenID
	}
	video, err := parseObject(o["video"])
	if err != nil {
		return a, fmt.Errorf(`"video": %w`, err)
	}
	join, err := video.flag("roomJoin", false)
	if err != nil {
		return a, err
	}
	subscribe, err := video.flag("canSubscribe", true)
	if err != nil {
		return a, err
	}
	if a.Hidden, err = video.flag("hidden", false); err != nil {
		return a, err
	}
	if a.Room, _, err = video.text("room"); err != nil {
		return a, err
	}
	switch {
	case !join:
		return a, errors.New(`"video" does not allow to join: roomJoin`)
	case a.Identity == "":
		return a, errors.New(`"sub" is missing: who joins has an identity`)
	case subscribe:
		a.Subscribe = make([]wire.Prefix, 1) // the room
	}
	return a, nil
}

// flag returns the boolean member name, def if there is none.
func (o object) flag(name string, def bool) (bool, error) {
	raw, ok := o[name]
	if !ok || string(raw) == "null" {
		return def, nil
	}
	var b bool
	if err := json.Unmarshal(raw, &b); err != nil {
		return false, fmt.Errorf("%q is neither true nor false", name)
	}
	return b, nil
}
