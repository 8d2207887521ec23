package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"trellis/internal/keyfile"
)

// Names of an authority's files in its directory.
const (
	CertFile = "ca.crt"
	KeyFile  = "ca.key"
)

const (
	// AuthorityLifetime is how long a new authority lasts.
	AuthorityLifetime = 10 * 365 * 24 * time.Hour
	// NodeLifetime is how long a node's certificate lasts unless asked
	// otherwise: long enough to renew by hand, short enough to be renewed.
	NodeLifetime = 90 * 24 * time.Hour
	// backdate forgives nodes whose clocks are behind ours.
	backdate = 5 * time.Minute
)

// Authority is a cluster's certificate authority: it can sign for every node.
// It belongs on an operator's machine, not on a node.
type Authority struct {
	cluster string
	cert    *x509.Certificate
	key     *ecdsa.PrivateKey
}

// NewAuthority makes an authority for cluster, valid from now.
func NewAuthority(cluster string, now time.Time) (*Authority, error) {
	if err := CheckName("cluster", cluster); err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber:          newSerial(),
		Subject:               pkix.Name{CommonName: cluster + " cluster CA"},
		URIs:                  []*url.URL{{Scheme: "spiffe", Host: cluster}},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(AuthorityLifetime),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	cert, err := sign(template, template, key, key)
	if err != nil {
		return nil, err
	}
	return &Authority{cluster: cluster, cert: cert, key: key}, nil
}

// Cluster returns the name of the cluster that the authority signs for.
func (a *Authority) Cluster() string { return a.cluster }

// Certificate returns the authority's own certificate.
func (a *Authority) Certificate() *x509.Certificate { return a.cert }

// Save writes ca.crt and ca.key into dir, which is created if need be. Existing
// files are never overwritten: every node's certificate hangs on them.
func (a *Authority) Save(dir string) error {
	key, err := encodeKey(a.key)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	// The key first: if it exists, nothing was touched.
	if err := keyfile.CreateSecret(filepath.Join(dir, KeyFile), key); err != nil {
		return err
	}
	return keyfile.Create(filepath.Join(dir, CertFile), encodeCerts(a.cert.Raw))
}

// LoadAuthority reads what Save wrote. It refuses a key that others can read.
func LoadAuthority(dir string) (*Authority, error) {
	certPath, keyPath := filepath.Join(dir, CertFile), filepath.Join(dir, KeyFile)
	certs, err := loadCerts(certPath)
	if err != nil {
		return nil, err
	}
	key, err := loadKey(keyPath)
	if err != nil {
		return nil, err
	}
	cert := certs[0]
	switch {
	case len(certs) != 1:
		return nil, fmt.Errorf("%s: %d certificates, an authority has one", certPath, len(certs))
	case !cert.IsCA:
		return nil, fmt.Errorf("%s: not the certificate of an authority", certPath)
	case !key.PublicKey.Equal(cert.PublicKey):
		return nil, fmt.Errorf("%s does not belong to %s", keyPath, certPath)
	case len(cert.URIs) != 1:
		return nil, fmt.Errorf("%s: names no cluster: made by something other than ca init", certPath)
	}
	return &Authority{cluster: cert.URIs[0].Host, cert: cert, key: key}, nil
}

// Issue signs a certificate for the node of that region, from now and for
// lifetime (NodeLifetime if zero), but never longer than the authority lasts.
func (a *Authority) Issue(region, node string, lifetime time.Duration, now time.Time) (*Credentials, error) {
	id := Identity{Cluster: a.cluster, Region: region, Node: node}
	if err := id.Check(); err != nil {
		return nil, err
	}
	if lifetime == 0 {
		lifetime = NodeLifetime
	}
	if lifetime < 0 {
		return nil, fmt.Errorf("lifetime %v is negative", lifetime)
	}
	notAfter := now.Add(lifetime)
	if notAfter.After(a.cert.NotAfter) {
		notAfter = a.cert.NotAfter
	}
	if !now.Before(notAfter) {
		return nil, fmt.Errorf("the authority of %s expired at %s", a.cluster, a.cert.NotAfter.Format(time.RFC3339))
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber:          newSerial(),
		Subject:               pkix.Name{CommonName: node},
		URIs:                  []*url.URL{id.uri()},
		NotBefore:             now.Add(-backdate),
		NotAfter:              notAfter,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}
	cert, err := sign(template, a.cert, key, a.key)
	if err != nil {
		return nil, err
	}
	return newCredentials([]*x509.Certificate{cert}, key, []*x509.Certificate{a.cert})
}

func sign(template, parent *x509.Certificate, key, by *ecdsa.PrivateKey) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
	if err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("parse our own certificate: %w", err)
	}
	return cert, nil
}

// newSerial returns 127 random bits. RFC 5280, Section 4.1.2.2: positive, at
// most 20 octets; CA/Browser rules ask for 64 bits of randomness.
func newSerial() *big.Int {
	var b [16]byte
	rand.Read(b[:]) // never fails: crypto/rand
	b[0] &= 0x7f
	return new(big.Int).SetBytes(b[:])
}

var errNoKeyPair = errors.New("the key does not belong to the certificate")
