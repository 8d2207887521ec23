package sim

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"golang.org/x/sync/errgroup"

	"trellis/backbone"
	"trellis/edge/moq"
	"trellis/edge/rtc"
	"trellis/edge/whip"
	"trellis/internal/auth"
	"trellis/internal/ca"
	"trellis/internal/relay"
	"trellis/routing/discovery"
	"trellis/wire"
	"trellis/wire/peer"
)

// Ports of every simulated node.
const (
	quicPort   = 4443 // UDP: links and MoQ
	httpPort   = 4443 // TCP: WHIP and WHEP
	webRTCPort = 4444 // UDP
)

// Node is one node of a cluster: the parts of a real one, on sockets of the
// simulated network.
type Node struct {
	// ID is the node's id.
	ID string
	// Table is the node's relay, for looking at its counters.
	Table *relay.Table
	// Metrics holds the collectors of all its parts.
	Metrics *prometheus.Registry

	host    *Host
	log     *slog.Logger
	mesh    *backbone.Mesh
	moq     *moq.Server
	edge    *rtc.Edge
	doors   *whip.Handler
	quic    *quic.Transport
	signals net.Listener
}

// Door says where clients find the node.
func (n *Node) Door() Door {
	return Door{MoQ: n.host.AddrPort(quicPort), HTTP: n.host.AddrPort(httpPort)}
}

// Link returns what the node says of its link to a peer.
func (n *Node) Link(ctx context.Context, peer string) (backbone.LinkStatus, error) {
	status, err := n.mesh.Status(ctx)
	if err != nil {
		return backbone.LinkStatus{}, err
	}
	for _, l := range status.Links {
		if l.Peer == peer {
			return l, nil
		}
	}
	return backbone.LinkStatus{}, fmt.Errorf("%s has no link to %s", n.ID, peer)
}

// Drops returns what the node has given up so far, by counter and reason.
func (n *Node) Drops() (map[string]float64, error) {
	families, err := n.Metrics.Gather()
	if err != nil {
		return nil, err
	}
	drops := make(map[string]float64)
	for _, f := range families {
		if !strings.Contains(f.GetName(), "dropped") {
			continue
		}
		for _, m := range f.GetMetric() {
			if v := m.GetCounter().GetValue(); v > 0 {
				words := []string{f.GetName()}
				for _, label := range m.GetLabel() {
					words = append(words, label.GetValue())
				}
				drops[strings.Join(words, " ")] += v
			}
		}
	}
	return drops, nil
}

// everybody admits everybody: grants are not what is simulated here.
type everybody struct{}

func (everybody) Verify(token string, now time.Time) (auth.Grant, error) {
	all := []wire.Prefix{""}
	return auth.Grant{ID: "id-" + token, Publish: all, Subscribe: all, Expires: now.Add(24 * time.Hour)}, nil
}

// newNode opens the node's sockets and assembles its parts.
func newNode(c *Cluster, spec NodeSpec, credentials *ca.Credentials, peers discovery.Source) (*Node, error) {
	n := &Node{
		ID:      spec.ID,
		Metrics: prometheus.NewRegistry(),
		host:    c.Network.Host(spec.ID),
		log:     c.cfg.Log.With(slog.String("node", spec.ID)),
	}
	udp, err := n.host.ListenUDP(quicPort)
	if err != nil {
		return nil, err
	}
	n.quic = &quic.Transport{Conn: udp}
	if n.signals, err = n.host.Listen(httpPort); err != nil {
		return nil, err
	}
	webRTC, err := n.host.ListenUDP(webRTCPort)
	if err != nil {
		return nil, err
	}
	if n.Table, err = relay.NewTable(relay.Config{Metrics: n.Metrics}); err != nil {
		return nil, err
	}
	clock := func() time.Time { return time.Now().Add(spec.ClockOffset) }
	if n.mesh, err = backbone.New(backbone.Config{
		Credentials: ca.NewStore(credentials),
		Dialer:      n.quic,
		Peers:       peers,
		Table:       n.Table,
		Resolve:     resolveLiteral,
		WallClock:   clock,
		Log:         c.cfg.Log, // it says itself which node it is
		Metrics:     n.Metrics,
	}); err != nil {
		return nil, err
	}
	if n.moq, err = moq.New(moq.Config{
		Table: n.Table, Verifier: everybody{}, NodeID: n.ID, Clock: clock, Log: n.log, Metrics: n.Metrics,
	}); err != nil {
		return nil, err
	}
	if n.edge, err = rtc.New(rtc.Config{
		Table: n.Table, Origin: n.ID, UDP: webRTC, Net: n.host.Net(), Log: n.log, Metrics: n.Metrics,
	}); err != nil {
		return nil, err
	}
	n.doors, err = whip.New(whip.Config{Edge: n.edge, Verifier: everybody{}, Log: n.log, Metrics: n.Metrics})
	return n, err
}

// resolveLiteral is the resolver of a network without names.
func resolveLiteral(_ context.Context, address string) (net.Addr, error) {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	return net.UDPAddrFromAddrPort(ap), nil
}

// run serves until ctx ends, and returns when all of the node has ended.
func (n *Node) run(outer context.Context) error {
	listener, err := n.quic.ListenEarly(n.tlsConfig(), moq.QUICConfig(backbone.QUICConfig()))
	if err != nil {
		return err
	}
	server := &http.Server{Handler: n.doors, ReadHeaderTimeout: 10 * time.Second}
	g, ctx := errgroup.WithContext(outer)
	g.Go(func() error { return n.mesh.Run(ctx) })
	g.Go(func() error { return n.edge.Run(ctx) })
	g.Go(func() error { return n.sweep(ctx) })
	g.Go(func() error { return n.accept(ctx, listener) })
	g.Go(func() error { return server.Serve(n.signals) })
	g.Go(func() error {
		<-ctx.Done()
		return server.Close()
	})
	err = g.Wait()
	_ = listener.Close() // ended with its connections
	if outer.Err() != nil {
		err = nil // it only says, in one way or another, that the time is over
	}
	return errors.Join(err, n.quic.Close(), n.quic.Conn.Close())
}

// tlsConfig chooses by protocol: peers prove who they are, browsers need not.
func (n *Node) tlsConfig() *tls.Config {
	browsers := ca.NewEphemeral(n.host.Addr().String())
	peers := n.mesh.ServerTLS()
	h3 := http3.ConfigureTLSConfig(&tls.Config{GetCertificate: browsers.GetCertificate, MinVersion: tls.VersionTLS13})
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			if slices.Contains(hello.SupportedProtos, peer.ALPN) {
				return peers, nil
			}
			return h3, nil
		},
	}
}

func (n *Node) accept(ctx context.Context, l *quic.EarlyListener) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		for {
			conn, err := l.Accept(ctx)
			if err != nil {
				return fmt.Errorf("accept: %w", err)
			}
			g.Go(func() error {
				n.serve(ctx, conn)
				return nil
			})
		}
	})
	return g.Wait()
}

// serve hands a connection to the part that speaks its protocol. Its end is no
// end of the node's.
func (n *Node) serve(ctx context.Context, conn *quic.Conn) {
	select {
	case <-conn.HandshakeComplete():
	case <-conn.Context().Done():
		return
	}
	var err error
	if conn.ConnectionState().TLS.NegotiatedProtocol == peer.ALPN {
		err = n.mesh.ServeConn(ctx, conn)
	} else {
		err = n.moq.ServeConn(ctx, conn)
	}
	if err != nil {
		n.log.Debug("connection ended", slog.Any("err", err))
	}
}

func (n *Node) sweep(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			n.Table.Sweep(now)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
