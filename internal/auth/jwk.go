package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"trellis/wire"
)

// Algorithm is how a key signs, by its name in RFC 7518 and RFC 8037.
type Algorithm string

// The algorithms that a key may be pinned to.
const (
	EdDSA Algorithm = "EdDSA" // Ed25519; the default
	ES256 Algorithm = "ES256"
	HS256 Algorithm = "HS256" // shared secret; only by explicit setting
)

// minSharedBytes: RFC 7518, Section 3.2, a key as long as the hash.
const minSharedBytes = 32

// keyIDPattern keeps ids away from paths, URLs and shells.
var keyIDPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// strictBase64 refuses stray bits at the end, so that a token has one spelling.
var strictBase64 = base64.RawURLEncoding.Strict()

func decodeBase64(s string) ([]byte, error) {
	// encoding/base64 skips line ends, strict or not.
	if strings.ContainsAny(s, "\r\n") {
		return nil, errors.New("line end in base64url")
	}
	return strictBase64.DecodeString(s)
}

// key is one JSON Web Key, RFC 7517. Ed25519 keys follow RFC 8037.
type key struct {
	id        string
	algorithm Algorithm
	verify    crypto.PublicKey  // ed25519.PublicKey, *ecdsa.PublicKey or []byte for HS256
	sign      crypto.PrivateKey // nil in a public key; []byte for HS256
	scope     wire.Prefix       // "root": the key signs nothing outside it
}

func parseKey(o object) (key, error) {
	id, ok, err := o.text("kid")
	switch {
	case err != nil:
		return key{}, err
	case !ok:
		return key{}, errors.New(`"kid" is missing`)
	case !keyIDPattern.MatchString(id):
		return key{}, fmt.Errorf(`"kid" %.80q is not 1 to 64 of A-Z a-z 0-9 _ -`, id)
	}
	k := key{id: id}
	if err := k.parse(o); err != nil {
		return key{}, fmt.Errorf("key %q: %w", id, err)
	}
	return k, nil
}

func (k *key) parse(o object) error {
	kty, _, err := o.text("kty")
	if err != nil {
		return err
	}
	crv, _, err := o.text("crv")
	if err != nil {
		return err
	}
	switch {
	case kty == "OKP" && crv == "Ed25519":
		k.algorithm, err = EdDSA, k.parseEd25519(o)
	case kty == "EC" && crv == "P-256":
		k.algorithm, err = ES256, k.parseP256(o)
	case kty == "oct":
		k.algorithm, err = HS256, k.parseShared(o)
	default:
		return fmt.Errorf(`"kty" %.20q with "crv" %.20q: want OKP with Ed25519, EC with P-256, or oct`, kty, crv)
	}
	if err != nil {
		return err
	}
	// The type of key decides. A file that says otherwise is a mistake to
	// show, not a preference to follow.
	if alg, ok, err := o.text("alg"); err != nil {
		return err
	} else if ok && alg != string(k.algorithm) {
		return fmt.Errorf(`"alg" is %.20q, but this kind of key signs with %s`, alg, k.algorithm)
	}
	if use, ok, err := o.text("use"); err != nil {
		return err
	} else if ok && use != "sig" {
		return fmt.Errorf(`"use" is %.20q, want "sig"`, use)
	}
	root, _, err := o.text("root")
	if err != nil {
		return err
	}
	if k.scope, err = wire.ParsePrefix(root); err != nil {
		return fmt.Errorf(`"root": %w`, err)
	}
	return nil
}

func (k *key) parseEd25519(o object) error {
	x, err := o.bytes32("x")
	if err != nil {
		return err
	}
	k.verify = ed25519.PublicKey(x)
	if _, private := o["d"]; !private {
		return nil
	}
	d, err := o.bytes32("d")
	if err != nil {
		return err
	}
	sign := ed25519.NewKeyFromSeed(d)
	if !sign.Public().(ed25519.PublicKey).Equal(k.verify) {
		return errors.New(`"d" and "x" do not belong together`)
	}
	k.sign = sign
	return nil
}

func (k *key) parseP256(o object) error {
	x, err := o.bytes32("x")
	if err != nil {
		return err
	}
	y, err := o.bytes32("y")
	if err != nil {
		return err
	}
	point := append(append([]byte{4}, x...), y...) // SEC 1, Section 2.3.3
	verify, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return errors.New(`"x" and "y" are not a point of P-256`)
	}
	k.verify = verify
	if _, private := o["d"]; !private {
		return nil
	}
	d, err := o.bytes32("d")
	if err != nil {
		return err
	}
	sign, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), d)
	if err != nil || !sign.PublicKey.Equal(verify) {
		return errors.New(`"d" does not belong to "x" and "y"`)
	}
	k.sign = sign
	return nil
}

func (k *key) parseShared(o object) error {
	text, _, err := o.text("k")
	if err != nil {
		return err
	}
	secret, err := decodeBase64(text)
	if err != nil {
		return errors.New(`"k" is not base64url`)
	}
	if len(secret) < minSharedBytes {
		return fmt.Errorf(`"k" has %d bytes, HS256 needs at least %d`, len(secret), minSharedBytes)
	}
	k.verify, k.sign = secret, secret
	return nil
}

// private reports whether the file that held k must be kept secret.
func (k *key) private() bool { return k.sign != nil }

// encode returns k as a JWK, with its private part only on request.
func (k *key) encode(private bool) ([]byte, error) {
	o := map[string]string{"kid": k.id, "alg": string(k.algorithm), "use": "sig"}
	if k.scope != "" {
		o["root"] = string(k.scope)
	}
	enc := strictBase64.EncodeToString
	switch verify := k.verify.(type) {
	case ed25519.PublicKey:
		o["kty"], o["crv"], o["x"] = "OKP", "Ed25519", enc(verify)
		if sign, ok := k.sign.(ed25519.PrivateKey); ok && private {
			o["d"] = enc(sign.Seed())
		}
	case *ecdsa.PublicKey:
		point, err := verify.Bytes()
		if err != nil {
			return nil, fmt.Errorf("key %q: %w", k.id, err)
		}
		o["kty"], o["crv"], o["x"], o["y"] = "EC", "P-256", enc(point[1:33]), enc(point[33:])
		if sign, ok := k.sign.(*ecdsa.PrivateKey); ok && private {
			d, err := sign.Bytes()
			if err != nil {
				return nil, fmt.Errorf("key %q: %w", k.id, err)
			}
			o["d"] = enc(d)
		}
	case []byte:
		if !private {
			return nil, fmt.Errorf("key %q: a shared secret has no public part", k.id)
		}
		o["kty"], o["k"] = "oct", enc(verify)
	}
	return json.Marshal(o)
}

// bytes32 returns the base64url member name, 32 bytes long as all parts of
// Ed25519 and P-256 keys are.
func (o object) bytes32(name string) ([]byte, error) {
	text, _, err := o.text(name)
	if err != nil {
		return nil, err
	}
	b, err := decodeBase64(text)
	if err != nil {
		return nil, fmt.Errorf("%q is not base64url", name)
	}
	if len(b) != 32 {
		return nil, fmt.Errorf("%q has %d bytes, want 32", name, len(b))
	}
	return b, nil
}
