package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func mustAuthority(t *testing.T, cluster string) *Authority {
	t.Helper()
	a, err := NewAuthority(cluster, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func mustIssue(t *testing.T, a *Authority, region, node string) *Credentials {
	t.Helper()
	c, err := a.Issue(region, node, 0, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestIdentityRoundTrip(t *testing.T) {
	id := Identity{Cluster: "prod", Region: "us-east", Node: "us-east-1.a_b"}
	if got, err := ParseIdentityURI(id.String()); err != nil || got != id {
		t.Errorf("ParseIdentityURI(%q) = %+v, %v", id, got, err)
	}
	got, err := ParseIdentity(&x509.Certificate{URIs: []*url.URL{id.uri()}})
	if err != nil || got != id {
		t.Errorf("ParseIdentity = %+v, %v", got, err)
	}
}

func TestParseIdentityRefuses(t *testing.T) {
	for _, uri := range []string{
		"",
		"spiffe://prod",
		"spiffe://prod/region/r/node",
		"spiffe://prod/region/r/node/",
		"spiffe://prod/region/r/node/n/",
		"spiffe://prod/region/r/node/n/x",
		"spiffe://prod//region/r/node/n",
		"spiffe://prod/region/r/node/n?x=1",
		"spiffe://prod/region/r/node/n#x",
		"spiffe://prod:1/region/r/node/n",
		"spiffe://user@prod/region/r/node/n",
		"spiffe:///region/r/node/n",
		"https://prod/region/r/node/n",
		"SPIFFE://prod/region/r/node/n",
		"spiffe://PROD/region/r/node/n",
		"spiffe://prod/region/r/node/N",
		"spiffe://prod/region/r/node/..",
		"spiffe://prod/region/../node/n",
		"spiffe://prod/region/r%2Fx/node/n",
		"spiffe://prod/region/r/role/n",
		"spiffe://prod/node/n/region/r",
		"spiffe://prod/region/r/node/-n",
		"spiffe://prod/region/r/node/n\x00",
		"spiffe://prod/region/r/node/n\n",
		"spiffe://prod/region/r/node/" + strings.Repeat("n", 64),
	} {
		if id, err := ParseIdentityURI(uri); err == nil {
			t.Errorf("%q is taken for %+v", uri, id)
		}
	}
	one := Identity{"c", "r", "n"}.uri()
	for _, uris := range [][]*url.URL{nil, {one, one}} {
		if id, err := ParseIdentity(&x509.Certificate{URIs: uris}); err == nil {
			t.Errorf("a certificate with %d URIs is taken for %+v", len(uris), id)
		}
	}
}

func TestAuthorityFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ca")
	made := mustAuthority(t, "prod")
	if err := made.Save(dir); err != nil {
		t.Fatal(err)
	}
	if err := mustAuthority(t, "prod").Save(dir); !errors.Is(err, os.ErrExist) {
		t.Errorf("a second authority in the same place: %v", err)
	}
	info, err := os.Stat(filepath.Join(dir, KeyFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the key is %v, %v", info.Mode(), err)
	}
	loaded, err := LoadAuthority(dir)
	if err != nil {
		t.Fatal(err)
	}
	if loaded.Cluster() != "prod" || !loaded.Certificate().Equal(made.Certificate()) {
		t.Errorf("loaded the authority of %q", loaded.Cluster())
	}

	cert, key := filepath.Join(dir, "n.crt"), filepath.Join(dir, "n.key")
	if err := mustIssue(t, loaded, "us-east", "n").Save(cert, key); err != nil {
		t.Fatal(err)
	}
	c, err := LoadCredentials(cert, key, filepath.Join(dir, CertFile), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if want := (Identity{"prod", "us-east", "n"}); c.Identity() != want {
		t.Errorf("identity %v, want %v", c.Identity(), want)
	}
	one, err := c.DeriveSecret("reset")
	if err != nil {
		t.Fatal(err)
	}
	again, err := c.DeriveSecret("reset")
	if err != nil {
		t.Fatal(err)
	}
	other, err := c.DeriveSecret("token")
	if err != nil {
		t.Fatal(err)
	}
	if one != again || one == other || one == [32]byte{} {
		t.Error("derived secrets are not stable, or not apart")
	}
}

func TestLoadRefuses(t *testing.T) {
	dir := t.TempDir()
	a, b := mustAuthority(t, "prod"), mustAuthority(t, "prod")
	caDir, otherDir := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	for path, authority := range map[string]*Authority{caDir: a, otherDir: b} {
		if err := authority.Save(path); err != nil {
			t.Fatal(err)
		}
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	for _, node := range []string{"n", "m"} {
		if err := mustIssue(t, a, "r", node).Save(file(node+".crt"), file(node+".key")); err != nil {
			t.Fatal(err)
		}
	}
	brief, err := a.Issue("r", "brief", time.Minute, time.Now().Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if err := brief.Save(file("brief.crt"), file("brief.key")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file("empty"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file("junk"), []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	caCert, otherCA := filepath.Join(caDir, CertFile), filepath.Join(otherDir, CertFile)
	for name, tc := range map[string]struct{ cert, key, ca, want string }{
		"missing":          {file("none"), file("n.key"), caCert, "no such file"},
		"empty":            {file("empty"), file("n.key"), caCert, "no certificate in PEM form"},
		"junk":             {file("junk"), file("n.key"), caCert, "junk"},
		"key of another":   {file("n.crt"), file("m.key"), caCert, "does not belong to"},
		"key as cert":      {file("n.key"), file("n.key"), caCert, `holds a "PRIVATE KEY"`},
		"cert as key":      {file("n.crt"), caCert, caCert, "chmod 600"},
		"no key in PEM":    {file("n.crt"), file("empty"), caCert, "no key in PEM form"},
		"another cluster":  {file("n.crt"), file("n.key"), otherCA, "not an authority of ours"},
		"expired":          {file("brief.crt"), file("brief.key"), caCert, "expired at"},
		"authority itself": {caCert, filepath.Join(caDir, KeyFile), caCert, "spiffe"},
	} {
		if _, err := LoadCredentials(tc.cert, tc.key, tc.ca, time.Now()); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want something about %q", name, err, tc.want)
		}
	}
	if err := os.Chmod(file("n.key"), 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadCredentials(file("n.crt"), file("n.key"), caCert, time.Now()); err == nil {
		t.Error("a key that its group can read was accepted")
	}
	if err := os.Chmod(filepath.Join(caDir, KeyFile), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadAuthority(caDir); err == nil {
		t.Error("an authority's key that all can read was accepted")
	}
}

func TestIssueRefuses(t *testing.T) {
	a := mustAuthority(t, "prod")
	now := time.Now()
	for _, tc := range []struct {
		region, node string
		lifetime     time.Duration
		now          time.Time
	}{
		{"", "n", 0, now},
		{"r", "", 0, now},
		{"r", "../n", 0, now},
		{"r/x", "n", 0, now},
		{"r", "N", 0, now},
		{"r", "n", -time.Hour, now},
		{"r", "n", 0, now.Add(2 * AuthorityLifetime)},
	} {
		if c, err := a.Issue(tc.region, tc.node, tc.lifetime, tc.now); err == nil {
			t.Errorf("issued %v", c)
		}
	}
	if _, err := NewAuthority("Prod!", now); err == nil {
		t.Error("made an authority for a cluster without a proper name")
	}
	late, err := a.Issue("r", "n", 2*AuthorityLifetime, now)
	if err != nil || late.NotAfter().After(a.Certificate().NotAfter) {
		t.Errorf("a certificate outlives its authority: %v, %v", late.NotAfter(), err)
	}
}

func TestStoreKeepsIdentity(t *testing.T) {
	a := mustAuthority(t, "prod")
	store := NewStore(mustIssue(t, a, "r", "n"))
	renewed := mustIssue(t, a, "r", "n")
	if err := store.Replace(renewed); err != nil || store.Get() != renewed {
		t.Errorf("a renewed certificate: %v", err)
	}
	if err := store.Replace(mustIssue(t, a, "r", "m")); err == nil || store.Get() != renewed {
		t.Errorf("another node's certificate: %v", err)
	}
}

func TestEphemeral(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	e := NewEphemeral("localhost", "127.0.0.1")
	cert, hash, err := e.Certificate(now)
	if err != nil {
		t.Fatal(err)
	}
	leaf := cert.Leaf
	if valid := leaf.NotAfter.Sub(leaf.NotBefore); valid > 14*24*time.Hour {
		t.Errorf("valid for %v, browsers take 14 days", valid)
	}
	key, ok := leaf.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		t.Errorf("key is %T", leaf.PublicKey)
	}
	for _, host := range []string{"localhost", "127.0.0.1"} {
		if err := leaf.VerifyHostname(host); err != nil {
			t.Error(err)
		}
	}
	if _, same, err := e.Certificate(now.Add(6 * 24 * time.Hour)); err != nil || same != hash {
		t.Errorf("changed within the first week: %v", err)
	}
	renewed, other, err := e.Certificate(now.Add(8 * 24 * time.Hour))
	if err != nil || other == hash {
		t.Fatalf("not changed after eight days: %v", err)
	}
	if !renewed.Leaf.NotAfter.After(leaf.NotAfter) {
		t.Error("the new certificate ends no later than the old one")
	}
}

// foreign makes certificates that a real authority of ours never would.
func foreign(t *testing.T, a *Authority, change func(*x509.Certificate)) *Credentials {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		URIs:         []*url.URL{Identity{"prod", "r", "client"}.uri()},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	change(template)
	cert, err := sign(template, a.cert, key, a.key)
	if err != nil {
		t.Fatal(err)
	}
	c := mustIssue(t, a, "r", "client")
	c.chain, c.key = []*x509.Certificate{cert}, key
	c.pair.Certificate, c.pair.PrivateKey, c.pair.Leaf = [][]byte{cert.Raw}, key, cert
	return c
}
