package ca

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"trellis/internal/keyfile"
)

// Credentials are what a node shows to other nodes, and whom it believes. They
// are not modified after they were made.
type Credentials struct {
	id    Identity
	chain []*x509.Certificate // leaf first
	key   *ecdsa.PrivateKey
	roots []*x509.Certificate
	pair  tls.Certificate
	pool  *x509.CertPool
}

func newCredentials(chain []*x509.Certificate, key *ecdsa.PrivateKey, roots []*x509.Certificate) (*Credentials, error) {
	id, err := ParseIdentity(chain[0])
	if err != nil {
		return nil, err
	}
	if !key.PublicKey.Equal(chain[0].PublicKey) {
		return nil, errNoKeyPair
	}
	c := &Credentials{id: id, chain: chain, key: key, roots: roots, pool: x509.NewCertPool()}
	c.pair = tls.Certificate{PrivateKey: key, Leaf: chain[0]}
	for _, cert := range chain {
		c.pair.Certificate = append(c.pair.Certificate, cert.Raw)
	}
	for _, root := range roots {
		c.pool.AddCert(root)
	}
	return c, nil
}

// LoadCredentials reads a node's certificate (with intermediates after it),
// its key, and the authorities that it believes. It refuses a key that others
// can read, and a certificate that its own authorities would not accept now.
func LoadCredentials(certFile, keyFile, caFile string, now time.Time) (*Credentials, error) {
	chain, err := loadCerts(certFile)
	if err != nil {
		return nil, err
	}
	key, err := loadKey(keyFile)
	if err != nil {
		return nil, err
	}
	roots, err := loadCerts(caFile)
	if err != nil {
		return nil, err
	}
	c, err := newCredentials(chain, key, roots)
	if errors.Is(err, errNoKeyPair) {
		return nil, fmt.Errorf("%s does not belong to %s", keyFile, certFile)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", certFile, err)
	}
	// Either end of a link may dial, so a node plays both parts.
	for _, part := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		if _, err := c.verify(chain, part, now); err != nil {
			return nil, fmt.Errorf("%s, by the authorities of %s: %s", certFile, caFile, detail(err))
		}
	}
	return c, nil
}

// Save writes the certificate and the key to new files; the key is its owner's
// alone.
func (c *Credentials) Save(certFile, keyFile string) error {
	key, err := encodeKey(c.key)
	if err != nil {
		return err
	}
	if err := keyfile.CreateSecret(keyFile, key); err != nil {
		return err
	}
	return keyfile.Create(certFile, encodeCerts(c.pair.Certificate...))
}

// Identity returns who the node is.
func (c *Credentials) Identity() Identity { return c.id }

// NotAfter returns when the certificate ends.
func (c *Credentials) NotAfter() time.Time { return c.chain[0].NotAfter }

// String hides the key.
func (c *Credentials) String() string { return c.id.String() }

// DeriveSecret returns 32 bytes that only the holder of the key can know and
// that are the same after a restart: QUIC's reset and token keys, which would
// otherwise be one more file to keep.
func (c *Credentials) DeriveSecret(label string) ([32]byte, error) {
	var out [32]byte
	seed, err := c.key.Bytes()
	if err != nil {
		return out, fmt.Errorf("derive %s: %w", label, err)
	}
	derived, err := hkdf.Key(sha256.New, seed, nil, "trellis "+label, len(out))
	if err != nil {
		return out, fmt.Errorf("derive %s: %w", label, err)
	}
	copy(out[:], derived)
	return out, nil
}

// Store holds the credentials in force, so that a renewed certificate serves
// the next handshake without a restart. Safe for concurrent use.
type Store struct {
	current atomic.Pointer[Credentials]
}

// NewStore returns a store of c.
func NewStore(c *Credentials) *Store {
	s := &Store{}
	s.current.Store(c)
	return s
}

// Get returns the credentials in force.
func (s *Store) Get() *Credentials { return s.current.Load() }

// Replace puts c in force. A node does not change who it is: c must have the
// same identity.
func (s *Store) Replace(c *Credentials) error {
	if have := s.Get().id; c.id != have {
		return fmt.Errorf("renewed certificate is for %s, this node is %s", c.id, have)
	}
	s.current.Store(c)
	return nil
}

func encodeCerts(certs ...[]byte) []byte {
	var out bytes.Buffer
	for _, der := range certs {
		out.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	return out.Bytes()
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func loadCerts(path string) ([]*x509.Certificate, error) {
	data, _, err := keyfile.Read(path)
	if err != nil {
		return nil, err
	}
	var certs []*x509.Certificate
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("%s: holds a %q, want certificates", path, block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, fmt.Errorf("%s: no certificate in PEM form", path)
	}
	return certs, nil
}

func loadKey(path string) (*ecdsa.PrivateKey, error) {
	data, err := keyfile.ReadSecret(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("%s: no key in PEM form", path)
	}
	var parsed any
	if block.Type == "EC PRIVATE KEY" { // RFC 5915, as older tools write it
		parsed, err = x509.ParseECPrivateKey(block.Bytes)
	} else {
		parsed, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s: a %T, want an ECDSA key", path, parsed)
	}
	return key, nil
}
