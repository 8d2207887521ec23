package moqclient

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"slices"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"trellis/wire/moqlite"
)

// Config says where and how to connect. Only URL is required.
type Config struct {
	// URL is the address of the node: https://host:port/path?jwt=token. With
	// http:// the certificate's hash is fetched first, in the clear, from
	// http://host:port/certificate.sha256: for development only.
	URL string
	// TLS holds what to trust; nil means the roots of the system. It is cloned.
	TLS *tls.Config
	// CertHash accepts, instead of what TLS trusts, exactly the certificate with
	// this SHA-256, as browsers do with serverCertificateHashes.
	CertHash []byte
	// Insecure accepts every certificate. For tests and development.
	Insecure bool
	// Versions are offered in this order, of which the server takes the first
	// that it speaks. Default: 05, 04, 03.
	Versions []moqlite.Version
	// HopID is sent as our own hop id; below 2^53. Zero: a random one.
	HopID uint64
	// QUIC configures the connection; nil means 10 s idle timeout, 3 s
	// keep-alive and 1024 incoming streams of each kind.
	QUIC *quic.Config
	// DialQUIC opens the connection; nil means a UDP socket of its own.
	DialQUIC func(ctx context.Context, addr string, tlsConf *tls.Config, conf *quic.Config) (*quic.Conn, error)
	// MaxFrameBytes bounds a frame that is received. Default 16 MiB.
	MaxFrameBytes uint64
	// Log hears about refused streams at debug level; nil: nobody does.
	Log *slog.Logger
}

const (
	defaultMaxFrame   = 16 << 20
	defaultIdle       = 10 * time.Second
	defaultKeepAlive  = 3 * time.Second
	defaultMaxStreams = 1024
)

// hopIDBits keeps hop ids exact in a JavaScript number.
const hopIDBits = 53

func (c Config) withDefaults() (Config, *url.URL, error) {
	u, err := url.Parse(c.URL)
	if err != nil {
		// The parser's error would repeat the URL, and with it the token.
		return c, nil, errors.New("moqclient.Config.URL is not a URL")
	}
	if u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return c, nil, fmt.Errorf("moqclient.Config.URL: scheme %q and host %q, want https://host:port", u.Scheme, u.Host)
	}
	if u.Port() == "" {
		u.Host += ":443"
	}
	if u.Path == "" {
		u.Path = "/"
	}
	if len(c.CertHash) != 0 && len(c.CertHash) != sha256.Size {
		return c, nil, fmt.Errorf("moqclient.Config.CertHash has %d bytes, want %d", len(c.CertHash), sha256.Size)
	}
	if len(c.Versions) == 0 {
		c.Versions = moqlite.Versions()
	}
	if i := slices.IndexFunc(c.Versions, func(v moqlite.Version) bool { return !v.Valid() }); i >= 0 {
		return c, nil, fmt.Errorf("moqclient.Config.Versions: %d is not spoken here", c.Versions[i])
	}
	if c.HopID >= 1<<hopIDBits {
		return c, nil, fmt.Errorf("moqclient.Config.HopID is %d, must be below 2^%d", c.HopID, hopIDBits)
	}
	for c.HopID == 0 {
		c.HopID = rand.Uint64N(1 << hopIDBits)
	}
	if c.QUIC == nil {
		c.QUIC = &quic.Config{
			MaxIdleTimeout:        defaultIdle,
			KeepAlivePeriod:       defaultKeepAlive,
			MaxIncomingStreams:    defaultMaxStreams,
			MaxIncomingUniStreams: defaultMaxStreams,
		}
	}
	c.QUIC = c.QUIC.Clone()
	c.QUIC.EnableDatagrams = true
	c.QUIC.EnableStreamResetPartialDelivery = true
	if c.MaxFrameBytes == 0 {
		c.MaxFrameBytes = defaultMaxFrame
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.TLS = c.tlsConfig(u.Hostname())
	return c, u, nil
}

func (c Config) tlsConfig(host string) *tls.Config {
	conf := &tls.Config{MinVersion: tls.VersionTLS13}
	if c.TLS != nil {
		conf = c.TLS.Clone()
	}
	conf.NextProtos = []string{http3.NextProtoH3}
	if conf.ServerName == "" {
		conf.ServerName = host
	}
	switch hash := c.CertHash; {
	case len(hash) > 0:
		conf.InsecureSkipVerify = true // the hash is stricter
		conf.VerifyPeerCertificate = func(raw [][]byte, _ [][]*x509.Certificate) error {
			if got := sha256.Sum256(raw[0]); !slices.Equal(got[:], hash) {
				return fmt.Errorf("certificate has SHA-256 %x, want %x", got, hash)
			}
			return nil
		}
	case c.Insecure:
		conf.InsecureSkipVerify = true
	}
	return conf
}
