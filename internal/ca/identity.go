package ca

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// Identity is who a node is. Two identities are the same node only if all of
// it is equal: compare with ==.
type Identity struct {
	Cluster, Region, Node string
}

// namePattern keeps the parts of an identity free of anything that a URI, a
// file name, a metric label or a log could read differently.
var namePattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$`)

// CheckName reports what is wrong with the name of a cluster, region or node.
func CheckName(what, name string) error {
	if !namePattern.MatchString(name) {
		return fmt.Errorf("%s %.80q is not a name: 1 to 63 of a-z 0-9 . _ -, with a letter or digit at both ends", what, name)
	}
	return nil
}

// Check reports what is wrong with id.
func (id Identity) Check() error {
	return errors.Join(CheckName("cluster", id.Cluster), CheckName("region", id.Region), CheckName("node", id.Node))
}

// String returns id as the URI that certificates carry.
func (id Identity) String() string {
	return "spiffe://" + id.Cluster + "/region/" + id.Region + "/node/" + id.Node
}

func (id Identity) uri() *url.URL {
	return &url.URL{Scheme: "spiffe", Host: id.Cluster, Path: "/region/" + id.Region + "/node/" + id.Node}
}

// ParseIdentity returns the identity that cert was issued for. The certificate
// must carry exactly one URI, and that URI be exactly what String writes.
func ParseIdentity(cert *x509.Certificate) (Identity, error) {
	if len(cert.URIs) != 1 {
		return Identity{}, fmt.Errorf("certificate has %d URIs, a node's has one", len(cert.URIs))
	}
	return ParseIdentityURI(cert.URIs[0].String())
}

// ParseIdentityURI parses what String writes, and nothing else.
func ParseIdentityURI(uri string) (Identity, error) {
	rest, ok := strings.CutPrefix(uri, "spiffe://")
	parts := strings.Split(rest, "/")
	if !ok || len(parts) != 5 || parts[1] != "region" || parts[3] != "node" {
		return Identity{}, fmt.Errorf("%.200q is not spiffe://<cluster>/region/<region>/node/<id>", uri)
	}
	id := Identity{Cluster: parts[0], Region: parts[2], Node: parts[4]}
	if err := id.Check(); err != nil {
		return Identity{}, fmt.Errorf("%.200q: %w", uri, err)
	}
	return id, nil
}
