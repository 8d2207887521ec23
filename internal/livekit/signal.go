package livekit

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// protocol is the version of the signalling that a viewer announces.
const protocol = 16

// maxMessage bounds what the server may send at once: an update names everybody in
// a room.
const maxMessage = 4 << 20

// Signal is a viewer's signalling connection, with one connection for each
// direction of media ("/rtc"). One goroutine reads; any may write.
type Signal struct {
	// Join is what the server said first.
	Join Join

	ws *websocket.Conn
}

// Dial joins a room as the token says. The server offers the tracks that are
// published there.
func Dial(ctx context.Context, base, token string) (*Signal, error) {
	q := url.Values{"auto_subscribe": {"1"}, "adaptive_stream": {"0"}, "protocol": {strconv.Itoa(protocol)}, "sdk": {"go"}, "version": {"2.0.0"}}
	target := "ws" + strings.TrimPrefix(base, "http") + "/rtc?" + q.Encode()
	ws, res, err := websocket.Dial(ctx, target, &websocket.DialOptions{ //nolint:bodyclose // the library says not to
		HTTPHeader: http.Header{"Authorization": {"Bearer " + token}},
	})
	if err != nil {
		if res != nil {
			return nil, fmt.Errorf("join at %s: %s: %w", base, res.Status, err)
		}
		return nil, fmt.Errorf("join at %s: %w", base, err)
	}
	ws.SetReadLimit(maxMessage)
	s := &Signal{ws: ws}
	first, err := s.Read(ctx)
	if err == nil && first.Join == nil {
		err = fmt.Errorf("the server's first message is no join")
	}
	if err != nil {
		_ = ws.CloseNow()
		return nil, fmt.Errorf("join at %s: %w", base, err)
	}
	s.Join = *first.Join
	return s, nil
}

// Read waits for the next message. Any error ends the connection.
func (s *Signal) Read(ctx context.Context) (Response, error) {
	_, b, err := s.ws.Read(ctx)
	if err != nil {
		return Response{}, err
	}
	r, err := ParseResponse(b)
	if err != nil {
		return r, fmt.Errorf("message of %d bytes: %w", len(b), err)
	}
	return r, nil
}

// Write sends a message.
func (s *Signal) Write(ctx context.Context, r Request) error {
	return s.ws.Write(ctx, websocket.MessageBinary, r.Append(nil))
}

// Ping tells the server that the viewer is there, as clients do each
// Join.PingInterval seconds.
func (s *Signal) Ping(ctx context.Context, now time.Time) error {
	return s.Write(ctx, Request{Ping: now.UnixMilli()})
}

// Close leaves the room.
func (s *Signal) Close(ctx context.Context) error {
	if err := s.Write(ctx, Request{Leave: true}); err != nil {
		return s.ws.CloseNow()
	}
	return s.ws.Close(websocket.StatusNormalClosure, "")
}
