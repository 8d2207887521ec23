package ca

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// Refusal says why a node's certificate was not accepted; it is a metric label.
type Refusal string

// The reasons for refusing a node.
const (
	RefusedNoCertificate Refusal = "no_certificate"
	RefusedUntrusted     Refusal = "untrusted"     // signed by none of our authorities
	RefusedExpired       Refusal = "expired"       // or not valid yet
	RefusedIdentity      Refusal = "identity"      // not a node's certificate
	RefusedOtherCluster  Refusal = "other_cluster" // our authority, another cluster's name
	RefusedUnknownNode   Refusal = "unknown_node"  // not among the nodes that discovery knows
	RefusedOtherNode     Refusal = "other_node"    // not the node that we dialled
)

// Alerts of RFC 8446, Section 6.2, which is how the other side learns why.
const (
	alertBadCertificate      = 42
	alertCertificateExpired  = 45
	alertUnknownCA           = 48
	alertAccessDenied        = 49
	alertCertificateRequired = 116
)

func (r Refusal) alert() tls.AlertError {
	switch r {
	case RefusedNoCertificate:
		return alertCertificateRequired
	case RefusedExpired:
		return alertCertificateExpired
	case RefusedUntrusted, RefusedOtherCluster:
		return alertUnknownCA
	case RefusedUnknownNode, RefusedOtherNode:
		return alertAccessDenied
	case RefusedIdentity:
		return alertBadCertificate
	default:
		return alertBadCertificate
	}
}

// PeerError refuses the node at the other end. Inside a QUIC handshake it also
// chooses the TLS alert, so that the refused side can say why: see ExplainAlert.
type PeerError struct {
	Refusal Refusal
	Detail  string
}

// Error says what was wrong with the other node.
func (e *PeerError) Error() string { return "peer refused: " + e.Detail }

// detail is the error's text without the word of another node, for a
// certificate of our own.
func detail(err error) string {
	if p, ok := errors.AsType[*PeerError](err); ok {
		return p.Detail
	}
	return err.Error()
}

// Unwrap is the alert to send.
func (e *PeerError) Unwrap() error { return e.Refusal.alert() }

// ExplainAlert says what a peer meant that ended our handshake with a TLS alert
// (in QUIC, a crypto error less 0x100), empty where it says nothing of us.
func ExplainAlert(alert uint8) string {
	switch alert {
	case alertBadCertificate:
		return "the peer does not take our certificate for that of a node"
	case alertCertificateExpired:
		return "the peer finds our certificate expired or not valid yet: renew it, or compare the clocks"
	case alertUnknownCA:
		return "the peer does not know our authority: it is of another cluster"
	case alertAccessDenied:
		return "the peer does not know this node: add it to the peer's discovery"
	case alertCertificateRequired:
		return "the peer wants a certificate and we showed none"
	default:
		return ""
	}
}

// verify checks a peer's certificates, for the part it plays in the handshake,
// against the authorities of c and returns who the peer is. Its error is a
// *PeerError.
func (c *Credentials) verify(chain []*x509.Certificate, part x509.ExtKeyUsage, now time.Time) (Identity, error) {
	if len(chain) == 0 {
		return Identity{}, &PeerError{RefusedNoCertificate, "it shows no certificate"}
	}
	leaf := chain[0]
	between := x509.NewCertPool()
	for _, cert := range chain[1:] {
		between.AddCert(cert)
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots:         c.pool,
		Intermediates: between,
		CurrentTime:   now,
		KeyUsages:     []x509.ExtKeyUsage{part},
	})
	if err != nil {
		return Identity{}, explainVerify(leaf, now, err)
	}
	id, err := ParseIdentity(leaf)
	if err != nil {
		return Identity{}, &PeerError{RefusedIdentity, err.Error()}
	}
	if id.Cluster != c.id.Cluster {
		return Identity{}, &PeerError{RefusedOtherCluster, fmt.Sprintf("%s is of another cluster, ours is %s", id, c.id.Cluster)}
	}
	return id, nil
}

func explainVerify(leaf *x509.Certificate, now time.Time, err error) *PeerError {
	who := "a certificate without a node's identity"
	if id, idErr := ParseIdentity(leaf); idErr == nil {
		who = id.String()
	}
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && now.Before(leaf.NotBefore):
		return &PeerError{RefusedExpired, fmt.Sprintf("certificate of %s is not valid before %s: compare the clocks", who, leaf.NotBefore.Format(time.RFC3339))}
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return &PeerError{RefusedExpired, fmt.Sprintf("certificate of %s expired at %s", who, leaf.NotAfter.Format(time.RFC3339))}
	case errors.As(err, &unknown):
		return &PeerError{RefusedUntrusted, fmt.Sprintf("%s, signed by %q, which is not an authority of ours", who, leaf.Issuer.CommonName)}
	default:
		return &PeerError{RefusedIdentity, fmt.Sprintf("%s: %v", who, err)}
	}
}
