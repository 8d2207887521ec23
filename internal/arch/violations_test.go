package arch

import (
	"go/parser"
	"go/token"
	"strings"
	"testing"
)

// TestViolations shows each check failing: a rule that was never seen to fail is not yet a rule.
func TestViolations(t *testing.T) {
	const rulesText = `
(tests)
    + github.com/google/go-cmp
wire
    pure
    = github.com/quic-go/quic-go/quicvarint
internal/relay
    starts no goroutines
    wire
backbone
    internal/relay
    + github.com/quic-go/quic-go
`
	rules, err := parseRules(rulesText)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, file, source string
		want               string // part of the complaint; empty where the file is fine
	}{
		{"exact dependency", "wire/a.go", `import _ "github.com/quic-go/quic-go/quicvarint"`, ""},
		{"exact means exact", "wire/a.go", `import _ "github.com/quic-go/quic-go"`, "wire may not import github.com/quic-go/quic-go"},
		{"prefix", "backbone/a.go", `import _ "github.com/quic-go/quic-go/logging"`, ""},
		{"prefix ends at a slash", "backbone/a.go", `import _ "github.com/quic-go/quic-gone"`, "may not import github.com/quic-go/quic-gone"},
		{"arrow upwards", "wire/a.go", `import _ "trellis/internal/relay"`, "wire may not import internal/relay"},
		{"arrow sideways", "backbone/a.go", `import _ "trellis/edge/moq"`, "backbone may not import edge/moq"},
		{"arrow in a test", "backbone/a_test.go", `import _ "trellis/edge/moq"`, "backbone may not import edge/moq"},
		{"test of itself", "backbone/a_test.go", `import _ "trellis/backbone"`, ""},
		{"test helper", "wire/a_test.go", `import _ "github.com/google/go-cmp/cmp"`, ""},
		{"test helper elsewhere", "wire/a.go", `import _ "github.com/google/go-cmp/cmp"`, "may not import github.com/google/go-cmp/cmp"},
		{"pure: network", "wire/a.go", `import _ "net"`, "pure and may not import net"},
		{"pure: logging", "wire/a.go", `import _ "log/slog"`, "pure and may not import log/slog"},
		{"pure: clock", "wire/a.go", `import "time"; var _ = time.Now()`, "given the time"},
		{"pure: durations are fine", "wire/a.go", `import "time"; const _ = time.Second`, ""},
		{"pure: dice", "wire/a.go", `import "math/rand/v2"; var _ = rand.IntN(6)`, "given a *rand.Rand"},
		{"pure: given dice", "wire/a.go", `import "math/rand/v2"; func f(r *rand.Rand) int { return r.IntN(6) }`, ""},
		{"goroutine", "internal/relay/a.go", `func f() { go f() }`, "starts no goroutines"},
		{"goroutine in a test", "internal/relay/a_test.go", `func f() { go f() }`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wantComplaint(t, checkFile(rules, parse(t, tt.file, tt.source)), tt.want)
		})
	}
}

func TestStaleViolations(t *testing.T) {
	files := []sourceFile{
		parse(t, "wire/a.go", `import _ "github.com/quic-go/quic-go/quicvarint"`),
		parse(t, "backbone/a.go", `import _ "trellis/wire"`),
	}
	for _, tt := range []struct{ name, rules, want string }{
		{"all needed", "wire\n    + github.com/quic-go/quic-go\nbackbone\n    wire\n", ""},
		{"dependency", "wire\n    + github.com/pion/rtp\n", "wire does not import github.com/pion/rtp"},
		{"arrow", "wire\nbackbone\n    routing\n", "backbone does not import routing"},
		{"package", "edge/gone\n", "there is no package edge/gone"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rules, err := parseRules(tt.rules)
			if err != nil {
				t.Fatal(err)
			}
			wantComplaint(t, checkStale(rules, files), tt.want)
		})
	}
}

func TestSkipViolations(t *testing.T) {
	for _, tt := range []struct{ name, file, source, want string }{
		{"skip", "wire/a_test.go", `func f() { t.Skip("later") }`, "skips itself"},
		{"skipf", "wire/a_test.go", `func f() { t.Skipf("%d", 1) }`, "skips itself"},
		{"benchmark", "wire/a_test.go", `func f() { b.SkipNow() }`, "skips itself"},
		{"sleep", "wire/a_test.go", `import "time"; func f() { time.Sleep(1) }`, "sleep in real time"},
		{"sleep in a bubble", "wire/a_test.go", `import ("time"; _ "testing/synctest"); func f() { time.Sleep(1) }`, ""},
		{"sleep in a benchmark", "wire/a_test.go", `import ("time"; _ "testing/synctest"); func BenchmarkX() { time.Sleep(1) }`, "sleep in real time"},
		{"code may sleep", "wire/a.go", `import "time"; func f() { time.Sleep(1) }`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wantComplaint(t, checkTestCalls(parse(t, tt.file, tt.source), importsSynctest(parse(t, tt.file, tt.source))), tt.want)
		})
	}
}

func TestTextViolations(t *testing.T) {
	for _, tt := range []struct{ name, file, text, want string }{
		{"plain", "README.md", "the work of a relay/edge", ""},
		{"machine path", "README.md", "see /wo" + "rk/main", "path of one machine"},
		{"path inside a longer one", "README.md", "see docs/wo" + "rk/main", ""},
		{"registry", "web/package-lock.json", `"resolved": "https://registry.np` + `mjs.org/x"`, "host of a package registry"},
		{"registry in a bundle", "web/dist/app.js", "registry.np" + "mjs.org", ""},
		{"unfinished", "wire/a.go", "// TO" + "DO: the rest", "unfinished work"},
		{"long file", "wire/a.go", strings.Repeat("//\n", maxGoLines), "look for the second idea"},
		{"long document", "docs/wire.md", strings.Repeat("\n", maxGoLines), ""},
		{"skipped scenario", "e2e/watch.test.mjs", "test.skip('x', () => {})", "shows nothing"},
		{"skipped scenario by option", "e2e/watch.test.mjs", "test('x', { skip: true }, f)", "shows nothing"},
		{"binary", "a.ivf", "\x00/wo" + "rk/", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wantComplaint(t, checkText(tt.file, []byte(tt.text)), tt.want)
		})
	}
}

func TestRuleFileViolations(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"    wire\n", "before any package"},
		{"wire\nwire\n", "two sections"},
		{"wire\n    may import everything\n", "cannot read"},
	} {
		if _, err := parseRules(tt.text); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("parseRules(%q) = %v, want an error with %q", tt.text, err, tt.want)
		}
	}
}

func parse(t *testing.T, name, source string) sourceFile {
	t.Helper()
	fset := token.NewFileSet()
	parsed, err := parser.ParseFile(fset, name, "package p\n"+source+"\n", parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return sourceFile{name: name, fset: fset, ast: parsed}
}

func wantComplaint(t *testing.T, got []string, want string) {
	t.Helper()
	switch {
	case want == "" && len(got) > 0:
		t.Errorf("got complaints %q, want none", got)
	case want != "" && (len(got) != 1 || !strings.Contains(got[0], want)):
		t.Errorf("got complaints %q, want one with %q", got, want)
	}
}
