package node

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"trellis/backbone"
	"trellis/edge/moq"
	"trellis/internal/ca"
)

// port is the one UDP port on which browsers and other nodes meet us.
type port struct {
	log       *slog.Logger
	transport *quic.Transport
	listener  *quic.EarlyListener
	gate      *gate
	mesh      *backbone.Mesh // nil if the node stands alone; set before serve
	moq       *moq.Server

	// links are the connections of other nodes, whose windows may grow.
	links sync.Map // *quic.Conn to struct{}
	conns sync.WaitGroup
}

// newPort makes the transport, with which the mesh dials. It does not listen yet.
func newPort(cfg Config) (*port, error) {
	p := &port{log: cfg.Log, gate: &gate{limit: int64(cfg.Limits.HalfOpen)}}
	p.transport = &quic.Transport{
		Conn:                cfg.Sockets.QUIC,
		ConnContext:         p.gate.connContext,
		VerifySourceAddress: p.gate.verifySourceAddress,
	}
	reset, token, err := transportKeys(cfg.Credentials)
	if err != nil {
		return nil, err
	}
	p.transport.StatelessResetKey, p.transport.TokenGeneratorKey = reset, token
	return p, nil
}

// transportKeys outlive a restart where the node has credentials: peers of a
// crashed node then learn within a round trip that their connections are gone,
// and not by silence.
func transportKeys(store *ca.Store) (*quic.StatelessResetKey, *quic.TokenGeneratorKey, error) {
	var reset quic.StatelessResetKey
	var token quic.TokenGeneratorKey
	if store == nil {
		rand.Read(reset[:]) // never fails: crypto/rand
		rand.Read(token[:])
		return &reset, &token, nil
	}
	c := store.Get()
	for label, key := range map[string]*[32]byte{
		"quic stateless reset": (*[32]byte)(&reset), "quic address token": (*[32]byte)(&token),
	} {
		secret, err := c.DeriveSecret(label)
		if err != nil {
			return nil, nil, err
		}
		*key = secret
	}
	return &reset, &token, nil
}

const (
	handshakeTimeout = 5 * time.Second
	// A client that nobody reads from can make us hold this much, and no more:
	// 1.5 MiB carries 40 Mbit/s over 300 ms.
	clientStreamWindow = 1 << 20
	clientConnWindow   = 3 << 19
	// Links grow to 250 Mbit/s over half a second.
	linkStreamWindow = 16 << 20
	linkConnWindow   = 32 << 20
)

// quicConfig serves browsers and nodes alike, since the protocol is not known
// before the handshake: limits are those of whoever needs more, and windows grow
// for nodes alone.
func (p *port) quicConfig() *quic.Config {
	links := backbone.QUICConfig()
	conf := moq.QUICConfig(nil)
	conf.HandshakeIdleTimeout = handshakeTimeout
	conf.MaxIncomingStreams = max(conf.MaxIncomingStreams, links.MaxIncomingStreams)
	conf.MaxIncomingUniStreams = max(conf.MaxIncomingUniStreams, links.MaxIncomingUniStreams)
	conf.InitialStreamReceiveWindow = clientStreamWindow
	conf.InitialConnectionReceiveWindow = clientConnWindow
	conf.MaxStreamReceiveWindow = linkStreamWindow
	conf.MaxConnectionReceiveWindow = linkConnWindow
	conf.AllowConnectionWindowIncrease = func(conn *quic.Conn, _ uint64) bool {
		_, ok := p.links.Load(conn)
		return ok
	}
	return conf
}

// listen opens the port for connections. What browsers are shown comes from
// certs; nodes are shown, and must show, certificates of the cluster.
func (p *port) listen(certs Certificates) error {
	browsers := &tls.Config{
		MinVersion:     tls.VersionTLS13,
		NextProtos:     []string{http3.NextProtoH3},
		GetCertificate: certs.GetCertificate,
	}
	var nodes *tls.Config
	if p.mesh != nil {
		nodes = p.mesh.ServerTLS()
	}
	l, err := p.transport.ListenEarly(&tls.Config{
		MinVersion: tls.VersionTLS13,
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			if !slices.Contains(hello.SupportedProtos, ca.ALPN) {
				return browsers, nil
			}
			if nodes == nil {
				return nil, errors.New("this node is no part of a backbone")
			}
			// crypto/tls asks one configuration only, so ask its own question here.
			if nodes.GetConfigForClient != nil {
				return nodes.GetConfigForClient(hello)
			}
			return nodes, nil
		},
	}, p.quicConfig())
	if err != nil {
		return fmt.Errorf("listen for QUIC: %w", err)
	}
	p.listener = l
	return nil
}

// serve accepts connections until ctx ends, then waits for those that it served.
func (p *port) serve(ctx context.Context) error {
	defer p.conns.Wait()
	for {
		// quic-go queues 32 connections and refuses the rest: nothing else is
		// done here.
		conn, err := p.listener.Accept(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			return fmt.Errorf("accept QUIC connections: %w", err)
		}
		p.conns.Go(func() { p.serveConn(ctx, conn) })
	}
}

func (p *port) serveConn(ctx context.Context, conn *quic.Conn) {
	select {
	case <-conn.HandshakeComplete():
		p.gate.passed(conn)
	case <-conn.Context().Done():
		return
	}
	var err error
	switch proto := conn.ConnectionState().TLS.NegotiatedProtocol; {
	case proto == ca.ALPN && p.mesh != nil:
		p.links.Store(conn, struct{}{})
		defer p.links.Delete(conn)
		err = p.mesh.ServeConn(ctx, conn)
	case proto == http3.NextProtoH3:
		err = p.moq.ServeConn(ctx, conn)
	default:
		err = conn.CloseWithError(0, "no such protocol")
	}
	if err != nil && ctx.Err() == nil {
		p.log.Debug("connection ended", slog.String("remote", conn.RemoteAddr().String()), slog.Any("err", err))
	}
}

// close ends the transport, and with it every connection that is left. The
// socket is closed with it.
func (p *port) close() error {
	var errs []error
	if p.listener != nil {
		errs = append(errs, p.listener.Close())
	}
	errs = append(errs, p.transport.Close(), p.transport.Conn.Close())
	return errors.Join(errs...)
}
