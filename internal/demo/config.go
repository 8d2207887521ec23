package demo

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"

	"trellis/internal/client"
)

// Config describes a demonstration. A zero field means its default.
type Config struct {
	// Regions are names in the matrix or aliases. The film is published at the
	// first. Default: us-east, eu-west, ap-southeast.
	Regions []string
	// NoWAN leaves the links as they are on this machine.
	NoWAN bool
	// Port is the page's; the nodes take those after it, ten for each. Default:
	// free ones.
	Port int
	// Media is the address of this machine at which nodes take WebRTC. Default:
	// loopback, to which Firefox makes no connection.
	Media string
	// Via is how the film is published, client.WHIP or client.MoQ. Default: WHIP.
	Via client.Protocol
	// Page is what the page's server serves, index.html at its root. Required.
	Page fs.FS
	// Version is shown in the nodes' status.
	Version string
	// Log receives what happens. Default: nowhere.
	Log *slog.Logger
}

const (
	// maxRegions keeps the machine usable: links grow with the square.
	maxRegions = 8
	// portsPerNode: the first is QUIC and HTTP, then WebRTC, then the admin's.
	portsPerNode = 10
)

func (c Config) withDefaults() (Config, error) {
	if len(c.Regions) == 0 {
		c.Regions = []string{"us-east", "eu-west", "ap-southeast"}
	}
	if c.Via == "" {
		c.Via = client.WHIP
	}
	c.Media = cmp.Or(c.Media, loopback)
	switch {
	case c.Page == nil:
		return c, errors.New("demo.Config.Page is nil")
	case len(c.Regions) > maxRegions:
		return c, fmt.Errorf("%d regions, at most %d", len(c.Regions), maxRegions)
	case c.Port < 0 || c.Port > 0xffff-portsPerNode*(len(c.Regions)+1):
		return c, fmt.Errorf("port %d leaves no room for the nodes' below 65536", c.Port)
	case net.ParseIP(c.Media) == nil:
		return c, fmt.Errorf("media at %q: want an IP address of this machine", c.Media)
	case c.Via != client.WHIP && c.Via != client.MoQ:
		return c, fmt.Errorf("a film is published by whip or moq, not by %q", c.Via)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c, nil
}
