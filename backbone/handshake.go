package backbone

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/quicvarint"

	"trellis/internal/ca"
	"trellis/routing/discovery"
	"trellis/wire"
	"trellis/wire/peer"
)

// helloTimeout is docs/wire.md, section 3.
const helloTimeout = 5 * time.Second

// ServerTLS returns the TLS configuration for connections from other nodes. A
// node that shares its port with HTTP/3 calls its GetConfigForClient from its own
// when the client offers peer.ALPN: crypto/tls asks only the outermost. Refused
// peers are logged here, since a handshake that fails never becomes a connection.
func (m *Mesh) ServerTLS() *tls.Config {
	base := ca.ServerTLS(m.cfg.Credentials, m.known)
	conf := base.Clone()
	conf.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		c := base.Clone()
		c.VerifyConnection = func(cs tls.ConnectionState) error {
			err := base.VerifyConnection(cs)
			if err != nil {
				m.refused(hello.Conn.RemoteAddr(), "", err)
			}
			return err
		}
		return c, nil
	}
	return conf
}

// known decides whether a node with a good certificate may link with us.
func (m *Mesh) known(id ca.Identity) error {
	n, ok := m.nodes.Load().Find(id.Node)
	switch {
	case id.Node == m.self.Node:
		return nil // told apart by its boot, in HELLO
	case !ok:
		return errors.New("not among the nodes that discovery knows")
	case n.Region != id.Region:
		return fmt.Errorf("discovery knows it in region %q", n.Region)
	}
	return nil
}

func (m *Mesh) refused(addr net.Addr, dialled string, err error) {
	m.metrics.refused.Inc()
	attrs := []any{slog.String("addr", addr.String()), slog.Any("err", err)}
	if dialled != "" {
		attrs = append(attrs, slog.String("peer", dialled))
	}
	var ce *CodeError
	if errors.As(err, &ce) && ce.Remote {
		m.log.Warn("link refused by peer", attrs...)
		return
	}
	m.log.Warn("link refused", attrs...)
}

// explain turns the errors of quic-go into what the peer meant by them.
func explain(err error) error {
	if pe, ok := errors.AsType[*ca.PeerError](err); ok {
		return pe // without QUIC's words around it
	}
	var te *quic.TransportError
	if errors.As(err, &te) && te.Remote && te.ErrorCode.IsCryptoError() {
		reason := ca.ExplainAlert(uint8(te.ErrorCode))
		if reason == "" {
			reason = tls.AlertError(uint8(te.ErrorCode)).Error()
		}
		return &CodeError{Code: wire.CodeUnauthorized, Reason: reason, Remote: true}
	}
	return asCodeError(err)
}

// ServeConn serves a connection that another node opened, of ALPN peer.ALPN and
// with ServerTLS. It returns when the connection has ended. The link's end is
// logged here; the error is for callers that care.
func (m *Mesh) ServeConn(ctx context.Context, conn *quic.Conn) error {
	hello, id, control, err := m.accept(ctx, conn)
	if err != nil {
		err = explain(err)
		code, reason := closeReason(err)
		_ = conn.CloseWithError(quic.ApplicationErrorCode(code), reason) // it ends either way
		m.refused(conn.RemoteAddr(), hello.Node, err)
		return fmt.Errorf("link from %s: %w", conn.RemoteAddr(), err)
	}
	if hello.Lane != laneMain {
		return m.serveLane(ctx, conn, control, hello)
	}
	node, _ := m.nodes.Load().Find(hello.Node)
	return m.serveLink(ctx, newLink(m, conn, control, hello, id.notAfter, node, false))
}

// greeting is who a peer is by its certificate.
type greeting struct {
	ca.Identity
	notAfter time.Time
}

func (m *Mesh) accept(ctx context.Context, conn *quic.Conn) (peer.Hello, greeting, *controlStream, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, helloTimeout, refusal(wire.CodeTimeout, "no hello within %v", helloTimeout))
	defer cancel()
	select {
	case <-conn.HandshakeComplete():
	case <-conn.Context().Done():
		return peer.Hello{}, greeting{}, nil, context.Cause(conn.Context()) //nolint:contextcheck // why the connection ended
	case <-ctx.Done():
		return peer.Hello{}, greeting{}, nil, context.Cause(ctx)
	}
	id, err := identify(conn)
	if err != nil {
		return peer.Hello{}, greeting{}, nil, err
	}
	s, err := conn.AcceptStream(ctx)
	if err != nil {
		return peer.Hello{}, greeting{}, nil, errors.Join(err, context.Cause(ctx))
	}
	control := newControlStream(s)
	hello, err := m.readHello(ctx, control, id)
	return hello, id, control, err
}

func identify(conn *quic.Conn) (greeting, error) {
	id, notAfter, err := ca.PeerIdentity(conn.ConnectionState().TLS)
	if err != nil {
		return greeting{}, refusal(wire.CodeUnauthorized, "%v", err)
	}
	return greeting{Identity: id, notAfter: notAfter}, nil
}

// readHello reads the first message and holds it against the certificate.
func (m *Mesh) readHello(ctx context.Context, control *controlStream, id greeting) (peer.Hello, error) {
	if deadline, ok := ctx.Deadline(); ok {
		if err := control.SetReadDeadline(deadline); err != nil {
			return peer.Hello{}, err
		}
	}
	t, body, err := control.read()
	switch {
	case err != nil && ctx.Err() != nil:
		return peer.Hello{}, context.Cause(ctx)
	case err != nil:
		return peer.Hello{}, err
	case t != peer.TypeHello:
		return peer.Hello{}, refusal(wire.CodeProtocol, "%s before hello", t)
	}
	if err := control.SetReadDeadline(time.Time{}); err != nil {
		return peer.Hello{}, err
	}
	h, err := peer.ParseHello(body)
	switch said := (ca.Identity{Cluster: h.Cluster, Region: h.Region, Node: h.Node}); {
	case err != nil:
		return peer.Hello{}, refusal(peer.CodeOf(err), "%v", err)
	case said != id.Identity:
		return h, refusal(wire.CodeUnauthorized, "hello of %s with the certificate of %s", said, id.Identity)
	case h.Node == m.self.Node && h.Boot == m.boot:
		return h, refusal(wire.CodeLoop, "%s dialled itself", h.Node)
	case h.Node == m.self.Node:
		return h, refusal(wire.CodeDuplicate, "two processes are node %s: booted at %s and %s", h.Node, bootTime(h.Boot), bootTime(m.boot))
	case h.Lane >= uint64(m.cfg.MaxLanes):
		return h, refusal(wire.CodeUnsupported, "lane %d", h.Lane)
	}
	return h, nil
}

func bootTime(us uint64) string { return time.UnixMicro(int64(us)).UTC().Format(time.RFC3339Nano) }

func (m *Mesh) hello(lane uint64) peer.Hello {
	return peer.Hello{
		Revision: peer.Revision, Node: m.self.Node, Cluster: m.self.Cluster, Region: m.self.Region,
		Provider: m.cfg.Provider, Boot: m.boot, Capabilities: peer.CapRelay, Lane: lane,
	}
}

// dialLane connects to node and exchanges HELLO.
func (m *Mesh) dialLane(ctx context.Context, node discovery.Node, lane uint64) (*quic.Conn, *controlStream, peer.Hello, greeting, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 2*helloTimeout, refusal(wire.CodeTimeout, "no hello within %v", 2*helloTimeout))
	defer cancel()
	addr, err := m.cfg.Resolve(ctx, node.Addr)
	if err != nil {
		return nil, nil, peer.Hello{}, greeting{}, err
	}
	want := ca.Identity{Cluster: m.self.Cluster, Region: node.Region, Node: node.ID}
	conn, err := m.cfg.Dialer.Dial(ctx, addr, ca.ClientTLS(m.cfg.Credentials, want), QUICConfig())
	if err != nil {
		return nil, nil, peer.Hello{}, greeting{}, explain(err)
	}
	control, hello, id, err := m.greet(ctx, conn, lane)
	if err != nil {
		err = explain(err)
		code, reason := closeReason(err)
		_ = conn.CloseWithError(quic.ApplicationErrorCode(code), reason) // it ends either way
		return nil, nil, peer.Hello{}, greeting{}, err
	}
	return conn, control, hello, id, nil
}

func (m *Mesh) greet(ctx context.Context, conn *quic.Conn, lane uint64) (*controlStream, peer.Hello, greeting, error) {
	id, err := identify(conn)
	if err != nil {
		return nil, peer.Hello{}, greeting{}, err
	}
	s, err := conn.OpenStreamSync(ctx)
	if err != nil {
		return nil, peer.Hello{}, greeting{}, err
	}
	control := newControlStream(s)
	if _, err := control.Write(peer.AppendMessage(nil, m.hello(lane))); err != nil {
		return nil, peer.Hello{}, greeting{}, err
	}
	hello, err := m.readHello(ctx, control, id)
	if err == nil && hello.Lane != lane {
		err = refusal(wire.CodeProtocol, "hello for lane %d on lane %d", hello.Lane, lane)
	}
	return control, hello, id, err
}

// controlStream reads the messages of a control stream.
type controlStream struct {
	*quic.Stream
	r *bufio.Reader
}

func newControlStream(s *quic.Stream) *controlStream {
	s.SetPriority(urgencyControl, false)
	return &controlStream{Stream: s, r: bufio.NewReaderSize(s, 4<<10)}
}

// read returns the next message. The body is the caller's. It is allocated as
// its bytes come, not as its length claims.
func (c *controlStream) read() (peer.Type, []byte, error) {
	t, err := quicvarint.Read(c.r)
	if err != nil {
		return 0, nil, err
	}
	n, err := quicvarint.Read(c.r)
	if err != nil {
		return 0, nil, err
	}
	if n > peer.MaxMessageBytes {
		return 0, nil, refusal(wire.CodeBounds, "%s of %d bytes, at most %d", peer.Type(t), n, peer.MaxMessageBytes)
	}
	const step = 8 << 10
	body := make([]byte, 0, min(n, step))
	for uint64(len(body)) < n {
		have := len(body)
		body = append(body, make([]byte, min(n-uint64(have), step))...)
		if _, err := io.ReadFull(c.r, body[have:]); err != nil {
			return 0, nil, err
		}
	}
	return peer.Type(t), body, nil
}
