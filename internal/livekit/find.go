package livekit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Version is the release that is compared with, tools/livekit has the same.
const Version = "1.13.5"

// ErrMissing means that the server is not installed.
var ErrMissing = errors.New("livekit-server is not installed; install it with: make livekit-server")

// Installed is where the programs are.
type Installed struct {
	// Server is livekit-server.
	Server string
	// Client is the SDK for browsers, one file of JavaScript.
	Client string
}

// Find looks into a directory for both programs; an empty name means the one into
// which `make livekit-server` puts them.
func Find(dir string) (Installed, error) {
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return Installed{}, err
		}
		dir = filepath.Join(cache, "trellis", "livekit-"+Version)
	}
	in := Installed{Server: filepath.Join(dir, "livekit-server"), Client: filepath.Join(dir, "livekit-client.js")}
	for _, name := range []string{in.Server, in.Client} {
		if _, err := os.Stat(name); err != nil {
			return in, fmt.Errorf("%w (%w)", ErrMissing, err)
		}
	}
	return in, nil
}
