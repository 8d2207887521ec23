package backbone

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"trellis/wire/peer"
)

// Identity is who a node is, as its certificate says.
type Identity struct {
	Cluster string
	Region  string
	Node    string
}

// URI returns the certificate's name for the identity.
func (i Identity) URI() string {
	return "spiffe://" + i.Cluster + "/region/" + i.Region + "/node/" + i.Node
}

// ParseIdentity reads the one URI name of a certificate. It does not check who
// signed it.
func ParseIdentity(cert *x509.Certificate) (Identity, error) {
	if len(cert.URIs) != 1 {
		return Identity{}, fmt.Errorf("certificate has %d URI names, want one", len(cert.URIs))
	}
	return parseURI(cert.URIs[0])
}

// parseURI takes only what Identity.URI writes: the name is compared whole, so
// no second spelling may mean the same.
func parseURI(u *url.URL) (Identity, error) {
	parts := strings.Split(u.Path, "/")
	if len(parts) != 5 || parts[1] != "region" || parts[3] != "node" {
		return Identity{}, fmt.Errorf("certificate name %q is not spiffe://<cluster>/region/<region>/node/<id>", u)
	}
	id := Identity{Cluster: u.Host, Region: parts[2], Node: parts[4]}
	for _, s := range []string{id.Cluster, id.Region, id.Node} {
		if err := peer.CheckNodeID(s); err != nil {
			return Identity{}, fmt.Errorf("certificate name %q: %w", u, err)
		}
	}
	if id.URI() != u.String() {
		return Identity{}, fmt.Errorf("certificate name %q is not spelled %q", u, id.URI())
	}
	return id, nil
}

// Credentials are what a node shows its peers, and what it trusts. The functions
// are called for every connection, so that renewed files take effect.
type Credentials struct {
	Certificate func() (*tls.Certificate, error)
	Roots       func() (*x509.CertPool, error)
}

// verified is a peer's certificate that has been checked.
type verified struct {
	Identity
	notAfter time.Time
}

// verify checks the certificates that a peer showed: signed by the cluster's
// authority for this use, valid at now, of our cluster.
func (c Credentials) verify(shown []*x509.Certificate, cluster string, now time.Time) (verified, error) {
	if len(shown) == 0 {
		return verified{}, errors.New("no certificate")
	}
	leaf := shown[0]
	id, err := ParseIdentity(leaf)
	if err != nil {
		return verified{}, err
	}
	// First, because it says most clearly what is wrong.
	if id.Cluster != cluster {
		return verified{}, fmt.Errorf("%s is of cluster %q, not %q", id.URI(), id.Cluster, cluster)
	}
	switch {
	case now.After(leaf.NotAfter):
		return verified{}, fmt.Errorf("certificate of %s expired at %s", id.URI(), leaf.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(leaf.NotBefore):
		return verified{}, fmt.Errorf("certificate of %s is not valid before %s", id.URI(), leaf.NotBefore.UTC().Format(time.RFC3339))
	}
	roots, err := c.Roots()
	if err != nil {
		return verified{}, fmt.Errorf("cluster authority: %w", err)
	}
	intermediates := x509.NewCertPool()
	for _, cert := range shown[1:] {
		intermediates.AddCert(cert)
	}
	// Links are made in both directions: one certificate serves as client and server.
	_, err = leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: intermediates, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return verified{}, fmt.Errorf("certificate of %s: %w", id.URI(), err)
	}
	return verified{Identity: id, notAfter: leaf.NotAfter}, nil
}

// TLSConfig returns the TLS configuration of a link, for both ends. A node that
// shares its port with HTTP/3 returns it from GetConfigForClient when the client
// offers peer.ALPN.
//
// TLS takes any certificate: Mesh checks it when the handshake is complete and
// before it reads a stream, so that the peer can be told in words why it was
// refused (an alert says only "bad certificate").
func (c Credentials) TLSConfig() *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		NextProtos:             []string{peer.ALPN},
		ClientAuth:             tls.RequireAnyClientCert,
		InsecureSkipVerify:     true, //nolint:gosec // Mesh.verify checks the whole identity
		SessionTicketsDisabled: true, // a resumed session would show an old certificate
		GetCertificate:         func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.Certificate() },
		GetClientCertificate:   func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return c.Certificate() },
	}
}
