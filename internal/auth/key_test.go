package auth

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestMintAndVerify(t *testing.T) {
	for _, alg := range []Algorithm{EdDSA, ES256, HS256} {
		path := filepath.Join(t.TempDir(), "key.jwk")
		made, err := GenerateKey("k-1", alg, "room")
		if err != nil {
			t.Fatal(err)
		}
		if err := made.Save(path); err != nil {
			t.Fatal(err)
		}
		if err := made.Save(path); err == nil {
			t.Errorf("%s: an existing key file was overwritten", alg)
		}
		p, err := LoadPrivateKey(path)
		if err != nil {
			t.Fatal(err)
		}
		set := p.KeySet()
		if alg != HS256 {
			public, err := PublicSet(p)
			if err != nil {
				t.Fatal(err)
			}
			if set, err = ParseKeySet(public, KeySetOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		v, err := NewVerifier(Config{Keys: set})
		if err != nil {
			t.Fatal(err)
		}
		token, err := p.Mint(Claims{Root: "room", Publish: []string{"alice"}, Subscribe: []string{""}, Subject: "alice", Expires: testNow.Add(time.Hour)}, testNow)
		if err != nil {
			t.Fatal(err)
		}
		g, err := v.Verify(token.Reveal(), testNow)
		if err != nil {
			t.Fatalf("%s: %s", alg, Explain(err))
		}
		if !g.CanPublish("room/alice") || g.CanPublish("room/bob") || !g.CanSubscribe("room/bob") || g.CanSubscribe("roomy") {
			t.Errorf("%s: grant %+v", alg, g)
		}
		if want := testNow.Add(time.Hour); !g.Expires.Equal(want) || g.TokenID == "" {
			t.Errorf("%s: expires %v, want %v; id %q", alg, g.Expires, want, g.TokenID)
		}
	}
}

func TestMintRefuses(t *testing.T) {
	p, err := GenerateKey("k", EdDSA, "room")
	if err != nil {
		t.Fatal(err)
	}
	later := testNow.Add(time.Hour)
	for name, c := range map[string]Claims{
		"no end":            {Root: "room"},
		"ended":             {Root: "room", Expires: testNow},
		"outside the scope": {Root: "hall", Publish: []string{""}, Expires: later},
		"bad path":          {Root: "room", Publish: []string{"../x"}, Expires: later},
		"too many":          {Root: "room", Publish: make([]string, maxScopes+1), Expires: later},
		"control character": {Root: "room", Subject: "a\nb", Expires: later},
	} {
		if token, err := p.Mint(c, testNow); err == nil {
			t.Errorf("%s: minted %s", name, token.Reveal())
		}
	}
}

func TestParseKeySetRefuses(t *testing.T) {
	gen := func(alg Algorithm) (private, public string) {
		p, err := GenerateKey("k", alg, "")
		if err != nil {
			t.Fatal(err)
		}
		data, err := p.k.encode(true)
		if err != nil {
			t.Fatal(err)
		}
		if alg == HS256 {
			return string(data), ""
		}
		pub, err := p.k.encode(false)
		if err != nil {
			t.Fatal(err)
		}
		return string(data), string(pub)
	}
	edPrivate, ed := gen(EdDSA)
	_, es := gen(ES256)
	hs, _ := gen(HS256)
	set := func(keys ...string) string { return `{"keys":[` + strings.Join(keys, ",") + `]}` }
	change := func(from, to string) string {
		s := strings.Replace(ed, from, to, 1)
		if s == ed {
			t.Fatalf("no %q in %s", from, ed)
		}
		return s
	}
	for name, data := range map[string]string{
		"empty":              "",
		"not JSON":           "kid: k",
		"no keys":            set(),
		"keys not a list":    `{"keys":{}}`,
		"private part":       set(edPrivate),
		"shared, not asked":  set(hs),
		"same id twice":      set(ed, es),
		"too many":           set(strings.Split(strings.Repeat(ed+"\n", maxKeys+1), "\n")[:maxKeys+1]...),
		"no kid":             change(`"kid":"k",`, ""),
		"kid a path":         change(`"kid":"k"`, `"kid":"../k"`),
		"kid twice":          change(`"kid":"k"`, `"kid":"k","kid":"l"`),
		"alg contradicts":    change(`"alg":"EdDSA"`, `"alg":"HS256"`),
		"alg none":           change(`"alg":"EdDSA"`, `"alg":"none"`),
		"for encryption":     change(`"use":"sig"`, `"use":"enc"`),
		"RSA":                change(`"kty":"OKP"`, `"kty":"RSA"`),
		"another curve":      change(`"crv":"Ed25519"`, `"crv":"X25519"`),
		"short":              change(`"x":"`, `"x":"AAAA","y":"`),
		"root climbs":        change(`"kid":"k"`, `"kid":"k","root":".."`),
		"point off curve":    strings.Replace(es, `"x":"`, `"x":"`+b64(strings.Repeat("\x01", 32))+`","z":"`, 1),
		"halves do not meet": strings.Replace(edPrivate, `"x":"`, `"x":"`+b64(strings.Repeat("\x01", 32))+`","z":"`, 1),
	} {
		if _, err := ParseKeySet([]byte(data), KeySetOptions{}); err == nil {
			t.Errorf("%s: accepted %s", name, data)
		}
	}
	for name, data := range map[string]string{"one": ed, "set": set(ed), "ES256": es, "unknown member": change(`"kid":"k"`, `"kid":"k","note":1`)} {
		if _, err := ParseKeySet([]byte(data), KeySetOptions{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ParseKeySet([]byte(hs), KeySetOptions{AllowShared: true}); err != nil {
		t.Errorf("shared, asked for: %v", err)
	}
	if _, err := ParseKeySet([]byte(`{"kty":"oct","kid":"k","k":"c2VjcmV0"}`), KeySetOptions{AllowShared: true}); err == nil {
		t.Error("a shared secret of 6 bytes was accepted")
	}
}

func TestSecretFileMode(t *testing.T) {
	p, err := GenerateKey("k", HS256, "")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key.jwk")
	if err := p.Save(path); err != nil {
		t.Fatal(err)
	}
	for mode, ok := range map[os.FileMode]bool{0o600: true, 0o400: true, 0o640: false, 0o604: false, 0o620: false} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadPrivateKey(path); (err == nil) != ok {
			t.Errorf("mode %04o: %v", mode, err)
		}
		if _, err := LoadKeySet(path, KeySetOptions{AllowShared: true}); (err == nil) != ok {
			t.Errorf("mode %04o: %v", mode, err)
		}
	}
}

// TestSecretsDoNotShow prints secrets in every way that a log might.
func TestSecretsDoNotShow(t *testing.T) {
	p, err := GenerateKey("k", HS256, "")
	if err != nil {
		t.Fatal(err)
	}
	const word = "hunter2hunter2"
	p.k.sign, p.k.verify = []byte(word), []byte(word)
	type holder struct {
		Token Secret
		Key   PrivateKey
	}
	h := holder{Secret(word), p}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+verb+verb+"\n", h, h.Token, &h.Key)
	}
	data, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(data)
	log := slog.New(slog.NewTextHandler(&out, nil))
	log.Info("secret", slog.Any("token", h.Token), slog.Any("holder", h))
	for _, hidden := range []string{word, fmt.Sprintf("%x", word), fmt.Sprintf("%d", []byte(word)), b64(word)} {
		if strings.Contains(out.String(), hidden) {
			t.Errorf("%q shows in %s", hidden, out.String())
		}
	}
}

func TestDeniedErrorLogs(t *testing.T) {
	var out strings.Builder
	slog.New(slog.NewTextHandler(&out, nil)).Info("refused", slog.Any("cause", deny(ReasonExpired, "yesterday")))
	if got := out.String(); !strings.Contains(got, "cause.reason=expired") || !strings.Contains(got, "cause.detail=yesterday") {
		t.Errorf("the log says %s", got)
	}
}
