package node

import (
	"context"
	"net"
	"sync"
	"sync/atomic"

	"github.com/quic-go/quic-go"
)

// gate counts the QUIC handshakes that have begun and not finished. From a limit
// on it makes clients prove their address first (RFC 9000, Section 8.1.2): a
// flood of invented senders then costs next to nothing, and honest clients one
// round trip.
type gate struct {
	limit    int64
	halfOpen atomic.Int64
}

// handshake is one that has begun. It leaves the count once, by whichever comes
// first: its completion or its end.
type handshake struct {
	g    *gate
	once sync.Once
}

type handshakeKey struct{}

// connContext is called for each connection that begins. Its context ends with
// the connection, also if the handshake fails.
func (g *gate) connContext(ctx context.Context, _ *quic.ClientInfo) (context.Context, error) {
	h := &handshake{g: g}
	g.halfOpen.Add(1)
	context.AfterFunc(ctx, h.over)
	return context.WithValue(ctx, handshakeKey{}, h), nil
}

func (h *handshake) over() { h.once.Do(func() { h.g.halfOpen.Add(-1) }) }

// passed takes conn, whose handshake is complete, out of the count.
func (g *gate) passed(conn *quic.Conn) {
	if h, ok := conn.Context().Value(handshakeKey{}).(*handshake); ok {
		h.over()
	}
}

// verifySourceAddress reports whether a new client must answer a Retry.
func (g *gate) verifySourceAddress(net.Addr) bool { return g.halfOpen.Load() >= g.limit }
