package arch

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// module is the path of this module, and with a slash the prefix of our own imports.
const module = "trellis"

// TestImports holds every Go file, whatever its build tags, to imports.txt, and imports.txt to the files: a line
// that nothing needs is taken out.
func TestImports(t *testing.T) {
	rules, err := parseRules(importsTxt)
	if err != nil {
		t.Fatal(err)
	}
	unknown := make(map[string]bool)
	files := goFiles(t, rootDir(t))
	for _, complaint := range checkStale(rules, files) {
		t.Error(complaint)
	}
	for _, f := range files {
		if pkg := path.Dir(f.name); rules[pkg] == nil {
			unknown[pkg] = true
			continue
		}
		for _, complaint := range checkFile(rules, f) {
			t.Error(complaint)
		}
	}
	for pkg := range unknown {
		t.Errorf("package %s has no section in internal/arch/imports.txt", pkg)
	}
}

// sourceFile is one parsed Go file; name is its slash path in the repository.
type sourceFile struct {
	name string
	fset *token.FileSet
	ast  *ast.File
}

func (f sourceFile) isTest() bool { return strings.HasSuffix(f.name, "_test.go") }

func (f sourceFile) at(pos token.Pos) string {
	return fmt.Sprintf("%s:%d", f.name, f.fset.Position(pos).Line)
}

// checkFile gives one sentence for each thing in f that the rules for its package do not allow.
func checkFile(rules map[string]*rule, f sourceFile) []string {
	pkg := path.Dir(f.name)
	r := rules[pkg]
	var bad []string
	complain := func(pos token.Pos, format string, args ...any) {
		bad = append(bad, f.at(pos)+": "+fmt.Sprintf(format, args...))
	}
	for _, spec := range f.ast.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			complain(spec.Pos(), "%v", err)
			continue
		}
		if why := checkImport(rules, r, pkg, imported, f.isTest()); why != "" {
			complain(spec.Pos(), "%s", why)
		}
	}
	if f.isTest() {
		return bad
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			if r.noGoroutines {
				complain(n.Pos(), "%s starts no goroutines", pkg)
			}
		case *ast.SelectorExpr:
			x, ok := n.X.(*ast.Ident)
			switch {
			case !ok || !r.pure:
			case x.Name == "time" && readsClock(n.Sel.Name):
				complain(n.Pos(), "%s is pure: it is given the time and does not ask for it", pkg)
			case x.Name == "rand" && throwsDice(n.Sel.Name):
				complain(n.Pos(), "%s is pure: it is given a *rand.Rand and has none of its own", pkg)
			}
		}
		return true
	})
	return bad
}

func checkImport(rules map[string]*rule, r *rule, pkg, imported string, test bool) string {
	own, isOurs := strings.CutPrefix(imported, module+"/")
	first, _, _ := strings.Cut(imported, "/")
	tests := rules[testsSection]
	switch {
	case isOurs && (r.allowsOurs(own) || test && (own == pkg || tests.allowsOurs(own))):
		return ""
	case isOurs:
		return fmt.Sprintf("%s may not import %s; internal/arch/imports.txt lists what it may", pkg, own)
	case !strings.Contains(first, "."): // the standard library
		if r.pure && !test && impure(imported) {
			return fmt.Sprintf("%s is pure and may not import %s", pkg, imported)
		}
		return ""
	case r.allowsForeign(imported) || test && tests.allowsForeign(imported):
		return ""
	}
	return fmt.Sprintf("%s may not import %s; internal/arch/imports.txt lists what it may", pkg, imported)
}

// checkStale gives one sentence for each line of the rules that no file needs.
func checkStale(rules map[string]*rule, files []sourceFile) []string {
	imports := make(map[string][]string) // by section
	for _, f := range files {
		pkg := path.Dir(f.name)
		for _, spec := range f.ast.Imports {
			imported := strings.TrimPrefix(strings.Trim(spec.Path.Value, `"`), module+"/")
			imports[pkg] = append(imports[pkg], imported)
			if f.isTest() {
				imports[testsSection] = append(imports[testsSection], imported)
			}
		}
		if imports[pkg] == nil {
			imports[pkg] = []string{}
		}
	}
	var stale []string
	for section, r := range rules {
		got, exists := imports[section]
		if !exists {
			stale = append(stale, "imports.txt: there is no package "+section)
			continue
		}
		for _, line := range r.lines() {
			if !slices.ContainsFunc(got, line.allows) {
				stale = append(stale, fmt.Sprintf("imports.txt: %s does not import %s", section, line.path))
			}
		}
	}
	slices.Sort(stale)
	return stale
}

// readsClock names the functions of package time that look at the clock or wait for it.
func readsClock(name string) bool {
	return slices.Contains([]string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}, name)
}

// throwsDice names the functions of package math/rand/v2 that draw from the shared source.
func throwsDice(name string) bool {
	return slices.Contains([]string{
		"Int", "IntN", "Int32", "Int32N", "Int64", "Int64N", "N", "Uint", "UintN", "Uint32", "Uint32N", "Uint64",
		"Uint64N", "Float32", "Float64", "ExpFloat64", "NormFloat64", "Perm", "Shuffle",
	}, name)
}

// rootDir is the folder with go.mod.
func rootDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// goFiles parses all Go files of the module under root.
func goFiles(t *testing.T, root string) []sourceFile {
	t.Helper()
	var files []sourceFile
	for _, name := range repositoryFiles(t, root) {
		if !strings.HasSuffix(name, ".go") || strings.Contains("/"+name, "/testdata/") || strings.HasPrefix(name, "tools/") {
			continue
		}
		fset := token.NewFileSet()
		parsed, err := parser.ParseFile(fset, filepath.Join(root, filepath.FromSlash(name)), nil, parser.SkipObjectResolution|parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, sourceFile{name: name, fset: fset, ast: parsed})
	}
	if len(files) == 0 {
		t.Fatal("no Go files found")
	}
	return files
}
