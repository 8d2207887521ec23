// Package static finds nodes in a list: given directly, or in a file that is
// read again when it changes.
//
//	peers:
//	  - id: eu-west-1
//	    region: eu-west
//	    provider: metal        # optional
//	    addr: 192.0.2.7:4443
package static

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.yaml.in/yaml/v3"

	"trellis/routing/discovery"
)

// Config says where the list is.
type Config struct {
	// Nodes is the list itself, used if File is empty.
	Nodes []discovery.Node
	// File is the path of a list that is read again when it changes.
	File string
	// Log receives what was wrong with a changed file. Default: nowhere.
	Log *slog.Logger
}

// Source is a discovery.Source.
type Source struct {
	cfg   Config
	first discovery.Snapshot
}

// New checks the configuration and reads the list for the first time.
func New(cfg Config) (*Source, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Source{cfg: cfg}
	var err error
	switch {
	case cfg.File == "":
		s.first, err = discovery.NewSnapshot(cfg.Nodes)
	case len(cfg.Nodes) > 0:
		err = errors.New("both a list and a file are given")
	default:
		s.first, err = Load(cfg.File)
	}
	if err != nil {
		return nil, fmt.Errorf("static peers: %w", err)
	}
	return s, nil
}

// maxFileBytes is far more than the list of any cluster.
const maxFileBytes = 1 << 20

// Load reads a list from a file.
func Load(file string) (discovery.Snapshot, error) {
	f, err := os.Open(file)
	if err != nil {
		return discovery.Snapshot{}, err
	}
	defer func() { _ = f.Close() }() // only read
	b, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return discovery.Snapshot{}, err
	}
	if len(b) > maxFileBytes {
		return discovery.Snapshot{}, fmt.Errorf("%s: more than %d bytes", file, maxFileBytes)
	}
	s, err := Parse(b)
	if err != nil {
		return discovery.Snapshot{}, fmt.Errorf("%s: %w", file, err)
	}
	return s, nil
}

// Parse parses the text of a list. Unknown keys are errors.
func Parse(b []byte) (discovery.Snapshot, error) {
	var list struct {
		Peers []struct {
			ID       string `yaml:"id"`
			Region   string `yaml:"region"`
			Provider string `yaml:"provider"`
			Addr     string `yaml:"addr"`
		} `yaml:"peers"`
	}
	dec := yaml.NewDecoder(bytes.NewReader(b))
	dec.KnownFields(true)
	if err := dec.Decode(&list); err != nil && !errors.Is(err, io.EOF) {
		return discovery.Snapshot{}, err
	}
	nodes := make([]discovery.Node, 0, len(list.Peers))
	for _, p := range list.Peers {
		nodes = append(nodes, discovery.Node{ID: p.ID, Region: p.Region, Provider: p.Provider, Addr: p.Addr})
	}
	return discovery.NewSnapshot(nodes)
}

// settle is how long the file must rest before it is read: editors and copies
// write in several steps.
const settle = 200 * time.Millisecond

// Watch tells the list, and again when the file has changed. A file that is
// broken or gone changes nothing: the last good list stays.
func (s *Source) Watch(ctx context.Context, seen func(discovery.Snapshot)) error {
	if s.cfg.File == "" {
		seen(s.first)
		<-ctx.Done()
		return context.Cause(ctx)
	}
	// The directory, not the file: most programs replace a file by renaming
	// another onto it, and a watch on the old one would see nothing more.
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch %s: %w", s.cfg.File, err)
	}
	defer func() { _ = w.Close() }() // nothing is written
	if err := w.Add(filepath.Dir(s.cfg.File)); err != nil {
		return fmt.Errorf("watch %s: %w", s.cfg.File, err)
	}
	last := s.first
	seen(last)
	// The file may have changed between New and Add: look once without a hint.
	rest := time.NewTimer(settle)
	defer rest.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case e, ok := <-w.Events:
			if !ok {
				return errors.New("file watch ended")
			}
			// Any name: a directory of links, as Kubernetes mounts it, changes
			// its target and not the file.
			if !e.Has(fsnotify.Chmod) {
				rest.Reset(settle)
			}
		case err := <-w.Errors:
			s.cfg.Log.Warn("watching the peer list", slog.Any("err", err))
			rest.Reset(settle)
		case <-rest.C:
			now, err := Load(s.cfg.File)
			switch {
			case err != nil:
				s.cfg.Log.Warn("peer list not reloaded, the last one stays", slog.Any("err", err), slog.Int("peers", len(last.Nodes)))
			case !slices.Equal(now.Nodes, last.Nodes):
				s.cfg.Log.Info("peer list reloaded", slog.Int("peers", len(now.Nodes)), slog.Int("before", len(last.Nodes)))
				last = now
				seen(last)
			}
		}
	}
}
