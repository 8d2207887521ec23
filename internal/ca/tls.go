package ca

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// ALPN is the protocol name of the backbone.
const ALPN = "trellis/1"

// ServerTLS is the mutual TLS of a node that is dialled by other nodes. known
// decides about a peer whose certificate is in order; nil lets in every node of
// the cluster. Any error of known refuses the peer as an unknown node.
//
// The configuration is for QUIC, where a *PeerError also decides the alert.
func ServerTLS(store *Store, known func(Identity) error) *tls.Config {
	cfg := baseTLS(store)
	// The certificate is required and fully verified, in VerifyConnection: the
	// library's own check would compare names that a node does not have.
	cfg.ClientAuth = tls.RequireAnyClientCert
	cfg.VerifyConnection = func(cs tls.ConnectionState) error {
		id, err := store.Get().verify(cs.PeerCertificates, x509.ExtKeyUsageClientAuth, time.Now())
		if err != nil || known == nil {
			return err
		}
		if err := known(id); err != nil {
			return &PeerError{RefusedUnknownNode, fmt.Sprintf("%s: %v", id, err)}
		}
		return nil
	}
	return cfg
}

// ClientTLS is the mutual TLS with which a node dials the node want.
func ClientTLS(store *Store, want Identity) *tls.Config {
	cfg := baseTLS(store)
	cfg.InsecureSkipVerify = true // VerifyConnection does it: identities, not host names
	cfg.VerifyConnection = func(cs tls.ConnectionState) error {
		id, err := store.Get().verify(cs.PeerCertificates, x509.ExtKeyUsageServerAuth, time.Now())
		if err != nil {
			return err
		}
		if id != want {
			return &PeerError{RefusedOtherNode, fmt.Sprintf("dialled %s, met %s", want, id)}
		}
		return nil
	}
	return cfg
}

func baseTLS(store *Store) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: []string{ALPN},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return &store.Get().pair, nil
		},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &store.Get().pair, nil
		},
		// A resumed session would show the certificate of an earlier day.
		SessionTicketsDisabled: true,
	}
}

// PeerIdentity returns who is at the other end of a connection that ServerTLS
// or ClientTLS let through, and until when its certificate holds.
func PeerIdentity(cs tls.ConnectionState) (Identity, time.Time, error) {
	if len(cs.PeerCertificates) == 0 {
		return Identity{}, time.Time{}, errors.New("peer showed no certificate")
	}
	leaf := cs.PeerCertificates[0]
	id, err := ParseIdentity(leaf)
	return id, leaf.NotAfter, err
}
