package moqclient

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"trellis/wire/moqlite"
)

func TestConfig(t *testing.T) {
	for _, tc := range []struct {
		what string
		cfg  Config
		want string // part of the error; empty: none
	}{
		{"https", Config{URL: "https://edge.example/room?jwt=x"}, ""},
		{"http", Config{URL: "http://localhost:4443"}, ""},
		{"no URL", Config{}, "want https"},
		{"a bad URL", Config{URL: "https://a b/?jwt=secret"}, "is not a URL"},
		{"another scheme", Config{URL: "ftp://a"}, `scheme "ftp"`},
		{"a short hash", Config{URL: "https://a", CertHash: []byte{1}}, "1 bytes, want 32"},
		{"an unknown version", Config{URL: "https://a", Versions: []moqlite.Version{9}}, "not spoken"},
		{"a large hop id", Config{URL: "https://a", HopID: 1 << 53}, "HopID"},
	} {
		cfg, u, err := tc.cfg.withDefaults()
		switch {
		case tc.want == "" && err != nil:
			t.Errorf("%s: %v", tc.what, err)
		case tc.want == "" && (u.Port() == "" || cfg.HopID == 0 || !cfg.QUIC.EnableDatagrams || cfg.TLS.ServerName != u.Hostname()):
			t.Errorf("%s: %+v", tc.what, cfg)
		case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
			t.Errorf("%s: got %v, want %q", tc.what, err, tc.want)
		case err != nil && strings.Contains(err.Error(), "secret"):
			t.Errorf("%s: the error has the token in it: %v", tc.what, err)
		}
	}
}

func TestFetchCertHash(t *testing.T) {
	hash := bytes.Repeat([]byte{0xab}, 32)
	answers := map[string]string{"good": strings.Repeat("ab", 32) + "\n", "bad": "not hex"}
	for name, answer := range answers {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/certificate.sha256" || r.URL.RawQuery != "" {
				t.Errorf("asked for %v", r.URL)
			}
			_, _ = w.Write([]byte(answer))
		}))
		u, err := url.Parse(server.URL + "/room?jwt=secret")
		if err != nil {
			t.Fatal(err)
		}
		got, err := fetchCertHash(t.Context(), u)
		if good := name == "good"; (err == nil) != good || good && !bytes.Equal(got, hash) {
			t.Errorf("%s: %x, %v", name, got, err)
		}
		server.Close()
		if _, err := fetchCertHash(t.Context(), u); err == nil {
			t.Error("a server that is gone has a hash")
		}
	}
}

func TestReadFrame(t *testing.T) {
	want := bytes.Repeat([]byte("frame"), 40_000)
	got, err := readFrame(bytes.NewReader(want), uint64(len(want)))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	// The announced size reserves no memory.
	if _, err := readFrame(bytes.NewReader(want[:10]), 1<<40); err == nil {
		t.Error("a frame that ends early is accepted")
	}
}
