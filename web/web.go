// Package web holds the demo page, built by `make web` from the sources beside it and embedded, so that the
// binary needs no files next to it and fetches nothing from anywhere else.
package web

import (
	"embed"
	"io/fs"
)

//go:embed dist
var dist embed.FS

// Files returns the page's files: index.html at the root, and what it refers to.
func Files() fs.FS {
	files, err := fs.Sub(dist, "dist")
	if err != nil {
		panic(err) // "dist" is a valid path, so Sub cannot fail
	}
	return files
}
