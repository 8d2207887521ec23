package auth

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"trellis/internal/keyfile"
	"trellis/wire"
)

const accessSecret = "a-secret-of-at-least-32-characters"

func mustAccessKeys(t *testing.T, text string) *AccessKeys {
	t.Helper()
	keys, err := ParseAccessKeys([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestParseAccessKeys(t *testing.T) {
	keys := mustAccessKeys(t, "# of the shop\nAPIb: "+accessSecret+"\n\n  APIa:  "+accessSecret+"  shop/live \n")
	if got := keys.IDs(); !slices.Equal(got, []string{"APIa", "APIb"}) {
		t.Errorf("keys %v", got)
	}
	for name, text := range map[string]string{
		"nothing": "# only this\n", "no secret": "APIa:\n", "no colon": "APIa " + accessSecret, "a short secret": "APIa: short",
		"more words": "APIa: " + accessSecret + " shop live", "twice": "APIa: " + accessSecret + "\nAPIa: " + accessSecret,
		"a key that is none": "API a: " + accessSecret, "a prefix that is none": "APIa: " + accessSecret + " shop//live",
		"a long line": "APIa: " + strings.Repeat("x", 1<<17),
	} {
		_, err := ParseAccessKeys([]byte(text))
		if err == nil {
			t.Errorf("%s: taken", name)
		} else if strings.Contains(err.Error(), accessSecret) {
			t.Errorf("%s: the error shows the secret: %v", name, err)
		}
	}
}

func TestLoadAccessKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(path, []byte("APIa: "+accessSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadAccessKeys(path); err != nil {
		t.Error(err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	var exposed *keyfile.ExposedError
	if _, err := LoadAccessKeys(path); !errors.As(err, &exposed) {
		t.Errorf("a file that all may read: %v", err)
	}
}

// signAccess signs as LiveKit's server SDKs do.
func signAccess(t *testing.T, method jwt.SigningMethod, secret any, claims jwt.MapClaims) string {
	t.Helper()
	s, err := jwt.NewWithClaims(method, claims).SignedString(secret)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestVerifyAccess(t *testing.T) {
	now := time.Unix(1_795_348_155, 0)
	v := NewAccessVerifier(mustAccessKeys(t, "APIa: "+accessSecret+"\nAPIb: "+accessSecret+" shop"))
	claims := func(change func(c, video jwt.MapClaims)) jwt.MapClaims {
		video := jwt.MapClaims{"roomJoin": true, "room": "demo/stage", "canPublishSources": []string{"camera"}}
		c := jwt.MapClaims{"iss": "APIa", "sub": "viewer", "name": "Vi", "metadata": "m", "exp": now.Add(time.Hour).Unix(), "nbf": 0, "video": video, "kind": "standard"}
		if change != nil {
			change(c, video)
		}
		return c
	}
	a, err := v.VerifyAccess(signAccess(t, jwt.SigningMethodHS256, []byte(accessSecret), claims(nil)), now)
	if err != nil {
		t.Fatal(Explain(err))
	}
	if a.ID != "APIa:viewer" || a.Identity != "viewer" || a.Room != "demo/stage" || a.Name != "Vi" || a.Metadata != "m" || a.Hidden ||
		!slices.Equal(a.Subscribe, []wire.Prefix{"demo/stage"}) || len(a.Publish) != 0 || !a.Expires.Equal(now.Add(time.Hour)) {
		t.Errorf("granted %+v", a)
	}
	for name, c := range map[string]struct {
		change func(c, video jwt.MapClaims)
		want   Reason
	}{
		"just expired":        {func(c, _ jwt.MapClaims) { c["exp"] = now.Add(-59 * time.Second).Unix() }, ""},
		"expired":             {func(c, _ jwt.MapClaims) { c["exp"] = now.Add(-60 * time.Second).Unix() }, ReasonExpired},
		"not yet":             {func(c, _ jwt.MapClaims) { c["nbf"] = now.Add(2 * time.Minute).Unix() }, ReasonNotYetValid},
		"endless":             {func(c, _ jwt.MapClaims) { delete(c, "exp") }, ReasonClaims},
		"identity in jti":     {func(c, _ jwt.MapClaims) { delete(c, "sub"); c["jti"] = "viewer" }, ""},
		"nobody":              {func(c, _ jwt.MapClaims) { delete(c, "sub") }, ReasonClaims},
		"no grant":            {func(c, _ jwt.MapClaims) { delete(c, "video") }, ReasonClaims},
		"may not join":        {func(_, v jwt.MapClaims) { delete(v, "roomJoin") }, ReasonClaims},
		"a word for a flag":   {func(_, v jwt.MapClaims) { v["roomJoin"] = "true" }, ReasonClaims},
		"no room":             {func(_, v jwt.MapClaims) { delete(v, "room") }, ReasonClaims},
		"room of dots":        {func(_, v jwt.MapClaims) { v["room"] = "../x" }, ReasonClaims},
		"an unknown key":      {func(c, _ jwt.MapClaims) { c["iss"] = "APIx" }, ReasonUnknownKey},
		"a key that is none":  {func(c, _ jwt.MapClaims) { c["iss"] = "a b" }, ReasonIssuer},
		"outside the prefix":  {func(c, _ jwt.MapClaims) { c["iss"] = "APIb" }, ReasonKeyScope},
		"within the prefix":   {func(c, v jwt.MapClaims) { c["iss"], v["room"] = "APIb", "shop/1" }, ""},
		"a neighbour of that": {func(c, v jwt.MapClaims) { c["iss"], v["room"] = "APIb", "shopping" }, ReasonKeyScope},
	} {
		_, err := v.VerifyAccess(signAccess(t, jwt.SigningMethodHS256, []byte(accessSecret), claims(c.change)), now)
		if got := reasonOf(err); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	if a, err = v.VerifyAccess(signAccess(t, jwt.SigningMethodHS256, []byte(accessSecret), claims(func(_, v jwt.MapClaims) { v["canSubscribe"] = false })), now); err != nil || len(a.Subscribe) != 0 {
		t.Errorf("who may not subscribe: %+v, %v", a, err)
	}
	for name, c := range map[string]struct {
		token string
		want  Reason
	}{
		"none":           {"", ReasonMissing},
		"large":          {strings.Repeat("x", maxTokenBytes+1), ReasonTooLarge},
		"two parts":      {"a.b", ReasonMalformed},
		"garbage":        {"!.!.!", ReasonMalformed},
		"unsigned":       {signAccess(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, claims(nil)), ReasonAlgorithm},
		"another method": {signAccess(t, jwt.SigningMethodHS512, []byte(accessSecret), claims(nil)), ReasonAlgorithm},
		"another secret": {signAccess(t, jwt.SigningMethodHS256, []byte(accessSecret+"x"), claims(nil)), ReasonSignature},
	} {
		_, err := v.VerifyAccess(c.token, now)
		if got := reasonOf(err); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	v.SetKeys(mustAccessKeys(t, "APIc: "+accessSecret))
	if _, err := v.VerifyAccess(signAccess(t, jwt.SigningMethodHS256, []byte(accessSecret), claims(nil)), now); reasonOf(err) != ReasonUnknownKey {
		t.Errorf("a key that was taken away: %v", err)
	}
}

func reasonOf(err error) Reason {
	if e, ok := errors.AsType[*DeniedError](err); ok {
		return e.Reason
	}
	if err != nil {
		return Reason(err.Error())
	}
	return ""
}

func FuzzVerifyAccess(f *testing.F) {
	keys, err := ParseAccessKeys([]byte("APIa: " + accessSecret))
	if err != nil {
		f.Fatal(err)
	}
	v := NewAccessVerifier(keys)
	f.Add("eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJBUElhIn0.AAAA")
	f.Add("..")
	f.Fuzz(func(t *testing.T, token string) {
		if a, err := v.VerifyAccess(token, time.Now()); err == nil {
			t.Errorf("%q was taken: %+v", token, a)
		}
	})
}
