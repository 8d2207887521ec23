package ca

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// writePair writes a fresh certificate and key over what was there.
func writePair(t *testing.T, certFile, keyFile string, now time.Time) {
	t.Helper()
	cert, _, err := NewEphemeral("example.com").Certificate(now)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: cert.Certificate[0]},
		keyFile:  {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFileCertificate(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "web.crt"), filepath.Join(dir, "web.key")
	now := time.Now()
	if _, err := LoadCertificate(certFile, keyFile, now); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing files: %v", err)
	}
	writePair(t, certFile, keyFile, now)
	c, err := LoadCertificate(certFile, keyFile, now)
	if err != nil {
		t.Fatal(err)
	}
	shown := func() *tls.Certificate {
		cert, err := c.GetCertificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	first := shown()

	for name, spoil := range map[string]func() error{
		"half a file":      func() error { return os.WriteFile(certFile, []byte("-----BEGIN CERT"), 0o600) },
		"another's key":    func() error { writePair(t, certFile, keyFile+".other", now); return nil },
		"key for everyone": func() error { writePair(t, certFile, keyFile, now); return os.Chmod(keyFile, 0o644) },
		"key gone":         func() error { return os.Remove(keyFile) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if err := c.Reload(now); err == nil {
			t.Errorf("%s: loaded", name)
		}
		if shown() != first {
			t.Errorf("%s: the last good certificate is gone", name)
		}
		_ = os.Remove(keyFile) // so that its mode is that of a new file
		writePair(t, certFile, keyFile, now)
	}
	if err := c.Reload(now.Add(30 * 24 * time.Hour)); err == nil {
		t.Error("a certificate that has ended was loaded")
	}
	if err := c.Reload(now); err != nil || shown() == first {
		t.Errorf("a renewed certificate: %v", err)
	}
}
