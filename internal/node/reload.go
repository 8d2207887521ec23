package node

import (
	"context"
	"log/slog"
	"os"
	"time"
)

// reloadEvery is how often files are looked at. Certificates are renewed days
// before they end, so seconds do not matter; a poll works on every file system.
const reloadEvery = 5 * time.Second

// Reloader reads files again when they change. What could not be read changes
// nothing: the last good content stays in force, with a warning.
type Reloader struct {
	// What is read, for the log.
	What string
	// Files are looked at; Load is called when one of them has changed.
	Files []string
	Load  func(now time.Time) error
}

// stamp tells one version of a file from another.
type stamp struct {
	modified time.Time
	size     int64
}

func stamps(files []string) map[string]stamp {
	all := make(map[string]stamp, len(files))
	for _, f := range files {
		if info, err := os.Stat(f); err == nil {
			all[f] = stamp{info.ModTime(), info.Size()}
		}
	}
	return all
}

// Run watches until ctx ends.
func (r Reloader) Run(ctx context.Context, log *slog.Logger) error {
	seen := stamps(r.Files)
	ticker := time.NewTicker(reloadEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case now := <-ticker.C:
			current := stamps(r.Files)
			changed := false
			for _, f := range r.Files {
				s, ok := current[f]
				changed = changed || ok && s != seen[f]
			}
			if !changed {
				continue
			}
			seen = current
			if err := r.Load(now); err != nil {
				log.Warn("not reloaded, what was read last stays", slog.String("what", r.What), slog.Any("err", err))
				continue
			}
			log.Info("reloaded", slog.String("what", r.What))
		}
	}
}
