package client

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/pion/transport/v4"
	"github.com/quic-go/quic-go"

	"trellis/edge/moq/moqclient"
	"trellis/edge/whip/whipclient"
)

// Connection says where to connect, and as whom.
type Connection struct {
	Target Target
	// Token authorizes; empty means the target's own.
	Token string
	// CertHash accepts exactly the certificate with this SHA-256.
	CertHash []byte
	// Insecure accepts every certificate.
	Insecure bool
	// Timeout bounds connecting, and waiting for a broadcast that is not there yet.
	// Zero means 10 s.
	Timeout time.Duration
	// Log may be nil.
	Log *slog.Logger

	// HTTP, Net and DialQUIC replace the host's network, for simulations.
	HTTP     *http.Client
	Net      transport.Net
	DialQUIC func(ctx context.Context, addr string, tlsConf *tls.Config, conf *quic.Config) (*quic.Conn, error)
}

const defaultTimeout = 10 * time.Second

func (c Connection) withDefaults() Connection {
	if c.Timeout <= 0 {
		c.Timeout = defaultTimeout
	}
	if c.Token == "" {
		c.Token = c.Target.Token
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// whip returns the settings of a WHIP or WHEP client.
func (c Connection) whip() whipclient.Config {
	cfg := whipclient.Config{
		URL: c.Target.Endpoint, Token: c.Token, HTTP: c.HTTP, Log: c.Log, Net: c.Net, ConnectTimeout: c.Timeout,
	}
	if cfg.HTTP == nil && (c.Insecure || len(c.CertHash) > 0) {
		cfg.HTTP = &http.Client{Timeout: c.Timeout, Transport: &http.Transport{TLSClientConfig: c.tls()}}
	}
	return cfg
}

// moq returns the settings of a MoQ client.
func (c Connection) moq() moqclient.Config {
	endpoint := c.Target.Endpoint
	if c.Token != "" {
		endpoint += "?" + url.Values{"jwt": {c.Token}}.Encode()
	}
	return moqclient.Config{URL: endpoint, CertHash: c.CertHash, Insecure: c.Insecure, DialQUIC: c.DialQUIC, Log: c.Log}
}

var errCertHash = errors.New("the server's certificate is not the one expected")

// tls accepts what the operator said to accept.
func (c Connection) tls() *tls.Config {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true}
	if len(c.CertHash) > 0 {
		conf.VerifyPeerCertificate = func(raw [][]byte, _ [][]*x509.Certificate) error {
			if len(raw) == 0 {
				return errCertHash
			}
			if sum := sha256.Sum256(raw[0]); subtle.ConstantTimeCompare(sum[:], c.CertHash) != 1 {
				return errCertHash
			}
			return nil
		}
	}
	return conf
}
