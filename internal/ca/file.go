package ca

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"sync/atomic"
	"time"

	"trellis/internal/keyfile"
)

// FileCertificate is a certificate for browsers from two files.
type FileCertificate struct {
	certFile, keyFile string
	current           atomic.Pointer[tls.Certificate]
}

// LoadCertificate reads the files. It refuses a key that others can read, and a
// certificate that has ended.
func LoadCertificate(certFile, keyFile string, now time.Time) (*FileCertificate, error) {
	c := &FileCertificate{certFile: certFile, keyFile: keyFile}
	return c, c.Reload(now)
}

// Reload reads the files again. After an error the certificate is what it was.
func (c *FileCertificate) Reload(now time.Time) error {
	certPEM, _, err := keyfile.Read(c.certFile)
	if err != nil {
		return err
	}
	keyPEM, err := keyfile.ReadSecret(c.keyFile)
	if err != nil {
		return err
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return fmt.Errorf("%s with %s: %w", c.certFile, c.keyFile, err)
	}
	if pair.Leaf == nil {
		if pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
			return fmt.Errorf("%s: %w", c.certFile, err)
		}
	}
	if now.After(pair.Leaf.NotAfter) {
		return fmt.Errorf("%s: expired at %s", c.certFile, pair.Leaf.NotAfter.Format(time.RFC3339))
	}
	c.current.Store(&pair)
	return nil
}

// GetCertificate is for tls.Config.
func (c *FileCertificate) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return c.current.Load(), nil
}
