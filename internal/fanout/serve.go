package fanout

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"

	"github.com/quic-go/quic-go"

	"trellis/internal/livekit"
)

// Commands of the processes that take part.
const (
	ServerCommand = "fanout-server" // SERVER DIRECTORY-OF-LIVEKIT LOAD
	LoadCommand   = "fanout-load"   // SERVER BASE-URL LOAD
)

// The servers: this repository's node, and what it is compared with.
const (
	Ours      = "ours"
	PlainPion = "plain-pion"
	LiveKit   = "livekit"
	// LiveKitSendSide is LiveKit with an estimator of bandwidths that its defaults
	// leave off. It is no peer here: on loopback there is nothing to estimate.
	LiveKitSendSide = "livekit-sendside"
)

// Peers lists what may be compared with.
func Peers() []string { return []string{PlainPion, LiveKit, QUICBulk, QUICFrames} }

// PeersOf lists what viewers of a kind may be compared with.
func PeersOf(k Kind) []string {
	switch k {
	case MoQ:
		return []string{QUICBulk, QUICFrames}
	case Mixed:
		return nil
	case WebRTC:
	}
	return []string{PlainPion, LiveKit}
}

// Check says whether a peer is one of the known, and whether it is installed.
func Check(peer string, known []string, livekitDir string) error {
	if !slices.Contains(known, peer) {
		return fmt.Errorf("no peer %q: there are %v", peer, known)
	}
	if peer == LiveKit || peer == LiveKitSendSide {
		_, err := livekit.Find(livekitDir)
		return err
	}
	return nil
}

// Served is what a server says of itself, once it serves.
type Served struct {
	// URL is its base.
	URL string `json:"url"`
	// PID is of the process that does the work.
	PID int `json:"pid"`
	// Media is where its UDP packets come from.
	Media netip.AddrPort `json:"media"`
	// MoQ is where viewers over WebTransport go; empty for nowhere.
	MoQ string `json:"moq,omitempty"`
	// Admin is the URL of its admin API, empty where it serves none.
	Admin string `json:"admin,omitempty"`
}

// RunServer is the process of a server. It prints Served as a line of JSON, obeys
// the lines that it reads, and ends with its standard input.
func RunServer(ctx context.Context, name, livekitDir string, l Load, in io.Reader, out io.Writer) error {
	livekitServer := func(cfg livekit.Config) func(context.Context, func(Served)) error {
		return func(ctx context.Context, ready func(Served)) error { return serveLiveKit(ctx, livekitDir, cfg, ready) }
	}
	quicServer := func(serve func(context.Context, *quic.Conn) error) func(context.Context, func(Served)) error {
		return func(ctx context.Context, ready func(Served)) error { return serveQUIC(ctx, serve, ready) }
	}
	serve := map[string]func(context.Context, func(Served)) error{
		Ours: serveOurs, PlainPion: servePlain,
		QUICBulk: quicServer(bulk), QUICFrames: quicServer(frames(l)),
		LiveKit: livekitServer(livekit.Config{}), LiveKitSendSide: livekitServer(livekit.Config{SendSide: true}),
	}[name]
	if serve == nil {
		return fmt.Errorf("no server %q: there are %s and %v", name, Ours, Peers())
	}
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		obey(in, out)
		cancel(errOver)
	}()
	err := serve(ctx, func(s Served) { _ = json.NewEncoder(out).Encode(s) }) // whoever reads it is gone, then
	if errors.Is(err, errOver) {
		return nil
	}
	return err
}

// ReadServed reads what RunServer prints.
func ReadServed(r *bufio.Reader) (s Served, err error) {
	line, err := r.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &s)
	}
	if err != nil {
		return s, fmt.Errorf("the server did not start: %w", err)
	}
	return s, nil
}
