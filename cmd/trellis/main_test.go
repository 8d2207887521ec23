package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// shell runs command lines in a directory of its own.
type shell struct {
	t   *testing.T
	dir string
}

func newShell(t *testing.T) *shell {
	t.Helper()
	dir := t.TempDir()
	t.Chdir(dir)
	return &shell{t, dir}
}

// run runs one command line with stdin and wants the exit code.
func (s *shell) run(code int, stdin string, args ...string) (stdout, stderr string) {
	s.t.Helper()
	var out, errOut bytes.Buffer
	a := &app{stdin: strings.NewReader(stdin), stdout: &out, stderr: &errOut}
	if got := a.run(s.t.Context(), args); got != code {
		s.t.Errorf("trellis %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), got, code, out.String(), errOut.String())
	}
	return out.String(), errOut.String()
}

func TestTokenCommands(t *testing.T) {
	s := newShell(t)
	for _, alg := range []string{"EdDSA", "ES256"} {
		s.run(exitOK, "", "token", "key", "--id", "k", "--alg", alg, "--key", alg+".jwk", "--keys", alg+".jwks", "--root", "room")
		token, _ := s.run(exitOK, "", "token", "create", "--key", alg+".jwk", "--root", "room", "--publish", "alice", "--subscribe", "", "--subject", "alice")
		verify := func(code int, more ...string) (string, string) {
			return s.run(code, token, append([]string{"token", "verify", "--keys", alg + ".jwks"}, more...)...)
		}
		if out, _ := verify(exitOK); !strings.Contains(out, "token of alice") {
			t.Errorf("verify says %s", out)
		}
		out, _ := verify(exitOK, "--json", "--publish", "room/alice", "--subscribe", "room/bob")
		var v verdict
		if err := json.Unmarshal([]byte(out), &v); err != nil || v.ID != "alice" || len(v.Publish) != 1 || v.Publish[0] != "room/alice" || v.Expires.Before(time.Now()) {
			t.Errorf("verify --json says %s, %v", out, err)
		}
		if _, why := verify(exitFailed, "--publish", "room/bob"); !strings.Contains(why, "may not publish room/bob") {
			t.Errorf("verify --publish room/bob says %s", why)
		}
		if _, why := verify(exitFailed, "--audience", "other"); !strings.Contains(why, "audience") {
			t.Errorf("verify --audience says %s", why)
		}
		verify(exitUsage, "--publish", "../x")
		s.run(exitFailed, "", "token", "key", "--id", "k", "--key", "new.jwk", "--keys", alg+".jwks")
		if _, err := os.Stat("new.jwk"); err == nil {
			t.Error("half a pair was left behind")
		}
		s.run(exitFailed, "", "token", "create", "--key", alg+".jwk", "--root", "hall", "--publish", "x")
	}
	if err := os.Chmod("EdDSA.jwk", 0o644); err != nil {
		t.Fatal(err)
	}
	if _, why := s.run(exitFailed, "", "token", "create", "--key", "EdDSA.jwk", "--publish", "room"); !strings.Contains(why, "chmod 600") {
		t.Errorf("a key that all can read: %s", why)
	}
}

func TestCACommands(t *testing.T) {
	s := newShell(t)
	s.run(exitOK, "", "ca", "init", "--cluster", "prod")
	s.run(exitFailed, "", "ca", "init", "--cluster", "prod")
	s.run(exitOK, "", "ca", "issue", "--region", "us-east", "--node", "us-east-1")
	s.run(exitFailed, "", "ca", "issue", "--region", "us-east", "--node", "us-east-1")
	for file, mode := range map[string]os.FileMode{"ca/ca.key": 0o600, "us-east-1.key": 0o600, "us-east-1.crt": 0o644, "ca/ca.crt": 0o644} {
		info, err := os.Stat(filepath.FromSlash(file))
		if err != nil || info.Mode().Perm()&^mode != 0 {
			t.Errorf("%s: %v, %v", file, info.Mode(), err)
		}
	}
	s.run(exitUsage, "", "ca", "issue", "--region", "us-east")
	s.run(exitUsage, "", "ca", "issue", "--region", "us-east", "--node", "../x")
	s.run(exitUsage, "", "ca", "issue", "--region", "us-east", "--node", "x", "--for", "-1h")
}

func TestValidateCommand(t *testing.T) {
	s := newShell(t)
	for name, text := range map[string]string{"good.yaml": "node: {id: a, region: r}\n", "bad.yaml": "node: {id: a, regoin: r}\nlog: {level: loud}\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.run(exitOK, "", "validate", "good.yaml")
	_, why := s.run(exitUsage, "", "validate", "bad.yaml")
	for _, want := range []string{`bad.yaml:1: node.regoin: unknown key; did you mean "region"?`, "bad.yaml:1: node.region: is missing", `bad.yaml:2: log.level: "loud" is not known`} {
		if !strings.Contains(why, want) {
			t.Errorf("validate says\n%swithout %s", why, want)
		}
	}
	s.run(exitUsage, "", "validate", "none.yaml")
	s.run(exitUsage, "", "validate")
	out, _ := s.run(exitOK, "", "config", "show", "--config", "good.yaml", "--log-level", "debug", "--web-plain-http")
	if !strings.Contains(out, "level: debug") || !strings.Contains(out, "plain_http: true") {
		t.Errorf("config show says\n%s", out)
	}
	s.run(exitOK, "", "config", "reference")
}

func TestUsage(t *testing.T) {
	s := newShell(t)
	for _, args := range [][]string{{"bogus"}, {"version", "x"}, {"version", "--bogus"}, {"token", "verify", "x"}, {"token", "create"}, {"ca", "init", "--cluster", "No!"}} {
		if _, why := s.run(exitUsage, "", args...); strings.Count(why, "\n") != 1 || !strings.HasPrefix(why, "trellis: ") {
			t.Errorf("trellis %s says %q, want one line", strings.Join(args, " "), why)
		}
	}
	for _, args := range [][]string{{}, {"token"}, {"ca"}, {"config"}, {"version"}, {"version", "--json"}, {"help", "token", "create"}} {
		s.run(exitOK, "", args...)
	}
}
