package consul

import (
	"net/http"
	"os"
	"strings"
	"sync"
)

// transport adds the token to each request and bounds each answer.
type transport struct {
	base  http.RoundTripper
	token *tokenFile
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if token := t.token.get(); token != "" {
		r = r.Clone(r.Context())
		r.Header.Set("X-Consul-Token", token)
	}
	resp, err := t.base.RoundTrip(r)
	if err == nil {
		resp.Body = http.MaxBytesReader(nil, resp.Body, maxAnswerBytes)
	}
	return resp, err
}

// tokenFile is a token that may be renewed: Consul's client reads it once only.
type tokenFile struct {
	path string

	mu   sync.Mutex
	last string
}

// get returns the token in the file, or the last one if it cannot be read now.
// Empty: the client uses what it has by itself.
func (f *tokenFile) get() string {
	if f.path == "" {
		return ""
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if b, err := os.ReadFile(f.path); err == nil {
		if token := strings.TrimSpace(string(b)); token != "" {
			f.last = token
		}
	}
	return f.last
}
