package arch

import (
	"bytes"
	"fmt"
	"go/ast"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// maxGoLines is where a file surely holds a second idea. CONVENTIONS asks the question at 500.
const maxGoLines = 600

// TestTidy looks into every text file of the repository for what belongs in none.
func TestTidy(t *testing.T) {
	root := rootDir(t)
	for _, name := range repositoryFiles(t, root) {
		data, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		for _, complaint := range checkText(name, data) {
			t.Error(complaint)
		}
	}
}

// TestNothingSkipped keeps tests honest: none skips itself, none sleeps in real time.
func TestNothingSkipped(t *testing.T) {
	files := goFiles(t, rootDir(t))
	// The test that opens the bubble and the helper that sleeps in it may be in
	// different files of one package.
	bubbles := make(map[string]bool)
	for _, f := range files {
		if importsSynctest(f) {
			bubbles[path.Dir(f.name)] = true
		}
	}
	for _, f := range files {
		for _, complaint := range checkTestCalls(f, bubbles[path.Dir(f.name)]) {
			t.Error(complaint)
		}
	}
}

func importsSynctest(f sourceFile) bool {
	return slices.ContainsFunc(f.ast.Imports, func(s *ast.ImportSpec) bool { return s.Path.Value == `"testing/synctest"` })
}

// banned are the things that checkText looks for. The patterns are put together from halves so that this
// file does not match itself.
func banned() map[string]*regexp.Regexp {
	return map[string]*regexp.Regexp{
		"path of one machine":        regexp.MustCompile(`(^|[^A-Za-z0-9_.-])/(wo` + `rk|fa` + `rm|ho` + `me/[a-z]+)/`),
		"host of a package registry": regexp.MustCompile(`proxy\.gol` + `ang|registry\.np` + `m|registry\.yar` + `n|deb\.deb` + `ian\.org`),
		"unfinished work":            regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`),
	}
}

// checkText gives a sentence for each line of a file that holds what none should.
func checkText(name string, data []byte) []string {
	if bytes.IndexByte(data[:min(len(data), 8000)], 0) >= 0 || bundled(name) {
		return nil
	}
	var bad []string
	patterns := banned()
	lines := bytes.Split(data, []byte("\n"))
	for i, line := range lines {
		for what, pattern := range patterns {
			if pattern.Match(line) {
				bad = append(bad, fmt.Sprintf("%s:%d: %s: %q", name, i+1, what, pattern.Find(line)))
			}
		}
	}
	if strings.HasPrefix(name, "e2e/") && skippedScenario().Match(data) {
		bad = append(bad, name+": a scenario that is skipped shows nothing")
	}
	if strings.HasSuffix(name, ".go") && len(lines) > maxGoLines {
		bad = append(bad, fmt.Sprintf("%s: %d lines; at most %d, so look for the second idea", name, len(lines), maxGoLines))
	}
	slices.Sort(bad)
	return bad
}

// skippedScenario matches what makes Node's test runner leave a test out and still succeed.
func skippedScenario() *regexp.Regexp {
	return regexp.MustCompile(`\b(test|it|describe|suite|t)\.(skip|todo|only)\(|\b(skip|todo|only): `)
}

// bundled says whether the file is built from packages whose words are not ours.
func bundled(name string) bool { return strings.HasPrefix(name, "web/dist/") }

// checkTestCalls complains of a test that skips (what cannot run here belongs behind a build tag and a make
// target of its own) and of sleeps in real time: where the package's tests know no synctest bubble, and in
// benchmarks, which never run in one.
func checkTestCalls(f sourceFile, bubbles bool) []string {
	if !f.isTest() {
		return nil
	}
	var bad []string
	benchmark := false // inside one; functions follow one another
	ast.Inspect(f.ast, func(n ast.Node) bool {
		if d, ok := n.(*ast.FuncDecl); ok {
			benchmark = strings.HasPrefix(d.Name.Name, "Benchmark")
		}
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		x, ok := sel.X.(*ast.Ident)
		if !ok {
			return true
		}
		switch name := x.Name + "." + sel.Sel.Name; {
		case slices.Contains([]string{"t", "b", "tb", "f"}, x.Name) && strings.HasPrefix(sel.Sel.Name, "Skip"):
			bad = append(bad, f.at(call.Pos())+": a test that skips itself shows nothing; use a build tag")
		case name == "time.Sleep" && (benchmark || !bubbles):
			bad = append(bad, f.at(call.Pos())+": a sleep in real time; use testing/synctest")
		}
		return true
	})
	return bad
}

// repositoryFiles walks the work tree, leaving out what is never committed.
func repositoryFiles(t *testing.T, root string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(rel)
		if d.IsDir() {
			switch {
			case d.Name() == ".git", d.Name() == "node_modules", name == "bin", name == "out", name == ".cache", name == "e2e/build":
				return filepath.SkipDir
			}
			return nil
		}
		if d.Type().IsRegular() && d.Name() != ".git" {
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
