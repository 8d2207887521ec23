package config

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"trellis/internal/auth"
	"trellis/internal/ca"
)

// TestExamples loads every file of examples/, with the files that it names
// beside it as its comments say they are made.
func TestExamples(t *testing.T) {
	paths, err := filepath.Glob("../../examples/*.yaml")
	if err != nil || len(paths) < 3 {
		t.Fatalf("%d examples, %v", len(paths), err)
	}
	dir := t.TempDir()
	authority, err := ca.NewAuthority("example", testNow)
	if err != nil {
		t.Fatal(err)
	}
	if err := authority.Save(dir); err != nil {
		t.Fatal(err)
	}
	for node, region := range map[string]string{"us-east-1": "us-east", "eu-west-2": "eu-west"} {
		c, err := authority.Issue(region, node, time.Hour, testNow)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Save(filepath.Join(dir, node+".crt"), filepath.Join(dir, node+".key")); err != nil {
			t.Fatal(err)
		}
	}
	writeWeb(t, dir)
	key, err := auth.GenerateKey("2026-1", auth.EdDSA, "")
	if err != nil {
		t.Fatal(err)
	}
	public, err := auth.PublicSet(key)
	if err != nil {
		t.Fatal(err)
	}
	peers := []byte("peers:\n  - {id: us-east-1, region: us-east, addr: \"us-east.example.com:4443\"}\n")
	for name, data := range map[string][]byte{"keys.jwks": public, "peers.yaml": peers} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		l, err := load(t, dir, string(data))
		if err != nil {
			t.Errorf("%s:\n%v", filepath.Base(path), err)
			continue
		}
		if len(l.Warnings) > 0 {
			t.Errorf("%s: %v", filepath.Base(path), l.Warnings)
		}
	}
}
