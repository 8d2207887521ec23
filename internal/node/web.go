package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"trellis/edge/livekit"
	"trellis/edge/moq"
	"trellis/edge/whip"
)

// Limits of the HTTP listeners. An offer of WebRTC is read within the time for a
// request; its answer needs none of the network's.
const (
	headerTimeout  = 5 * time.Second
	requestTimeout = 15 * time.Second
	idleTimeout    = time.Minute
	maxHeaderBytes = 24 << 10 // a token has up to 8 KiB, LiveKit's join_request beside it up to 4
)

// webHandler is what browsers reach over HTTP.
func (n *Node) webHandler() http.Handler {
	mux := http.NewServeMux()
	for _, prefix := range []string{whip.WHIPPrefix, whip.WHEPPrefix, whip.SessionPrefix} {
		mux.Handle(prefix, n.whip)
	}
	if n.livekit != nil {
		for _, path := range livekit.Paths() {
			mux.Handle(path, n.livekit)
		}
	}
	mux.HandleFunc("GET /v1/edges", n.publicEdges)
	mux.HandleFunc("OPTIONS /v1/edges", n.publicEdges)
	mux.Handle("/certificate.sha256", moq.CertificateHandler(n.leaf))
	return mux
}

// leaf returns the certificate that browsers are shown, in DER.
func (n *Node) leaf() []byte {
	cert, err := n.cfg.Certificates.GetCertificate(nil)
	if err != nil {
		n.log.Error("no certificate for browsers", slog.Any("err", err))
		return nil
	}
	return cert.Certificate[0]
}

// ServeHTTP serves h on l in the clear until ctx ends, with the limits of a
// node's own listeners.
func ServeHTTP(ctx context.Context, l net.Listener, h http.Handler, log *slog.Logger) error {
	return serveHTTP(ctx, l, h, nil, log)
}

// serveHTTP serves h on l until ctx ends. Requests under way may then finish
// within a moment; TLS is added if conf is not nil.
func serveHTTP(ctx context.Context, l net.Listener, h http.Handler, conf *tls.Config, log *slog.Logger) error {
	s := &http.Server{
		Handler:           h,
		TLSConfig:         conf,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      requestTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		// Clients that hang up or speak nonsense are theirs to mend.
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if err := s.Shutdown(grace); err != nil {
			stopped <- s.Close()
			return
		}
		stopped <- nil
	})
	defer stop()
	var err error
	if conf == nil {
		err = s.Serve(l)
	} else {
		err = s.ServeTLS(l, "", "")
	}
	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP on %s: %w", l.Addr(), err)
	}
	return errors.Join(context.Cause(ctx), <-stopped)
}
