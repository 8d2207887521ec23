package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"sync"
	"time"
)

const (
	// ephemeralLifetime: browsers take a certificate by hash only if it is
	// valid for at most 14 days (W3C WebTransport, "serverCertificateHashes").
	ephemeralLifetime = 13 * 24 * time.Hour
	// ephemeralRenewal leaves a page that knows the old hash a week to go on.
	ephemeralRenewal = 6 * 24 * time.Hour
)

// Ephemeral makes self-signed ECDSA P-256 certificates that browsers accept by
// their SHA-256 hash, and replaces each long before it ends. For development
// and for nodes without a public name. Safe for concurrent use.
type Ephemeral struct {
	hosts []string

	mu      sync.Mutex
	current *tls.Certificate
	hash    [sha256.Size]byte
}

// NewEphemeral returns certificates for hosts, which are names or IP addresses.
func NewEphemeral(hosts ...string) *Ephemeral { return &Ephemeral{hosts: hosts} }

// Certificate returns the certificate to show at time now, and its hash.
func (e *Ephemeral) Certificate(now time.Time) (*tls.Certificate, [sha256.Size]byte, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.current == nil || now.After(e.current.Leaf.NotAfter.Add(-ephemeralRenewal)) || now.Before(e.current.Leaf.NotBefore) {
		if err := e.renewLocked(now); err != nil {
			return nil, [sha256.Size]byte{}, err
		}
	}
	return e.current, e.hash, nil
}

// GetCertificate is for tls.Config.
func (e *Ephemeral) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	cert, _, err := e.Certificate(time.Now())
	return cert, err
}

func (e *Ephemeral) renewLocked(now time.Time) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("generate key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber:          newSerial(),
		Subject:               pkix.Name{CommonName: "trellis development"},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(ephemeralLifetime - backdate),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	for _, host := range e.hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	cert, err := sign(template, template, key, key)
	if err != nil {
		return err
	}
	e.current = &tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
	e.hash = sha256.Sum256(cert.Raw)
	return nil
}
