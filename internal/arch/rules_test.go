package arch

import (
	"bufio"
	_ "embed"
	"fmt"
	"strings"
)

//go:embed imports.txt
var importsTxt string

// testsSection is the heading in imports.txt of what every test file may import.
const testsSection = "(tests)"

// rule is one section of imports.txt: what a package may import and what it promises.
type rule struct {
	ours         map[string]bool // packages of this module, without the module's path
	prefixes     []string        // dependencies, with what is below them
	exact        map[string]bool // single packages of dependencies
	pure         bool
	noGoroutines bool
}

// allowsOurs says whether the package of this module at path may be imported.
func (r *rule) allowsOurs(path string) bool { return r.ours[path] }

// allowsForeign says whether the dependency's package at path may be imported.
func (r *rule) allowsForeign(path string) bool {
	if r.exact[path] {
		return true
	}
	for _, p := range r.prefixes {
		if path == p || strings.HasPrefix(path, p+"/") {
			return true
		}
	}
	return false
}

// parseRules reads the format that the head of imports.txt describes.
func parseRules(text string) (map[string]*rule, error) {
	rules := make(map[string]*rule)
	var current *rule
	scanner := bufio.NewScanner(strings.NewReader(text))
	for n := 1; scanner.Scan(); n++ {
		line := scanner.Text()
		word := strings.TrimSpace(line)
		switch {
		case word == "" || strings.HasPrefix(word, "#"):
		case word == line:
			if rules[word] != nil {
				return nil, fmt.Errorf("imports.txt:%d: %s has two sections", n, word)
			}
			current = &rule{ours: make(map[string]bool), exact: make(map[string]bool)}
			rules[word] = current
		case current == nil:
			return nil, fmt.Errorf("imports.txt:%d: %q stands before any package", n, word)
		case word == "pure":
			current.pure, current.noGoroutines = true, true
		case word == "starts no goroutines":
			current.noGoroutines = true
		case strings.HasPrefix(word, "+ "):
			current.prefixes = append(current.prefixes, strings.TrimPrefix(word, "+ "))
		case strings.HasPrefix(word, "= "):
			current.exact[strings.TrimPrefix(word, "= ")] = true
		case strings.Contains(word, " "):
			return nil, fmt.Errorf("imports.txt:%d: cannot read %q", n, word)
		default:
			current.ours[word] = true
		}
	}
	return rules, scanner.Err()
}

// impure are the standard packages that a pure package does without.
func impure(path string) bool {
	switch path {
	case "net", "net/http", "os", "os/exec", "os/signal", "log", "log/slog", "syscall", "unsafe", "crypto/rand":
		return true
	}
	return false
}
