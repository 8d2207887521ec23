package livekit

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// TestVersion: what is built is what is looked for.
func TestVersion(t *testing.T) {
	mod, err := os.ReadFile("../../tools/livekit/go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if want := "github.com/livekit/livekit-server v" + Version + "\n"; !strings.Contains(string(mod), want) {
		t.Errorf("tools/livekit/go.mod lacks %q", want)
	}
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	if _, err := Find(dir); !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "make livekit-server") {
		t.Errorf("in an empty directory: %v", err)
	}
	for _, name := range []string{"livekit-server", "livekit-client.js"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if in, err := Find(dir); err != nil || filepath.Dir(in.Server) != dir {
		t.Errorf("%+v, %v", in, err)
	}
}

// TestToken: a viewer may watch, hidden, and nothing else.
func TestToken(t *testing.T) {
	now := time.Now()
	signed, err := Grant{Identity: "v1", Room: "r"}.Token(now)
	if err != nil {
		t.Fatal(err)
	}
	claims := jwt.MapClaims{}
	if _, err := jwt.ParseWithClaims(signed, claims, func(*jwt.Token) (any, error) { return []byte(apiSecret), nil }, jwt.WithValidMethods([]string{"HS256"})); err != nil {
		t.Fatal(err)
	}
	video, ok := claims["video"].(map[string]any)
	if !ok || claims["sub"] != "v1" || claims["iss"] != apiKey || video["room"] != "r" || video["hidden"] != true || video["canPublish"] != false || video["canSubscribe"] != true {
		t.Errorf("claims %v", claims)
	}
}
