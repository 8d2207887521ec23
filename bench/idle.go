package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/quic-go/quic-go"
	"golang.org/x/sync/errgroup"

	"trellis/backbone"
	"trellis/internal/ca"
	"trellis/internal/relay"
	"trellis/routing/discovery"
)

// idleLinks is how many links the hub of the scenario has.
const idleLinks = 100

// idleScenario asks what a link costs on which nothing is sent: probes, the
// keep-alives of its connections, and the watch over it.
func idleScenario() scenario {
	const cost = "cpu_us_per_s_and_link_end"
	return scenario{
		name:  "idle",
		title: "backbone: a node with 100 links that carry nothing, beside as many nodes without links; real sockets on loopback",
		open: func(context.Context) ([]benchCase, func() error, error) {
			return []benchCase{{"100 links", idle(true)}, {"no links", idle(false)}}, func() error { return nil }, nil
		},
		derive: func(round map[string]metrics) metrics {
			const all = "cpu_ms_per_s"
			return metrics{cost: (round["100 links"][all] - round["no links"][all]) * 1000 / (2 * idleLinks)}
		},
		// No target: what a hundred nodes tell one another through the hub is in it.
	}
}

// idle measures a star, or its nodes alone.
func idle(linked bool) func(context.Context, time.Duration) (metrics, error) {
	return func(ctx context.Context, slice time.Duration) (m metrics, err error) {
		s, err := startStar(ctx, linked)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, s.close()) }()
		if linked {
			if err := s.awaitLinks(ctx); err != nil {
				return nil, err
			}
		}
		time.Sleep(5 * time.Second) // young links are probed faster, and warmed up
		u, err := metered(func() error {
			time.Sleep(max(slice, 2*time.Second)) // whole periods of probes
			return nil
		})
		if err != nil {
			return nil, err
		}
		return metrics{"cpu_ms_per_s": float64(u.cpu.Milliseconds()) / u.wall.Seconds()}, nil
	}
}

// star is a hub and its peers, which know nobody but the hub.
type star struct {
	hub        *backbone.Mesh
	transports []*quic.Transport
	cancel     context.CancelCauseFunc
	group      *errgroup.Group
}

func startStar(ctx context.Context, linked bool) (*star, error) {
	authority, err := ca.NewAuthority("bench", time.Now())
	if err != nil {
		return nil, err
	}
	s := &star{}
	ctx, s.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	s.group, ctx = errgroup.WithContext(ctx)
	entries := make([]discovery.Node, idleLinks+1)
	for i := range entries {
		socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			return nil, errors.Join(err, s.close())
		}
		s.transports = append(s.transports, &quic.Transport{Conn: socket})
		entries[i] = discovery.Node{ID: nodeID(i), Region: "loopback", Addr: socket.LocalAddr().String()}
	}
	for i := range entries {
		known := entries[:1]
		switch {
		case !linked:
			known = nil
		case i == 0:
			known = entries
		}
		if err := s.startNode(ctx, authority, i, known); err != nil {
			return nil, errors.Join(err, s.close())
		}
	}
	return s, nil
}

func (s *star) startNode(ctx context.Context, authority *ca.Authority, i int, known []discovery.Node) error {
	credentials, err := authority.Issue("loopback", nodeID(i), time.Hour, time.Now())
	if err != nil {
		return err
	}
	peers, err := discovery.NewSnapshot(known)
	if err != nil {
		return err
	}
	table, err := relay.NewTable(relay.Config{})
	if err != nil {
		return err
	}
	mesh, err := backbone.New(backbone.Config{
		Credentials: ca.NewStore(credentials), Dialer: s.transports[i], Peers: fixedPeers{peers}, Table: table,
	})
	if err != nil {
		return err
	}
	if i == 0 {
		s.hub = mesh
	}
	listener, err := s.transports[i].ListenEarly(mesh.ServerTLS(), backbone.QUICConfig())
	if err != nil {
		return err
	}
	s.group.Go(func() error { return mesh.Run(ctx) })
	s.group.Go(func() error {
		for {
			conn, err := listener.Accept(ctx)
			if err != nil {
				return fmt.Errorf("accept: %w", err)
			}
			s.group.Go(func() error {
				_ = mesh.ServeConn(ctx, conn) // a link that ends is made again
				return nil
			})
		}
	})
	return nil
}

// awaitLinks returns when the hub has all its links.
func (s *star) awaitLinks(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("the links did not come up"))
	defer cancel()
	for {
		status, err := s.hub.Status(ctx)
		if err != nil {
			return err
		}
		if len(status.Links) == idleLinks {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d links: %w", len(status.Links), idleLinks, context.Cause(ctx))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (s *star) close() error {
	s.cancel(errMeasured)
	err := s.group.Wait()
	if errors.Is(err, errMeasured) || errors.Is(err, context.Canceled) {
		err = nil
	}
	for _, t := range s.transports {
		err = errors.Join(err, t.Close(), t.Conn.Close())
	}
	return err
}
