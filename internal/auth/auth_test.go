package auth

import (
	"encoding/json"
	"maps"
	"testing"
	"time"

	"trellis/wire"
)

var testNow = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// forge is a test's workshop for tokens, good and bad.
type forge struct {
	t            *testing.T
	ed, es, hs   PrivateKey
	scoped       PrivateKey
	stranger     PrivateKey
	v            *Verifier
	goodHeader   map[string]any
	goodClaims   map[string]any
	publicKeyRaw []byte
}

func newForge(t *testing.T) *forge {
	t.Helper()
	f := &forge{t: t}
	gen := func(id string, alg Algorithm, scope wire.Prefix) PrivateKey {
		p, err := GenerateKey(id, alg, scope)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	f.ed, f.es, f.hs = gen("ed", EdDSA, ""), gen("es", ES256, ""), gen("hs", HS256, "")
	f.scoped, f.stranger = gen("scoped", EdDSA, "tenant/a"), gen("stranger", EdDSA, "")
	set := &KeySet{keys: map[string]key{}}
	for _, p := range []PrivateKey{f.ed, f.es, f.hs, f.scoped} {
		maps.Copy(set.keys, p.KeySet().keys)
	}
	var err error
	f.v, err = NewVerifier(Config{Keys: set, Issuer: "https://issuer", Audience: "trellis"})
	if err != nil {
		t.Fatal(err)
	}
	f.goodHeader = map[string]any{"alg": "EdDSA", "kid": "ed", "typ": "JWT"}
	f.goodClaims = map[string]any{
		"iss": "https://issuer", "aud": "trellis", "sub": "alice", "jti": "1", "root": "room",
		"put": "alice", "get": []string{"", "x"}, "exp": testNow.Unix() + 60, "iat": testNow.Unix(),
	}
	if f.publicKeyRaw, err = PublicSet(f.ed); err != nil {
		t.Fatal(err)
	}
	return f
}

// with returns base changed by pairs of name and value; a nil value deletes.
func with(base map[string]any, pairs ...any) map[string]any {
	m := maps.Clone(base)
	for i := 0; i < len(pairs); i += 2 {
		name, _ := pairs[i].(string)
		if pairs[i+1] == nil {
			delete(m, name)
		} else {
			m[name] = pairs[i+1]
		}
	}
	return m
}

func (f *forge) json(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	b, err := json.Marshal(v)
	if err != nil {
		f.t.Fatal(err)
	}
	return string(b)
}

// token signs header and claims (maps, or raw JSON text) with p.
func (f *forge) token(p PrivateKey, header, claims any) string {
	signed := b64(f.json(header)) + "." + b64(f.json(claims))
	sig, err := p.k.algorithm.method().Sign(signed, p.k.sign)
	if err != nil {
		f.t.Fatal(err)
	}
	return signed + "." + b64(string(sig))
}

func (f *forge) header(pairs ...any) string {
	return f.token(f.ed, with(f.goodHeader, pairs...), f.goodClaims)
}

func (f *forge) claims(pairs ...any) string {
	return f.token(f.ed, f.goodHeader, with(f.goodClaims, pairs...))
}

func b64(s string) string { return strictBase64.EncodeToString([]byte(s)) }

func TestVerifyAccepts(t *testing.T) {
	f := newForge(t)
	for name, token := range map[string]string{
		"EdDSA":            f.header(),
		"ES256":            f.token(f.es, with(f.goodHeader, "alg", "ES256", "kid", "es"), f.goodClaims),
		"HS256":            f.token(f.hs, with(f.goodHeader, "alg", "HS256", "kid", "hs"), f.goodClaims),
		"no typ":           f.header("typ", nil),
		"small typ":        f.header("typ", "jwt"),
		"aud list":         f.claims("aud", []string{"other", "trellis"}),
		"unknown claim":    f.claims("name", "Alice"),
		"fraction":         f.claims("exp", float64(testNow.Unix())+0.5),
		"within leeway":    f.claims("exp", testNow.Unix()-9),
		"nbf in leeway":    f.claims("nbf", testNow.Unix()+9),
		"list of put":      f.claims("put", []string{"alice"}),
		"case is content":  f.claims("EXP", 1),
		"key within scope": f.token(f.scoped, with(f.goodHeader, "kid", "scoped"), with(f.goodClaims, "root", "tenant/a/room")),
	} {
		got, err := f.v.Verify(token, testNow)
		if err != nil {
			t.Errorf("%s: %s", name, Explain(err))
			continue
		}
		if got.ID != "alice" || got.TokenID != "1" || len(got.Publish) != 1 || len(got.Subscribe) < 1 {
			t.Errorf("%s: grant %+v", name, got)
		}
	}
}
