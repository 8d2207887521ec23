package moqclient

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/quic-go/webtransport-go"

	"trellis/wire"
	"trellis/wire/moqlite"
)

// Dial connects and agrees on a version. ctx bounds the dialling only; the
// session lives until Close or until the connection ends.
func Dial(ctx context.Context, cfg Config) (*Session, error) {
	cfg, u, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if u.Scheme == "http" {
		if cfg.CertHash, err = fetchCertHash(ctx, u); err != nil {
			return nil, fmt.Errorf("certificate hash of %s: %w", u.Host, err)
		}
		cfg.TLS = cfg.tlsConfig(u.Hostname())
		u.Scheme = "https"
	}
	protocols := make([]string, 0, len(cfg.Versions))
	for _, v := range cfg.Versions {
		protocols = append(protocols, v.String())
	}
	transport := &webtransport.Transport{
		TLSClientConfig:      cfg.TLS,
		QUICConfig:           cfg.QUIC,
		ApplicationProtocols: protocols,
		DialAddr:             cfg.DialQUIC,
	}
	response, wt, err := transport.Dial(ctx, u.String(), nil) //nolint:bodyclose // the session is on its stream
	if err != nil {
		if response != nil {
			// The body says in words what the status says in a number.
			body, _ := io.ReadAll(io.LimitReader(response.Body, 1000)) // what arrived is good enough
			return nil, fmt.Errorf("dial %s: %w: %s", u.Host, err, strings.TrimSpace(string(body)))
		}
		return nil, fmt.Errorf("dial %s: %w", u.Host, err)
	}
	version, ok := moqlite.ParseVersion(wt.SessionState().ApplicationProtocol)
	if !ok {
		err := closeSession(wt, wire.CodeVersion, "no version in common")
		return nil, errors.Join(fmt.Errorf("dial %s: no version in common", u.Host), err)
	}
	return newSession(cfg, wt, version), nil //nolint:contextcheck // it outlives the dialling
}

// maxHashBytes is a SHA-256 in hex and an end of line.
const maxHashBytes = 66

// fetchCertHash asks the node, over plain HTTP, which certificate to expect.
func fetchCertHash(ctx context.Context, u *url.URL) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+u.Host+"/certificate.sha256", nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }() // read to its end or of no more use
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", response.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxHashBytes))
	if err != nil {
		return nil, err
	}
	return hex.DecodeString(strings.TrimSpace(string(text)))
}

// closeSession ends a WebTransport session.
func closeSession(wt *webtransport.Session, code wire.Code, reason string) error {
	return wt.CloseWithError(webtransport.SessionErrorCode(code), reason)
}

// streamCode is what a stream is reset with.
func streamCode(code wire.Code) webtransport.StreamErrorCode {
	return webtransport.StreamErrorCode(code)
}

// CodeOf returns the code with which the peer, or this side, ended a stream or
// a session. It reports false for errors that carry none.
func CodeOf(err error) (wire.Code, bool) {
	if stream, ok := errors.AsType[*webtransport.StreamError](err); ok {
		return wire.Code(stream.ErrorCode), true
	}
	if session, ok := errors.AsType[*webtransport.SessionError](err); ok {
		return wire.Code(session.ErrorCode), true
	}
	if protocol, ok := errors.AsType[*moqlite.ProtocolError](err); ok {
		return protocol.Code, true
	}
	return 0, false
}
