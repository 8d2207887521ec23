package web

import (
	"io/fs"
	"regexp"
	"strings"
	"testing"
)

// TestPageIsWhole follows what the page and its scripts refer to: all of it is embedded, nothing is fetched from
// another host.
func TestPageIsWhole(t *testing.T) {
	files := Files()
	page, err := fs.ReadFile(files, "index.html")
	if err != nil {
		t.Fatal(err)
	}
	refs := regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllSubmatch(page, -1)
	if len(refs) < 3 {
		t.Fatalf("index.html refers to %d files, want its script, its style and its icon", len(refs))
	}
	queue := make([]string, 0, len(refs))
	for _, m := range refs {
		queue = append(queue, string(m[1]))
	}
	imports := regexp.MustCompile(`(?:from|import)\(?"(\./[^"]+)"`)
	seen := map[string]bool{"index.html": true, "licenses.txt": true}
	for len(queue) > 0 {
		name := queue[0]
		queue = queue[1:]
		if seen[name] {
			continue
		}
		seen[name] = true
		if strings.Contains(name, "//") {
			t.Errorf("the page fetches %s from elsewhere", name)
			continue
		}
		data, err := fs.ReadFile(files, name)
		if err != nil {
			t.Errorf("referred to, but not embedded: %v", err)
			continue
		}
		for _, m := range imports.FindAllSubmatch(data, -1) {
			queue = append(queue, strings.TrimPrefix(string(m[1]), "./"))
		}
	}
	err = fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !seen[name] {
			t.Errorf("embedded, but nothing refers to %s", name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
