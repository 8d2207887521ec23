package ca

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/url"
	"testing"
	"time"
)

// shake runs the handshake as QUIC does, without a network, and returns how it
// ended on either side: nil, or the error that closed it. An alert of one side
// reaches the other only as its number.
func shake(t *testing.T, client, server *tls.Config) (clientErr, serverErr error) {
	t.Helper()
	c := tls.QUICClient(&tls.QUICConfig{TLSConfig: client})
	s := tls.QUICServer(&tls.QUICConfig{TLSConfig: server})
	c.SetTransportParameters(nil)
	s.SetTransportParameters(nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := c.Start(ctx); err != nil {
		return err, nil
	}
	if err := s.Start(ctx); err != nil {
		return nil, err
	}
	for moved := true; moved; {
		moved = false
		for _, pair := range []struct {
			from, to *tls.QUICConn
			err      *error
		}{{c, s, &serverErr}, {s, c, &clientErr}} {
			for {
				e := pair.from.NextEvent()
				if e.Kind == tls.QUICNoEvent {
					break
				}
				if e.Kind != tls.QUICWriteData {
					continue
				}
				moved = true
				if err := pair.to.HandleData(e.Level, e.Data); err != nil {
					*pair.err = err
					return clientErr, serverErr
				}
			}
		}
	}
	return nil, nil
}

func TestMutualTLS(t *testing.T) {
	a := mustAuthority(t, "prod")
	one, two := NewStore(mustIssue(t, a, "us-east", "one")), NewStore(mustIssue(t, a, "eu-west", "two"))
	var met Identity
	server := ServerTLS(two, func(id Identity) error { met = id; return nil })
	clientErr, serverErr := shake(t, ClientTLS(one, two.Get().Identity()), server)
	if clientErr != nil || serverErr != nil {
		t.Fatalf("client %v, server %v", clientErr, serverErr)
	}
	if met != one.Get().Identity() {
		t.Errorf("server met %v", met)
	}
	if err := one.Replace(mustIssue(t, a, "us-east", "one")); err != nil {
		t.Fatal(err)
	}
	if clientErr, serverErr = shake(t, ClientTLS(one, two.Get().Identity()), server); clientErr != nil || serverErr != nil {
		t.Fatalf("after renewal: client %v, server %v", clientErr, serverErr)
	}
}

func TestMutualTLSRefuses(t *testing.T) {
	prod, other := mustAuthority(t, "prod"), mustAuthority(t, "test")
	impostor := mustAuthority(t, "prod") // same name, another key
	server := mustIssue(t, prod, "us-east", "server")
	client := mustIssue(t, prod, "eu-west", "client")
	past, err := prod.Issue("eu-west", "client", time.Minute, time.Now().Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	future, err := prod.Issue("eu-west", "client", time.Hour, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	id := server.Identity()
	believing := func(c *Credentials, roots *Authority) *Credentials {
		trusting := mustIssue(t, roots, "r", "x")
		c.pool = trusting.pool
		return c
	}
	onlyClient := func(id Identity) error {
		if id != client.Identity() {
			return errors.New("not among the peers")
		}
		return nil
	}
	for name, tc := range map[string]struct {
		client, server *Credentials
		want           Identity
		byServer       Refusal
		byClient       Refusal
		alert          tls.AlertError
	}{
		"another node of ours":    {client: client, server: mustIssue(t, prod, "us-east", "other"), want: id, byClient: RefusedOtherNode, alert: alertAccessDenied},
		"same id, another region": {client: client, server: mustIssue(t, prod, "eu-west", "server"), want: id, byClient: RefusedOtherNode, alert: alertAccessDenied},
		"server of another CA":    {client: client, server: mustIssue(t, impostor, "us-east", "server"), want: id, byClient: RefusedUntrusted, alert: alertUnknownCA},
		"client of another CA":    {client: believing(mustIssue(t, impostor, "eu-west", "client"), prod), server: server, want: id, byServer: RefusedUntrusted, alert: alertUnknownCA},
		"client of other cluster": {client: believing(mustIssue(t, other, "eu-west", "client"), prod), server: server, want: id, byClient: RefusedOtherCluster, alert: alertUnknownCA},
		"unknown node":            {client: mustIssue(t, prod, "eu-west", "newcomer"), server: server, want: id, byServer: RefusedUnknownNode, alert: alertAccessDenied},
		"known id, other region":  {client: mustIssue(t, prod, "us-east", "client"), server: server, want: id, byServer: RefusedUnknownNode, alert: alertAccessDenied},
		"client expired":          {client: past, server: server, want: id, byServer: RefusedExpired, alert: alertCertificateExpired},
		"client of tomorrow":      {client: future, server: server, want: id, byServer: RefusedExpired, alert: alertCertificateExpired},
		"server expired":          {client: client, server: past, want: past.Identity(), byClient: RefusedExpired, alert: alertCertificateExpired},
		"other cluster's name under our CA": {
			client: foreign(t, prod, func(c *x509.Certificate) { c.URIs = []*url.URL{Identity{"test", "eu-west", "client"}.uri()} }),
			server: server, want: id, byServer: RefusedOtherCluster, alert: alertUnknownCA,
		},
		"no identity": {
			client: foreign(t, prod, func(c *x509.Certificate) { c.URIs = nil }),
			server: server, want: id, byServer: RefusedIdentity, alert: alertBadCertificate,
		},
		"two identities": {
			client: foreign(t, prod, func(c *x509.Certificate) { c.URIs = append(c.URIs, id.uri()) }),
			server: server, want: id, byServer: RefusedIdentity, alert: alertBadCertificate,
		},
		"a certificate for servers only": {
			client: foreign(t, prod, func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[:1] }),
			server: server, want: id, byServer: RefusedIdentity, alert: alertBadCertificate,
		},
		"signed by a node": {
			client: believing(foreign(t, &Authority{cluster: "prod", cert: client.chain[0], key: client.key}, func(*x509.Certificate) {}), prod),
			server: server, want: id, byServer: RefusedUntrusted, alert: alertUnknownCA,
		},
	} {
		clientErr, serverErr := shake(t, ClientTLS(NewStore(tc.client), tc.want), ServerTLS(NewStore(tc.server), onlyClient))
		check := func(side string, err error, want Refusal) {
			var refused *PeerError
			var alert tls.AlertError
			switch {
			case want == "" && err != nil:
				t.Errorf("%s: %s: %v", name, side, err)
			case want == "":
			case !errors.As(err, &refused) || refused.Refusal != want:
				t.Errorf("%s: %s says %v, want %s", name, side, err, want)
			case !errors.As(err, &alert) || alert != tc.alert || ExplainAlert(uint8(alert)) == "":
				t.Errorf("%s: %s sends %v, want %v", name, side, alert, tc.alert)
			}
		}
		check("server", serverErr, tc.byServer)
		check("client", clientErr, tc.byClient)
	}
}

func TestServerRefusesNoCertificate(t *testing.T) {
	a := mustAuthority(t, "prod")
	server := NewStore(mustIssue(t, a, "r", "n"))
	client := ClientTLS(NewStore(mustIssue(t, a, "r", "m")), server.Get().Identity())
	client.GetClientCertificate = nil
	_, serverErr := shake(t, client, ServerTLS(server, nil))
	var alert tls.AlertError
	if serverErr == nil || !errors.As(serverErr, &alert) || ExplainAlert(uint8(alert)) == "" {
		t.Errorf("server says %v (alert %d)", serverErr, alert)
	}
}

func TestServerRefusesOldTLSAndOtherProtocols(t *testing.T) {
	a := mustAuthority(t, "prod")
	server := NewStore(mustIssue(t, a, "r", "n"))
	client := ClientTLS(NewStore(mustIssue(t, a, "r", "m")), server.Get().Identity())
	client.NextProtos = []string{"trellis/0"}
	if _, err := shake(t, client, ServerTLS(server, nil)); err == nil {
		t.Error("a client of another protocol was let in")
	}
}
