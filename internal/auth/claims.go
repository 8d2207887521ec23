package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"
	"unicode"

	"trellis/wire"
)

// Limits within the 8 KiB of a token.
const (
	maxScopes        = 64
	maxAudiences     = 16
	maxIdentityBytes = 255
	// maxTime keeps instants exact as JSON numbers and far from the end of
	// time.Time: the year 9999.
	maxTime = 253402300799
)

// Claims is the content of a token. Names in Publish and Subscribe are relative
// to Root; "" there means everything below it.
type Claims struct {
	Root               string
	Publish, Subscribe []string // "put", "get"
	Subject            string   // "sub"
	ID                 string   // "jti"
	Issuer             string   // "iss"
	Audience           []string // "aud"
	IssuedAt           time.Time
	NotBefore          time.Time
	Expires            time.Time // required
}

func parseClaims(data []byte) (Claims, error) {
	o, err := parseObject(data)
	if err != nil {
		return Claims{}, err
	}
	var c Claims
	var errs [9]error
	c.Root, _, errs[0] = o.text("root")
	c.Publish, errs[1] = o.texts("put", maxScopes)
	c.Subscribe, errs[2] = o.texts("get", maxScopes)
	c.Subject, errs[3] = o.identity("sub")
	c.ID, errs[4] = o.identity("jti")
	c.Issuer, _, errs[5] = o.text("iss")
	c.Audience, errs[6] = o.texts("aud", maxAudiences)
	c.IssuedAt, errs[7] = o.instant("iat")
	c.NotBefore, errs[8] = o.instant("nbf")
	if err := errors.Join(errs[:]...); err != nil {
		return Claims{}, err
	}
	if c.Expires, err = o.instant("exp"); err != nil {
		return Claims{}, err
	}
	return c, c.check()
}

// check holds for tokens that we make as well as for those we are shown.
func (c Claims) check() error {
	if c.Expires.IsZero() {
		return errors.New(`"exp" is missing: every token ends`)
	}
	if _, err := c.scopes(c.Publish); err != nil {
		return fmt.Errorf(`"put": %w`, err)
	}
	if _, err := c.scopes(c.Subscribe); err != nil {
		return fmt.Errorf(`"get": %w`, err)
	}
	return nil
}

// scopes joins the root with each of names.
func (c Claims) scopes(names []string) ([]wire.Prefix, error) {
	out := make([]wire.Prefix, 0, len(names))
	for _, name := range names {
		path := c.Root
		switch {
		case path == "":
			path = name
		case name != "":
			path += "/" + name
		}
		p, err := wire.ParsePrefix(path)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

func (c Claims) encode() ([]byte, error) {
	o := map[string]any{"exp": c.Expires.Unix()}
	for name, value := range map[string]string{"root": c.Root, "sub": c.Subject, "jti": c.ID, "iss": c.Issuer} {
		if value != "" {
			o[name] = value
		}
	}
	for name, list := range map[string][]string{"put": c.Publish, "get": c.Subscribe, "aud": c.Audience} {
		if len(list) > 0 {
			o[name] = list
		}
	}
	for name, at := range map[string]time.Time{"iat": c.IssuedAt, "nbf": c.NotBefore} {
		if !at.IsZero() {
			o[name] = at.Unix()
		}
	}
	return json.Marshal(o)
}

// identity returns a string member that will be shown in logs and compared.
func (o object) identity(name string) (string, error) {
	s, ok, err := o.text(name)
	switch {
	case err != nil || !ok:
		return "", err
	case s == "":
		return "", fmt.Errorf("%q is empty", name)
	case len(s) > maxIdentityBytes:
		return "", fmt.Errorf("%q has %d bytes, at most %d", name, len(s), maxIdentityBytes)
	}
	for _, r := range s {
		if unicode.IsControl(r) {
			return "", fmt.Errorf("%q has a control character", name)
		}
	}
	return s, nil
}

// instant returns the NumericDate member name, zero if there is none.
// RFC 7519, Section 2: seconds since 1970, fractions allowed.
func (o object) instant(name string) (time.Time, error) {
	raw, ok := o[name]
	if !ok {
		return time.Time{}, nil
	}
	var seconds *float64
	if err := json.Unmarshal(raw, &seconds); err != nil || seconds == nil {
		return time.Time{}, fmt.Errorf("%q is not a number of seconds", name)
	}
	if *seconds < 0 || *seconds > maxTime {
		return time.Time{}, fmt.Errorf("%q is out of range", name)
	}
	whole, fraction := math.Modf(*seconds)
	return time.Unix(int64(whole), int64(fraction*1e9)).UTC(), nil
}
