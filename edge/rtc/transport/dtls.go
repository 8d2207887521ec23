package transport

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"net"
	"strings"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/ice/v4"
	"github.com/pion/transport/v4/packetio"
)

// pipe is the part of a Conn's packets that is DTLS, as a net.PacketConn.
type pipe struct {
	*packetio.Buffer
	out *ice.Conn
}

// newPipe returns a pipe that is still to be given its way out.
func newPipe() *pipe {
	p := &pipe{Buffer: packetio.NewBuffer()}
	p.SetLimitCount(pipePackets)
	return p
}

const pipePackets = 64

// pipeAddr stands for wherever the selected candidate pair leads.
type pipeAddr struct{}

// Network implements net.Addr.
func (pipeAddr) Network() string { return "ice" }

// String implements net.Addr.
func (pipeAddr) String() string { return "selected pair" }

// ReadFrom implements net.PacketConn.
func (p *pipe) ReadFrom(b []byte) (int, net.Addr, error) {
	n, err := p.Read(b)
	return n, pipeAddr{}, err
}

// WriteTo implements net.PacketConn.
func (p *pipe) WriteTo(b []byte, _ net.Addr) (int, error) { return p.out.Write(b) }

// LocalAddr implements net.PacketConn.
func (p *pipe) LocalAddr() net.Addr { return pipeAddr{} }

// SetDeadline implements net.PacketConn. Writing does not block for long.
func (p *pipe) SetDeadline(t time.Time) error { return p.SetReadDeadline(t) }

// SetWriteDeadline implements net.PacketConn.
func (p *pipe) SetWriteDeadline(time.Time) error { return nil }

// dtls prepares the association: as the client where the offer says so, else as
// the server. Both sides show certificates; whose it is, the fingerprint in the
// offer says (RFC 8827, Section 6.5).
func (c *Conn) dtls(r Remote, p *pipe, publishes bool) (*dtls.Conn, error) {
	secret := dtls.RequireExtendedMasterSecret
	if publishes { // encoders have DTLS libraries of all ages
		secret = dtls.RequestExtendedMasterSecret
	}
	opts := []dtls.Option{
		dtls.WithCertificates(c.port.cfg.Certificate),
		dtls.WithSRTPProtectionProfiles(c.port.cfg.Profiles...),
		dtls.WithExtendedMasterSecret(secret),
		dtls.WithInsecureSkipVerify(true),
		dtls.WithLoggerFactory(c.port.cfg.Logger),
		dtls.WithVerifyPeerCertificate(func(certs [][]byte, _ [][]*x509.Certificate) error {
			if len(certs) == 0 || !matches(certs[0], r.Fingerprints) {
				return ErrFingerprint
			}
			return nil
		}),
	}
	if r.Passive {
		client := make([]dtls.ClientOption, 0, len(opts))
		for _, o := range opts {
			client = append(client, o)
		}
		return dtls.ClientWithOptions(p, pipeAddr{}, client...)
	}
	server := make([]dtls.ServerOption, 0, len(opts)+2)
	for _, o := range opts {
		server = append(server, o)
	}
	server = append(server, dtls.WithClientAuth(dtls.RequireAnyClientCert), dtls.WithInsecureSkipVerifyHello(true))
	return dtls.ServerWithOptions(p, pipeAddr{}, server...)
}

// fingerprint returns the value of a=fingerprint for a certificate: RFC 8122, Section 5.
func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return "sha-256 " + colons(sum[:])
}

func colons(sum []byte) string {
	digits := strings.ToUpper(hex.EncodeToString(sum))
	var b strings.Builder
	for i := 0; i < len(digits); i += 2 {
		if i > 0 {
			b.WriteByte(':')
		}
		b.WriteString(digits[i : i+2])
	}
	return b.String()
}

// matches reports whether a certificate has one of the fingerprints. Hashes that
// are broken do not count.
func matches(der []byte, values []string) bool {
	for _, v := range values {
		name, want, _ := strings.Cut(strings.TrimSpace(v), " ")
		var have string
		switch strings.ToLower(name) {
		case "sha-256":
			sum := sha256.Sum256(der)
			have = colons(sum[:])
		case "sha-384":
			sum := sha512.Sum384(der)
			have = colons(sum[:])
		case "sha-512":
			sum := sha512.Sum512(der)
			have = colons(sum[:])
		default:
			continue
		}
		if strings.EqualFold(have, strings.TrimSpace(want)) {
			return true
		}
	}
	return false
}
