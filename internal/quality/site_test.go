package quality

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var testPath = netip.MustParseAddrPort("127.0.0.1:4000")

// TestLead: a viewer's answer names the path and nothing else, a publisher's is left
// alone, and an answer without UDP is refused.
func TestLead(t *testing.T) {
	const udp = "a=candidate:1 1 udp 1 192.0.2.1 5000 typ host\r\n"
	const tcp = "a=candidate:2 1 tcp 1 192.0.2.1 5000 typ host tcptype passive\r\n"
	answer := "v=0\r\n" + udp + tcp
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/sdp")
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, answer) // the test looks at what came
	}))
	defer server.Close()
	s, err := (&Config{}).openSite(Ours, server.URL, testPath)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.close() }()
	post := func(path string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+path, strings.NewReader("v=0\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(body)
	}
	if _, got := post("/whep/quality/picture"); got != "v=0\r\na=candidate:1 1 udp 1 127.0.0.1 4000 typ host\r\n" {
		t.Errorf("the viewer's answer: %q", got)
	}
	if _, got := post("/whip/quality/picture"); got != answer {
		t.Errorf("the publisher's answer: %q", got)
	}
	answer = "v=0\r\n" + tcp
	if status, _ := post("/whep/quality/picture"); status != http.StatusBadGateway {
		t.Errorf("an answer without UDP: status %d", status)
	}
}

// TestLiveKitPages: the viewer's page is told the path, the publisher's is not, and
// both have the SDK that is installed.
func TestLiveKitPages(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"livekit-server", "livekit-client.js"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("// "+name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := (&Config{LiveKit: dir}).openSite(LiveKit, "http://127.0.0.1:7880", testPath)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.close() }()
	for page, path := range map[string]string{s.publish: "", s.view: `{"ip":"127.0.0.1","port":4000}`} {
		u, err := url.Parse(page)
		if err != nil {
			t.Fatal(err)
		}
		if q := u.Query(); q.Get("url") != "ws://127.0.0.1:7880" || q.Get("token") == "" || q.Get("path") != path {
			t.Errorf("page %s", page)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/livekit-client.js", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if body, err := io.ReadAll(res.Body); err != nil || string(body) != "// livekit-client.js" {
		t.Errorf("the SDK: %q, %v", body, err)
	}
}
