package rtc

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"

	"trellis/internal/relay"
)

// answerOf returns the answer of an edge that listens on loopback.
func answerOf(t *testing.T, configure func(*Config)) string {
	t.Helper()
	table, err := relay.NewTable(relay.Config{})
	if err != nil {
		t.Fatal(err)
	}
	udp, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Table: table, Origin: "us-east-1", UDP: udp, TCP: tcp}
	configure(&cfg)
	e, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	offer := sessionLines + strings.ReplaceAll(section("video", "sendonly", "VP8/90000", "rtx/90000 apt=100"), "200", "101")
	s, err := e.Publish(ctx, Request{Broadcast: "room/alice", Offer: offer})
	if err != nil {
		t.Fatal(err)
	}
	return s.Answer()
}

func TestCandidates(t *testing.T) {
	local := answerOf(t, func(*Config) {})
	for _, want := range []string{" udp ", " tcp ", " 127.0.0.1 ", "a=ice-lite", "a=recvonly", "m=video 9 ", "a=rtpmap:101 rtx/90000"} {
		if !strings.Contains(local, want) {
			t.Errorf("no %q in the answer:\n%s", want, local)
		}
	}
	public := answerOf(t, func(c *Config) { c.PublicAddrs = []netip.Addr{netip.MustParseAddr("203.0.113.5")} })
	for line := range strings.Lines(public) {
		if strings.HasPrefix(line, "a=candidate:") && !strings.Contains(line, " 203.0.113.5 ") {
			t.Errorf("candidate with another address: %s", line)
		}
	}
	for _, want := range []string{" udp ", " tcp "} {
		if !strings.Contains(public, want) {
			t.Errorf("no%scandidate with a public address:\n%s", want, public)
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	table, err := relay.NewTable(relay.Config{})
	if err != nil {
		t.Fatal(err)
	}
	udp, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = udp.Close() }()
	good := Config{Table: table, Origin: "a", UDP: udp}
	for name, breaks := range map[string]func(*Config){
		"Table":          func(c *Config) { c.Table = nil },
		"Origin":         func(c *Config) { c.Origin = "" },
		"UDP":            func(c *Config) { c.UDP = nil },
		"MaxSessions":    func(c *Config) { c.MaxSessions = -1 },
		"SilenceTimeout": func(c *Config) { c.SilenceTimeout = -1 },
		"PublicAddrs":    func(c *Config) { c.PublicAddrs = []netip.Addr{netip.IPv4Unspecified()} },
	} {
		c := good
		breaks(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
