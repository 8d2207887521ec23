package config

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"trellis/internal/auth"
	"trellis/internal/ca"
)

// testNow is when the certificates of the tests are valid.
var testNow = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// workshop is a directory with the files that configurations name.
func workshop(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	authority, err := ca.NewAuthority("prod", testNow)
	must(err)
	must(authority.Save(dir))
	old, err := authority.Issue("us-east", "us-east-1", time.Hour, testNow.Add(-24*time.Hour))
	must(err)
	must(old.Save(filepath.Join(dir, "old.crt"), filepath.Join(dir, "old.key")))
	node, err := authority.Issue("us-east", "us-east-1", time.Hour, testNow)
	must(err)
	must(node.Save(filepath.Join(dir, "node.crt"), filepath.Join(dir, "node.key")))
	stranger, err := ca.NewAuthority("test", testNow)
	must(err)
	must(stranger.Save(filepath.Join(dir, "stranger")))

	key, err := auth.GenerateKey("k1", auth.EdDSA, "")
	must(err)
	must(key.Save(filepath.Join(dir, "private.jwk")))
	public, err := auth.PublicSet(key)
	must(err)
	must(os.WriteFile(filepath.Join(dir, "keys.jwks"), public, 0o600))
	shared, err := auth.GenerateKey("s1", auth.HS256, "")
	must(err)
	must(shared.Save(filepath.Join(dir, "shared.jwk")))
	data, err := os.ReadFile(filepath.Join(dir, "node.key"))
	must(err)
	must(os.WriteFile(filepath.Join(dir, "open.key"), data, 0o600))
	must(os.Chmod(filepath.Join(dir, "open.key"), 0o644)) // whatever the umask
	writeWeb(t, dir)
	must(os.WriteFile(filepath.Join(dir, "text"), []byte("text"), 0o600))
	must(os.WriteFile(filepath.Join(dir, "peers.yaml"), []byte("peers: []\n"), 0o600))
	must(os.WriteFile(filepath.Join(dir, "badpeers.yaml"), []byte("# others\npeers:\n  - ident: x\n  - {id: us-east-1, region: r, addr: here}\npear: 1\n"), 0o600))
	return dir
}

// writeWeb writes a certificate for browsers.
func writeWeb(t *testing.T, dir string) {
	t.Helper()
	cert, _, err := ca.NewEphemeral("example.com").Certificate(testNow)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"web.crt": {Type: "CERTIFICATE", Bytes: cert.Certificate[0]}, "web.key": {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func load(t *testing.T, dir, text string) (*Loaded, error) {
	t.Helper()
	path := filepath.Join(dir, "node.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(Source{File: path, Now: testNow})
}

var update = flag.Bool("update", false, "write what Load says into testdata/bad.txt")

// TestBadConfigurations reads testdata/bad.txt: cases of "== name", the file,
// "--", and the lines that Load must answer.
func TestBadConfigurations(t *testing.T) {
	dir := workshop(t)
	const golden = "testdata/bad.txt"
	data, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	cases := strings.Split(string(data), "== ")
	out := cases[0]
	if len(cases) < 51 {
		t.Errorf("%d cases, want at least 50", len(cases)-1)
	}
	for _, tc := range cases[1:] {
		name, rest, _ := strings.Cut(tc, "\n")
		text, want, ok := strings.Cut("\n"+rest, "\n--\n")
		if !ok {
			t.Fatalf("%s: no answer", name)
		}
		if text = strings.TrimPrefix(text, "\n"); text != "" {
			text += "\n"
		}
		_, err := load(t, dir, text)
		got := "accepted"
		if err != nil {
			got = strings.ReplaceAll(err.Error(), dir+"/", "")
		}
		if got += "\n"; got != strings.TrimRight(want, "\n")+"\n" {
			t.Errorf("%s:\n%s-- got\n%s-- want\n%s", name, text, got, want)
		}
		out += "== " + name + "\n" + text + "--\n" + got + "\n"
	}
	if *update {
		if err := os.WriteFile(golden, []byte(strings.TrimRight(out, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

const whole = `# a node with everything set
node: {id: us-east-1, region: us-east, provider: metal, cluster: prod, shutdown: 5s}
listen:
  quic: 0.0.0.0:4443
  http: "[::1]:8080"
  webrtc: :4444
  webrtc_tcp: off
  admin: 127.0.0.1:0
  public_addresses: [203.0.113.7]
web: {hosts: [localhost], allowed_origins: ["https://example.com", "http://localhost:3000"]}
cluster: {cert: node.crt, key: node.key, ca: ca.crt}
discovery:
  peers:
    - &eu {id: eu-west-1, region: eu-west, provider: metal, addr: "192.0.2.7:4443"}
    - {id: us-east-1, region: us-east, addr: "us.example.com:4443"}
auth: {keys: keys.jwks, issuer: me, audience: trellis, leeway: 0}
limits: {sessions: 10}
cache: {retention: 500ms, track_bytes: 32MiB, total_bytes: 1GB}
log: {level: debug, format: json}
`

func TestGoodConfiguration(t *testing.T) {
	dir := workshop(t)
	l, err := load(t, dir, whole)
	if err != nil {
		t.Fatal(err)
	}
	if l.Cluster.Cert != filepath.Join(dir, "node.crt") {
		t.Errorf("a path in the file became %q", l.Cluster.Cert)
	}
	if l.Cache.TrackBytes != 32<<20 || l.Cache.TotalBytes != 1e9 || l.Cache.Retention != 500*time.Millisecond {
		t.Errorf("cache %+v", l.Cache)
	}
	if l.Auth.Leeway != 0 || l.Limits.Tracks != 256 {
		t.Errorf("leeway %v, tracks %d", l.Auth.Leeway, l.Limits.Tracks)
	}
	if want := (Peer{ID: "eu-west-1", Region: "eu-west", Provider: "metal", Addr: "192.0.2.7:4443"}); len(l.Discovery.Peers) != 2 || l.Discovery.Peers[0] != want {
		t.Errorf("peers %+v", l.Discovery.Peers)
	}
	if l.Listen.WebRTCTCPAddr() != Off || l.Listen.HTTPAddr() != "[::1]:8080" {
		t.Errorf("listen %+v", l.Listen)
	}
}

// consulNode finds its peers in Consul.
const consulNode = `
node: {id: us-east-1, region: us-east, cluster: prod, state_dir: state}
listen: {quic: "0.0.0.0:4443", webrtc: ":4444", public_addresses: [203.0.113.7]}
web: {cert: web.crt, key: web.key}
auth: {keys: keys.jwks}
cluster: {cert: node.crt, key: node.key, ca: ca.crt}
discovery:
  kind: consul
  consul:
    address: https://consul.example.com:8501
    datacenters: [eu, us]
    token_file: private.jwk
    ttl: 10s
`

func TestConsulConfiguration(t *testing.T) {
	dir := workshop(t)
	l, err := load(t, dir, consulNode)
	if err != nil {
		t.Fatal(err)
	}
	if l.SnapshotPath() != filepath.Join(dir, "state", "peers.json") || l.LinkAddr() != "203.0.113.7:4443" {
		t.Errorf("snapshot %q, link address %q", l.SnapshotPath(), l.LinkAddr())
	}
	c := l.Discovery.Consul
	if c.TTL != 10*time.Second || !slices.Equal(c.Datacenters, []string{"eu", "us"}) || c.TokenFile != filepath.Join(dir, "private.jwk") || c.Service != "trellis" {
		t.Errorf("%+v", c)
	}
	// The environment and flags reach the section within the section.
	l, err = Load(Source{
		File: filepath.Join(dir, "node.yaml"), Now: testNow,
		Env:   []string{"TRELLIS_DISCOVERY_CONSUL_ADDRESS=127.0.0.1:8500"},
		Flags: map[string]string{"discovery-consul-ttl": "20s", "discovery-snapshot-file": "/var/lib/x.json"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if c := l.Discovery.Consul; c.Address != "127.0.0.1:8500" || c.TTL != 20*time.Second || l.SnapshotPath() != "/var/lib/x.json" {
		t.Errorf("%+v", l.Config)
	}
	var out bytes.Buffer
	if err := l.Show(&out); err != nil || !strings.Contains(out.String(), "\n  consul:\n    address: 127.0.0.1:8500") {
		t.Errorf("Show: %v\n%s", err, out.String())
	}
}

func TestLinkAddr(t *testing.T) {
	for _, tc := range []struct{ quic, public, link, want string }{
		{"127.0.0.1:4443", "", "", "127.0.0.1:4443"},
		{"127.0.0.1:4443", "203.0.113.7", "", "127.0.0.1:4443"},
		{":4443", "203.0.113.7", "", "203.0.113.7:4443"},
		{"[::]:4443", "2001:db8::1", "", "[2001:db8::1]:4443"},
		{":4443", "203.0.113.7", "eu.example.com:5000", "eu.example.com:5000"},
		{":4443", "", "", ""},
		{"127.0.0.1:0", "", "", ""},
	} {
		c := Config{Node: Node{LinkAddress: tc.link}, Listen: Listen{QUIC: tc.quic}}
		if tc.public != "" {
			c.Listen.PublicAddresses = []string{tc.public}
		}
		if got := c.LinkAddr(); got != tc.want {
			t.Errorf("%+v: %q", tc, got)
		}
	}
}

func TestLayers(t *testing.T) {
	dir := workshop(t)
	path := filepath.Join(dir, "node.yaml")
	if err := os.WriteFile(path, []byte("node: {id: a, region: r}\nlog:\n  level: warn\n  format: json\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := Load(Source{
		File: path, Now: testNow,
		Env:   []string{"TRELLIS_LOG_LEVEL=error", "TRELLIS_LIMITS_SESSIONS=7", "TRELLIS_WEB_HOSTS=a, b", "PATH=/bin", "TRELLIS_SERVICE_HOST=10.0.0.1", "TRELLIS_LOG_LEVELS=x"},
		Flags: map[string]string{"log-level": "debug"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if l.Log.Level != "debug" || l.Log.Format != "json" || l.Limits.Sessions != 7 || !slices.Equal(l.Web.Hosts, []string{"a", "b"}) {
		t.Errorf("got %+v", l.Config)
	}
	for key, want := range map[string]string{
		"log.level": "--log-level", "log.format": path + ":4", "limits.sessions": "TRELLIS_LIMITS_SESSIONS", "limits.tracks": "default",
	} {
		if got := l.Origins[key]; got != want {
			t.Errorf("%s comes from %q, want %q", key, got, want)
		}
	}
	if len(l.Warnings) != 2 || l.Warnings[1].String() != `TRELLIS_LOG_LEVELS: no setting has this name; did you mean "TRELLIS_LOG_LEVEL"?` {
		t.Errorf("warnings %v", l.Warnings)
	}
	var out bytes.Buffer
	if err := l.Show(&out); err != nil || !strings.Contains(out.String(), "# --log-level") {
		t.Errorf("Show: %v\n%s", err, out.String())
	}
}

func TestProblemsOfEveryLayer(t *testing.T) {
	_, err := Load(Source{
		Env:   []string{"TRELLIS_NODE_ID=Ä", "TRELLIS_CACHE_LINGER=10", "TRELLIS_DISCOVERY_PEERS=x"},
		Flags: map[string]string{"listen-quic": "nowhere", "node-region": "r"},
		Now:   testNow,
	})
	var invalid *InvalidError
	if !errors.As(err, &invalid) {
		t.Fatal(err)
	}
	want := []string{
		`TRELLIS_CACHE_LINGER: cache.linger: "10" has no unit; write 10s for seconds or 10ms for milliseconds`,
		`TRELLIS_DISCOVERY_PEERS: discovery.peers: is a list of nodes; set it in the file, or name a file with discovery.file`,
		`TRELLIS_NODE_ID: node.id: "Ä" is not a name; use 1 to 63 of a-z 0-9 . _ -, with a letter or digit at both ends`,
		`--listen-quic: listen.quic: "nowhere" is not an address; write host:port, such as 127.0.0.1:4443`,
	}
	got := strings.Split(invalid.Error(), "\n")
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestLiveKit: the door is open where there are keys, of which only the owner knows.
func TestLiveKit(t *testing.T) {
	dir := t.TempDir()
	keys := filepath.Join(dir, "livekit-keys")
	config := func(more string) Source {
		path := filepath.Join(dir, "node.yaml")
		text := "node: {id: a, region: r}\nlivekit:\n  keys: livekit-keys\n" + more
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return Source{File: path, Now: testNow}
	}
	write := func(text string, mode os.FileMode) {
		if err := errors.Join(os.WriteFile(keys, []byte(text), mode), os.Chmod(keys, mode)); err != nil {
			t.Fatal(err)
		}
	}
	secret := strings.Repeat("s", 40)
	write("APIa: "+secret, 0o600)
	l, err := Load(config("  participants: 8\n"))
	if err != nil || l.LiveKit.Keys != keys || l.LiveKit.Participants != 8 || l.LiveKit.JoinsPerSecond != 200 {
		t.Errorf("%+v, %v", l, err)
	}
	for name, c := range map[string]struct {
		text string
		mode os.FileMode
		more string
		want string
	}{
		"a file that all may read": {"APIa: " + secret, 0o644, "", "livekit.keys"},
		"a short secret":           {"APIa: short", 0o600, "", "at least 32"},
		"no participants":          {"APIa: " + secret, 0o600, "  participants: 0\n", "livekit.participants"},
	} {
		write(c.text, c.mode)
		if _, err := Load(config(c.more)); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", name, err)
		}
	}
	src := Source{Flags: map[string]string{"node-id": "a", "node-region": "r", "livekit-viewers": "5"}, Now: testNow}
	if _, err := Load(src); err == nil || !strings.Contains(err.Error(), "no effect without livekit.keys") {
		t.Errorf("a limit without keys: %v", err)
	}
}

func TestMissingFile(t *testing.T) {
	if _, err := Load(Source{File: filepath.Join(t.TempDir(), "none.yaml")}); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// TestSettingsAreDocumented keeps the tables whole: a setting without a line of
// documentation, or two of one name, is a mistake.
func TestSettingsAreDocumented(t *testing.T) {
	names := map[string]bool{}
	for _, s := range Settings() {
		if s.Doc == "" || s.Name == "" || s.Section == "" {
			t.Errorf("%+v", s)
		}
		for _, name := range []string{s.Env(), s.Flag()} {
			if names[name] {
				t.Errorf("%s twice", name)
			}
			names[name] = true
		}
	}
	var out bytes.Buffer
	if err := Reference(&out); err != nil {
		t.Fatal(err)
	}
	for _, key := range pathKeys() {
		if !slices.ContainsFunc(Settings(), func(s Setting) bool { return s.Key() == key }) {
			t.Errorf("path key %s is no setting", key)
		}
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]Size{"0": 0, "1": 1, "64MiB": 64 << 20, "2GiB": 2 << 30, "1 KiB": 1024, "5MB": 5e6, "3kB": 3000} {
		got, ok := parseSize(text)
		if !ok || got != want {
			t.Errorf("parseSize(%q) = %d, %v", text, got, ok)
		}
		if again, ok := parseSize(got.String()); !ok || again != got {
			t.Errorf("%q becomes %q", text, got)
		}
	}
	for _, text := range []string{"", "x", "-1", "1.5GiB", "99999999999GiB", "1TiBs", "MiB"} {
		if got, ok := parseSize(text); ok {
			t.Errorf("parseSize(%q) = %d", text, got)
		}
	}
}

func TestSuggest(t *testing.T) {
	known := []string{"id", "region", "provider", "quic"}
	for word, want := range map[string]string{"idd": "id", "regoin": "region", "QUIC": "quic", "provder": "provider", "zebra": "", "": ""} {
		got := suggest(word, known)
		if want == "" && got != "" || want != "" && !strings.Contains(got, `"`+want+`"`) {
			t.Errorf("suggest(%q) = %q, want %q", word, got, want)
		}
	}
}

func FuzzFile(f *testing.F) {
	f.Add([]byte(whole))
	f.Add([]byte("node: &a [*a]\n"))
	f.Add([]byte("a: &a {<<: *a}\n"))
	f.Add([]byte("listen: {quic: !!binary aGk=}\n---\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		l := newLoader("node.yaml")
		if l.file("node.yaml", data) {
			l.check(testNow)
			for _, p := range l.invalid.Problems {
				if p.What == "" || strings.ContainsAny(p.Where, "\n") {
					t.Errorf("%q: problem %+v", data, p)
				}
			}
		}
	})
}
