package auth

import (
	"testing"
	"time"
)

// FuzzVerify feeds anything as a token: it may only be refused, or be a token
// that our own key signed.
func FuzzVerify(f *testing.F) {
	p, err := ParsePrivateKey([]byte(fuzzKey))
	if err != nil {
		f.Fatal(err)
	}
	v, err := NewVerifier(Config{Keys: p.KeySet()})
	if err != nil {
		f.Fatal(err)
	}
	good, err := p.Mint(Claims{Root: "room", Publish: []string{"a"}, ID: "1", Expires: testNow.Add(time.Hour)}, testNow)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{good.Reveal(), "", "..", "e30.e30.", good.Reveal()[:60]} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		g, err := v.Verify(token, testNow)
		if err == nil && (token != good.Reveal() || !g.CanPublish("room/a")) {
			t.Errorf("accepted %q as %+v", token, g)
		}
	})
}

// FuzzClaims feeds anything as the payload of a token whose signature holds:
// what parses must encode, and parse again to the same claims.
func FuzzClaims(f *testing.F) {
	for _, seed := range []string{
		`{"exp":1795348800}`,
		`{"root":"room","put":"a","get":["b",""],"exp":1795348800.5,"iat":1,"nbf":2,"sub":"s","jti":"j","iss":"i","aud":["x"]}`,
		`{"exp":1,"exp":2}`, `[]`, `{"put":{}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := parseClaims(data)
		if err != nil {
			return
		}
		out, err := c.encode()
		if err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		again, err := parseClaims(out)
		if err != nil {
			// Fractions are dropped: an "exp" below one second vanishes with them.
			t.Fatalf("%s encodes to %s: %v", data, out, err)
		}
		if again.Root != c.Root || again.Subject != c.Subject || len(again.Publish) != len(c.Publish) || len(again.Subscribe) != len(c.Subscribe) || again.Expires.Unix() != c.Expires.Unix() {
			t.Errorf("%+v, again %+v", c, again)
		}
	})
}

// FuzzKeySet feeds anything as a key file.
func FuzzKeySet(f *testing.F) {
	for _, seed := range []string{fuzzKey, `{"keys":[` + fuzzKey + `]}`, `{"keys":[]}`, `{}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := ParseKeySet(data, KeySetOptions{AllowShared: true})
		if err == nil && len(set.IDs()) == 0 {
			t.Errorf("%q is a set without keys", data)
		}
	})
}

// fuzzKey is fixed, so that a finding can be replayed. It guards nothing.
const fuzzKey = `{"kty":"OKP","crv":"Ed25519","kid":"fuzz","alg":"EdDSA","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}`
