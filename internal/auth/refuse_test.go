package auth

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// hmacToken is the confusion attack: signed with HS256 and a key everybody has.
func (f *forge) hmacToken(header any, secret []byte) string {
	signed := b64(f.json(header)) + "." + b64(f.json(f.goodClaims))
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(signed))
	return signed + "." + b64(string(mac.Sum(nil)))
}

// flip changes one character of s.
func flip(s string, i int) string {
	b := []byte(s)
	if b[i] == 'A' {
		b[i] = 'B'
	} else {
		b[i] = 'A'
	}
	return string(b)
}

func TestVerifyRefuses(t *testing.T) {
	f := newForge(t)
	good := f.header()
	head, body, sig := cut3(good)
	now := testNow.Unix()
	hs := func(pairs ...any) map[string]any {
		return with(f.goodHeader, append([]any{"alg", "HS256"}, pairs...)...)
	}
	edPublic, ok := f.ed.k.verify.(ed25519.PublicKey)
	if !ok {
		t.Fatal("not an Ed25519 key")
	}
	none := func(alg string) string { return b64(f.json(with(f.goodHeader, "alg", alg))) + "." + body + "." }

	for _, tc := range []struct {
		name, token string
		want        Reason
	}{
		// Form.
		{"empty", "", ReasonMissing},
		{"spaces", "   ", ReasonMalformed},
		{"a word", "token", ReasonMalformed},
		{"two parts", head + "." + body, ReasonMalformed},
		{"four parts", good + ".x", ReasonMalformed},
		{"five parts, as a JWE has", good + ".x.x", ReasonMalformed},
		{"only dots", "..", ReasonMalformed},
		{"no header", "." + body + "." + sig, ReasonMalformed},
		{"no payload", head + ".." + sig, ReasonSignature},
		{"no signature", head + "." + body + ".", ReasonSignature},
		{"newline at the end", good + "\n", ReasonMalformed},
		{"newline inside", head + "." + body[:8] + "\r\n" + body[8:] + "." + sig, ReasonSignature},
		{"space in front", " " + good, ReasonMalformed},
		{"padding", good + "==", ReasonMalformed},
		{"standard base64", head + "." + body + "." + strings.Repeat("+/", 43), ReasonMalformed},
		{"8 KiB and one", strings.Repeat("a", maxTokenBytes+1), ReasonTooLarge},
		{"huge header", f.header("x", strings.Repeat("x", maxTokenBytes)), ReasonTooLarge},
		{"a million dots", strings.Repeat(".", 1_000_000), ReasonTooLarge},
		{"8 KiB of dots", strings.Repeat(".", maxTokenBytes), ReasonMalformed},
		{"Bearer left in front", "Bearer " + good, ReasonMalformed},

		// Header.
		{"header not JSON", f.token(f.ed, "x", f.goodClaims), ReasonMalformed},
		{"header a list", f.token(f.ed, "[]", f.goodClaims), ReasonMalformed},
		{"header null", f.token(f.ed, "null", f.goodClaims), ReasonMalformed},
		{"header not UTF-8", f.token(f.ed, "{\"kid\":\"\xff\"}", f.goodClaims), ReasonMalformed},
		{"header with a tail", f.token(f.ed, `{"alg":"EdDSA","kid":"ed"}{}`, f.goodClaims), ReasonMalformed},
		{"alg twice", f.token(f.ed, `{"alg":"none","alg":"EdDSA","kid":"ed"}`, f.goodClaims), ReasonMalformed},
		{"kid twice", f.token(f.ed, `{"alg":"EdDSA","kid":"es","kid":"ed"}`, f.goodClaims), ReasonMalformed},
		{"deeply nested header", f.token(f.ed, strings.Repeat("[", 4000), f.goodClaims), ReasonMalformed},
		{"typ of another thing", f.header("typ", "at+jwt"), ReasonHeader},
		{"typ a number", f.header("typ", 1), ReasonHeader},
		{"crit", f.header("crit", []string{"exp"}), ReasonHeader},
		{"b64", f.header("b64", false), ReasonHeader},
		{"zip", f.header("zip", "DEF"), ReasonHeader},
		{"enc", f.header("enc", "A256GCM"), ReasonHeader},
		{"jwk", f.header("jwk", map[string]any{"kty": "OKP"}), ReasonHeader},
		{"jku", f.header("jku", "https://evil.example/keys"), ReasonHeader},
		{"x5u", f.header("x5u", "https://evil.example/cert"), ReasonHeader},
		{"x5c", f.header("x5c", []string{"MII"}), ReasonHeader},

		// Key.
		{"no kid", f.header("kid", nil), ReasonHeader},
		{"kid empty", f.header("kid", ""), ReasonHeader},
		{"kid null", f.token(f.ed, `{"alg":"EdDSA","kid":null}`, f.goodClaims), ReasonHeader},
		{"kid a number", f.header("kid", 7), ReasonHeader},
		{"kid a list", f.header("kid", []string{"ed"}), ReasonHeader},
		{"kid a path", f.header("kid", "../../../../dev/null"), ReasonHeader},
		{"kid a URL", f.header("kid", "https://evil.example/key"), ReasonHeader},
		{"kid with NUL", f.header("kid", "ed\x00"), ReasonHeader},
		{"kid with newline", f.header("kid", "ed\n"), ReasonHeader},
		{"kid as SQL", f.header("kid", "' OR 1=1 --"), ReasonHeader},
		{"kid of 65", f.header("kid", strings.Repeat("k", 65)), ReasonHeader},
		{"kid very long", f.header("kid", strings.Repeat("k", 4000)), ReasonHeader},
		{"kid unknown", f.header("kid", "nobody"), ReasonUnknownKey},
		{"kid in capitals", f.header("kid", "ED"), ReasonUnknownKey},
		{"KID is not kid", f.token(f.ed, `{"alg":"EdDSA","KID":"ed"}`, f.goodClaims), ReasonHeader},
		{"stranger's key", f.token(f.stranger, with(f.goodHeader, "kid", "stranger"), f.goodClaims), ReasonUnknownKey},

		// Algorithm.
		{"alg none", none("none"), ReasonAlgorithm},
		{"alg None", none("None"), ReasonAlgorithm},
		{"alg NONE", none("NONE"), ReasonAlgorithm},
		{"alg empty", none(""), ReasonAlgorithm},
		{"alg missing", f.header("alg", nil), ReasonAlgorithm},
		{"alg null", f.token(f.ed, `{"alg":null,"kid":"ed"}`, f.goodClaims), ReasonAlgorithm},
		{"alg a list", f.header("alg", []string{"EdDSA"}), ReasonAlgorithm},
		{"alg in small letters", f.header("alg", "eddsa"), ReasonAlgorithm},
		{"alg with a space", f.header("alg", "EdDSA "), ReasonAlgorithm},
		{"alg Ed25519", f.header("alg", "Ed25519"), ReasonAlgorithm},
		{"alg of another key", f.header("alg", "ES256"), ReasonAlgorithm},
		{"alg RS256", f.header("alg", "RS256"), ReasonAlgorithm},
		{"HS256 with the public key", f.hmacToken(hs(), edPublic), ReasonAlgorithm},
		{"HS256 with the public file", f.hmacToken(hs(), f.publicKeyRaw), ReasonAlgorithm},
		{"HS256 with nothing", f.hmacToken(hs(), nil), ReasonAlgorithm},
		{"HS256 with the public key of ES256", f.hmacToken(hs("kid", "es"), edPublic), ReasonAlgorithm},
		{"EdDSA under the id of HS256", f.header("kid", "hs"), ReasonAlgorithm},
		{"HS256 with a guessed secret", f.hmacToken(hs("kid", "hs"), []byte("secret")), ReasonSignature},

		// Signature.
		{"stranger under our id", f.token(f.stranger, f.goodHeader, f.goodClaims), ReasonSignature},
		{"another of our keys under this id", f.token(f.scoped, f.goodHeader, f.goodClaims), ReasonSignature},
		{"signature changed", head + "." + body + "." + flip(sig, 10), ReasonSignature},
		{"signature cut", head + "." + body + "." + sig[:84], ReasonSignature},
		{"signature of zeros", head + "." + body + "." + b64(string(make([]byte, 64))), ReasonSignature},
		{"ES256 of zeros", b64(f.json(with(f.goodHeader, "alg", "ES256", "kid", "es"))) + "." + body + "." + b64(string(make([]byte, 64))), ReasonSignature},
		{"payload changed", head + "." + flip(body, 10) + "." + sig, ReasonSignature},
		{"payload of another token", head + "." + b64(f.json(with(f.goodClaims, "sub", "eve"))) + "." + sig, ReasonSignature},
		{"header changed", b64(f.json(with(f.goodHeader, "typ", nil))) + "." + body + "." + sig, ReasonSignature},

		// Claims.
		{"claims not JSON", f.token(f.ed, f.goodHeader, "x"), ReasonClaims},
		{"claims a list", f.token(f.ed, f.goodHeader, "[]"), ReasonClaims},
		{"claims cut", f.token(f.ed, f.goodHeader, `{"exp":1`), ReasonClaims},
		{"claims with a tail", f.token(f.ed, f.goodHeader, f.json(f.goodClaims)+"{}"), ReasonClaims},
		{"exp twice", f.token(f.ed, f.goodHeader, fmt.Sprintf(`{"exp":1,"exp":%d,"put":""}`, now+60)), ReasonClaims},
		{"put twice", f.token(f.ed, f.goodHeader, fmt.Sprintf(`{"exp":%d,"put":"a","put":""}`, now+60)), ReasonClaims},
		{"exp twice, escaped once", f.token(f.ed, f.goodHeader, fmt.Sprintf(`{"exp":1,"\u0065xp":%d}`, now+60)), ReasonClaims},
		{"no exp", f.claims("exp", nil), ReasonClaims},
		{"exp null", f.token(f.ed, f.goodHeader, `{"exp":null}`), ReasonClaims},
		{"exp text", f.claims("exp", fmt.Sprint(now+60)), ReasonClaims},
		{"exp negative", f.claims("exp", -1), ReasonClaims},
		{"exp beyond the calendar", f.claims("exp", 1e18), ReasonClaims},
		{"exp infinite", f.token(f.ed, f.goodHeader, `{"exp":1e999}`), ReasonClaims},
		{"EXP is not exp", f.claims("exp", nil, "EXP", now+60), ReasonClaims},
		{"nbf text", f.claims("nbf", "now"), ReasonClaims},
		{"iat a list", f.claims("iat", []int64{now}), ReasonClaims},
		{"put a number", f.claims("put", 1), ReasonClaims},
		{"put true", f.claims("put", true), ReasonClaims},
		{"put an object", f.claims("put", map[string]string{"a": "b"}), ReasonClaims},
		{"put null", f.token(f.ed, f.goodHeader, fmt.Sprintf(`{"exp":%d,"put":null}`, now+60)), ReasonClaims},
		{"put with null inside", f.claims("put", []any{nil}), ReasonClaims},
		{"put of 65", f.claims("put", make([]string, maxScopes+1)), ReasonClaims},
		{"root a list", f.claims("root", []string{"room"}), ReasonClaims},
		{"root with a slash in front", f.claims("root", "/room"), ReasonClaims},
		{"put climbs", f.claims("put", ".."), ReasonClaims},
		{"put climbs inside", f.claims("put", "a/../../b"), ReasonClaims},
		{"put with an empty part", f.claims("put", "a//b"), ReasonClaims},
		{"get with NUL", f.claims("get", "a\x00b"), ReasonClaims},
		{"get too deep", f.claims("get", strings.Repeat("a/", 40)+"a"), ReasonClaims},
		{"sub a number", f.claims("sub", 1), ReasonClaims},
		{"sub empty", f.claims("sub", ""), ReasonClaims},
		{"sub with a newline", f.claims("sub", "alice\nadmin"), ReasonClaims},
		{"sub too long", f.claims("sub", strings.Repeat("a", maxIdentityBytes+1)), ReasonClaims},
		{"jti an object", f.claims("jti", map[string]any{}), ReasonClaims},

		// Time.
		{"expired", f.claims("exp", now-60), ReasonExpired},
		{"expired just beyond leeway", f.claims("exp", now-10), ReasonExpired},
		{"expired in 1970", f.claims("exp", 0), ReasonExpired},
		{"not yet valid", f.claims("nbf", now+11), ReasonNotYetValid},
		{"issued in the future", f.claims("iat", now+3600), ReasonNotYetValid},

		// Issuer and audience.
		{"no iss", f.claims("iss", nil), ReasonIssuer},
		{"wrong iss", f.claims("iss", "https://issuer.evil.example"), ReasonIssuer},
		{"iss with a slash more", f.claims("iss", "https://issuer/"), ReasonIssuer},
		{"iss a list", f.claims("iss", []string{"https://issuer"}), ReasonClaims},
		{"no aud", f.claims("aud", nil), ReasonAudience},
		{"wrong aud", f.claims("aud", "other"), ReasonAudience},
		{"aud list without us", f.claims("aud", []string{"a", "b"}), ReasonAudience},
		{"aud in capitals", f.claims("aud", "TRELLIS"), ReasonAudience},
		{"aud too many", f.claims("aud", make([]string, maxAudiences+1)), ReasonClaims},

		// Scope of the key.
		{"outside the key's scope", f.token(f.scoped, with(f.goodHeader, "kid", "scoped"), f.goodClaims), ReasonKeyScope},
		{"above the key's scope", f.token(f.scoped, with(f.goodHeader, "kid", "scoped"), with(f.goodClaims, "root", "tenant", "put", "", "get", "")), ReasonKeyScope},
		{"beside the key's scope", f.token(f.scoped, with(f.goodHeader, "kid", "scoped"), with(f.goodClaims, "root", "tenant/ab")), ReasonKeyScope},
		{"one scope too many", f.token(f.scoped, with(f.goodHeader, "kid", "scoped"), with(f.goodClaims, "root", "tenant", "get", []string{"a", "b"}, "put", nil)), ReasonKeyScope},
	} {
		grant, err := f.v.Verify(tc.token, testNow)
		var denied *DeniedError
		if !errors.As(err, &denied) {
			t.Errorf("%s: accepted as %+v, or not a DeniedError: %v", tc.name, grant, err)
			continue
		}
		if denied.Reason != tc.want {
			t.Errorf("%s: refused for %s (%s), want %s", tc.name, denied.Reason, denied.Detail, tc.want)
		}
		if err.Error() != "access denied" || !errors.Is(err, ErrDenied) {
			t.Errorf("%s: the answer is %q, not the constant one", tc.name, err)
		}
		if len(denied.Detail) > 1024 {
			t.Errorf("%s: detail of %d bytes", tc.name, len(denied.Detail))
		}
		if grant.CanPublish("room/alice") || grant.CanSubscribe("room/alice") || grant.ID != "" {
			t.Errorf("%s: refused, but grants %+v", tc.name, grant)
		}
	}
}

func cut3(token string) (head, body, sig string) {
	head, rest, _ := strings.Cut(token, ".")
	body, sig, _ = strings.Cut(rest, ".")
	return head, body, sig
}

func TestAbsentMeansDeny(t *testing.T) {
	f := newForge(t)
	for name, pairs := range map[string][]any{
		"neither":     {"put", nil, "get", nil},
		"empty lists": {"put", []string{}, "get", []string{}},
		"Put and GET": {"put", nil, "get", nil, "Put", "", "GET", ""},
	} {
		g, err := f.v.Verify(f.claims(pairs...), testNow)
		if err != nil {
			t.Errorf("%s: %s", name, Explain(err))
		}
		if g.CanPublish("room/alice") || g.CanSubscribe("room/alice") || g.CanBrowse("room") {
			t.Errorf("%s: grants %+v", name, g)
		}
	}
}

func TestIdentityWithoutSubject(t *testing.T) {
	f := newForge(t)
	one, err := f.v.Verify(f.claims("sub", nil, "jti", nil), testNow)
	if err != nil {
		t.Fatal(Explain(err))
	}
	two, err := f.v.Verify(f.claims("sub", nil, "jti", nil, "put", "bob"), testNow)
	if err != nil {
		t.Fatal(Explain(err))
	}
	if one.ID == "" || one.ID == two.ID {
		t.Errorf("two tokens without a subject have identities %q and %q", one.ID, two.ID)
	}
	jti, err := f.v.Verify(f.claims("sub", nil), testNow)
	if err != nil || jti.ID != "jti:1" {
		t.Errorf("identity %q, %v", jti.ID, err)
	}
}

func TestNewVerifierRefuses(t *testing.T) {
	f := newForge(t)
	if _, err := NewVerifier(Config{}); err == nil {
		t.Error("no key set: accepted")
	}
	if _, err := NewVerifier(Config{Keys: f.ed.KeySet(), Leeway: time.Minute}); err == nil {
		t.Error("a minute of leeway: accepted")
	}
	v, err := NewVerifier(Config{Keys: f.ed.KeySet(), Leeway: -1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(f.claims("exp", testNow.Unix()), testNow); err == nil {
		t.Error("no leeway: a token that just ended was accepted")
	}
}

func TestRotation(t *testing.T) {
	f := newForge(t)
	v, err := NewVerifier(Config{Keys: f.ed.KeySet()})
	if err != nil {
		t.Fatal(err)
	}
	v.SetKeys(f.stranger.KeySet())
	if _, err := v.Verify(f.header(), testNow); err == nil {
		t.Error("a token of the removed key was accepted")
	}
	if _, err := v.Verify(f.token(f.stranger, with(f.goodHeader, "kid", "stranger"), f.goodClaims), testNow); err != nil {
		t.Errorf("a token of the new key: %s", Explain(err))
	}
}
