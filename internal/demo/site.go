package demo

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"trellis/internal/ca"
	"trellis/internal/node"
	"trellis/routing/static"
)

const (
	cluster   = "demo"
	provider  = "loopback"
	loopback  = "127.0.0.1"
	broadcast = "demo/clip"
	// goodbye is how long clients may take to leave when the demo ends: they are
	// all on this machine.
	goodbye = 500 * time.Millisecond
)

// site is the node of one region.
type site struct {
	region  Region
	sockets node.Sockets
	n       *node.Node
}

// node is the node's id, which is the region's name in the matrix.
func (s *site) node() string { return s.region.ID }

func (s *site) udp() netip.AddrPort { return udpAddr(s.sockets.QUIC.LocalAddr()) }

func (s *site) url(path string) string {
	return "http://" + s.sockets.HTTP.Addr().String() + path
}

// openSite opens the ports of the i-th node.
func openSite(ctx context.Context, cfg Config, i int, r Region) (*site, error) {
	at := func(host string, offset int) string {
		port := 0
		if cfg.Port != 0 {
			port = cfg.Port + portsPerNode*(i+1) + offset
		}
		return net.JoinHostPort(host, strconv.Itoa(port))
	}
	sockets, err := node.Listen(ctx, node.Addresses{
		QUIC: at(loopback, 0), HTTP: at(loopback, 0), WebRTC: at(cfg.Media, 1), WebRTCTCP: at(cfg.Media, 1), Admin: at(loopback, 2),
	})
	if err != nil {
		return nil, fmt.Errorf("node of %s: %w", r.Name, err)
	}
	return &site{region: r, sockets: sockets}, nil
}

// start assembles the node, which takes over the sockets.
func (s *site) start(cfg Config, authority *ca.Authority, t tokens, w *wan, i int, origins []string) error {
	credentials, err := authority.Issue(s.region.Name, s.node(), 0, time.Now())
	if err != nil {
		return err
	}
	peers, err := static.New(static.Config{Nodes: w.peers[i], Log: cfg.Log})
	if err != nil {
		return err
	}
	s.n, err = node.New(node.Config{
		ID: s.node(), Region: s.region.Name, Provider: provider, Cluster: cluster, Version: cfg.Version,
		Sockets: s.sockets, Verifier: t.verifier, LiveKit: node.LiveKit{Verifier: t.access}, Certificates: ca.NewEphemeral("localhost", loopback), AllowedOrigins: origins,
		Credentials: ca.NewStore(credentials), Peers: peers, Shutdown: goodbye,
		Log: cfg.Log,
	})
	return err
}
