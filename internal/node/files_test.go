package node_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"trellis/internal/ca"
	"trellis/internal/node"
)

func TestReloader(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	write := func(text string, at time.Time) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		write("one", time.Now())
		var loads atomic.Int32
		var broken atomic.Bool
		r := node.Reloader{What: "file", Files: []string{path, path + ".none"}, Load: func(time.Time) error {
			loads.Add(1)
			if broken.Load() {
				return errors.New("broken")
			}
			return nil
		}}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.Run(ctx, slog.New(slog.DiscardHandler)) }()
		step := func(what string, want int32) {
			t.Helper()
			time.Sleep(20 * time.Second)
			synctest.Wait()
			if got := loads.Load(); got != want {
				t.Errorf("%s: read %d times, want %d", what, got, want)
			}
		}
		step("nothing changed", 0)
		write("two", time.Now())
		step("changed", 1)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		step("gone", 1)
		broken.Store(true)
		write("thr", time.Now())
		step("back, but broken: read once, and not again until it changes", 2)
		broken.Store(false)
		write("four", time.Now())
		step("mended", 3)
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func TestListen(t *testing.T) {
	free := "127.0.0.1:0"
	s, err := node.Listen(t.Context(), node.Addresses{QUIC: free, HTTP: free, WebRTC: free, WebRTCTCP: free, Admin: free})
	if err != nil {
		t.Fatal(err)
	}
	port := func(a net.Addr) string {
		_, p, err := net.SplitHostPort(a.String())
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if port(s.QUIC.LocalAddr()) != port(s.HTTP.Addr()) || port(s.WebRTC.LocalAddr()) != port(s.WebRTCTCP.Addr()) {
		t.Errorf("QUIC %v, HTTP %v, WebRTC %v and %v", s.QUIC.LocalAddr(), s.HTTP.Addr(), s.WebRTC.LocalAddr(), s.WebRTCTCP.Addr())
	}
	if _, ok := s.QUIC.(*net.UDPConn); !ok {
		t.Errorf("the QUIC socket is a %T: quic-go would lose GSO and ECN", s.QUIC)
	}
	if _, err := node.Listen(t.Context(), node.Addresses{QUIC: s.QUIC.LocalAddr().String(), WebRTC: free}); err == nil {
		t.Error("a port was opened twice")
	}
	if _, err := node.Listen(t.Context(), node.Addresses{QUIC: free, WebRTC: free, Admin: s.Admin.Addr().String()}); err == nil {
		t.Error("a port was opened twice")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestNewRefuses(t *testing.T) {
	for name, change := range map[string]func(*node.Config){
		"no id":          func(c *node.Config) { c.ID = "" },
		"no region":      func(c *node.Config) { c.Region = "" },
		"no cluster":     func(c *node.Config) { c.Cluster = "No" },
		"no verifier":    func(c *node.Config) { c.Verifier = nil },
		"no peers":       func(c *node.Config) { c.Peers = nil },
		"other node":     func(c *node.Config) { c.ID = "other" },
		"other region":   func(c *node.Config) { c.Region = "other" },
		"negative":       func(c *node.Config) { c.Limits.HalfOpen = -1 },
		"wrong relay":    func(c *node.Config) { c.Relay.MaxGroups = -1 },
		"no socket":      func(c *node.Config) { c.Sockets.WebRTC = nil },
		"no certificate": func(c *node.Config) { c.Certificates = nil },
	} {
		inWorld(t, func(w *world) {
			h := w.net.Host("a")
			udp, err := h.ListenUDP(quicPort)
			w.must(err)
			media, err := h.ListenUDP(webRTCPort)
			w.must(err)
			cfg := node.Config{
				ID: "a", Region: "region-a", Cluster: "test",
				Sockets:  node.Sockets{QUIC: udp, WebRTC: media},
				Verifier: anybody{}, Certificates: ca.NewEphemeral("a"),
				Credentials: w.credentials(w.authority, "a"), Peers: nobody{}, WebRTCNet: h.Net(),
			}
			change(&cfg)
			if _, err := node.New(cfg); err == nil {
				t.Errorf("%s: accepted", name)
			}
			// The sockets are closed, or were not given.
			if cfg.Sockets.WebRTC == nil {
				w.must(media.Close())
			}
			if again, err := h.ListenUDP(quicPort); err != nil {
				t.Errorf("%s: the socket was left open: %v", name, err)
			} else {
				w.must(again.Close())
			}
		})
	}
}
