package arch

import (
	"bufio"
	_ "embed"
	"fmt"
	"slices"
	"strings"
)

//go:embed imports.txt
var importsTxt string

// testsSection is the heading in imports.txt of what every test file may import.
const testsSection = "(tests)"

// rule is one section of imports.txt: what a package may import and what it promises.
type rule struct {
	ours         []line // packages of this module
	foreign      []line // dependencies
	pure         bool
	noGoroutines bool
}

// line allows an import: of the package at path, and of those below it if below is set.
type line struct {
	path  string
	below bool
}

func (l line) allows(imported string) bool {
	return imported == l.path || l.below && strings.HasPrefix(imported, l.path+"/")
}

func (r *rule) lines() []line { return slices.Concat(r.ours, r.foreign) }

// allowsOurs says whether the package of this module at path, without the module's own, may be imported.
func (r *rule) allowsOurs(path string) bool {
	return slices.ContainsFunc(r.ours, func(l line) bool { return l.allows(path) })
}

// allowsForeign says whether the dependency's package at path may be imported.
func (r *rule) allowsForeign(path string) bool {
	return slices.ContainsFunc(r.foreign, func(l line) bool { return l.allows(path) })
}

// parseRules reads the format that the head of imports.txt describes.
func parseRules(text string) (map[string]*rule, error) {
	rules := make(map[string]*rule)
	var current *rule
	scanner := bufio.NewScanner(strings.NewReader(text))
	for n := 1; scanner.Scan(); n++ {
		text := scanner.Text()
		word := strings.TrimSpace(text)
		switch {
		case word == "" || strings.HasPrefix(word, "#"):
		case word == text:
			if rules[word] != nil {
				return nil, fmt.Errorf("imports.txt:%d: %s has two sections", n, word)
			}
			current = &rule{}
			rules[word] = current
		case current == nil:
			return nil, fmt.Errorf("imports.txt:%d: %q stands before any package", n, word)
		case word == "pure":
			current.pure, current.noGoroutines = true, true
		case word == "starts no goroutines":
			current.noGoroutines = true
		case strings.HasPrefix(word, "+ "):
			current.foreign = append(current.foreign, line{strings.TrimPrefix(word, "+ "), true})
		case strings.HasPrefix(word, "= "):
			current.foreign = append(current.foreign, line{strings.TrimPrefix(word, "= "), false})
		case strings.Contains(word, " "):
			return nil, fmt.Errorf("imports.txt:%d: cannot read %q", n, word)
		default:
			current.ours = append(current.ours, line{word, false})
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
