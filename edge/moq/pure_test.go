package moq

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/webtransport-go"

	"trellis/internal/auth"
	"trellis/internal/relay"
	"trellis/wire"
	"trellis/wire/hang"
	"trellis/wire/moqlite"
)

func TestCodeOf(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want wire.Code
	}{
		{nil, wire.CodeCancel},
		{refuse(wire.CodeTooMany, refuseRequests, ""), wire.CodeTooMany},
		{&moqlite.ProtocolError{Code: wire.CodeBounds}, wire.CodeBounds},
		{&webtransport.StreamError{ErrorCode: 26}, wire.CodeLagged},
		{&webtransport.SessionError{ErrorCode: 6}, wire.CodeUnauthorized},
		{&relay.ResetError{Reason: relay.DropCacheAge}, wire.CodeEvicted},
		{&relay.ResetError{Reason: relay.DropTooLate}, wire.CodeOld},
		{&relay.ResetError{Reason: relay.DropTrackEnded}, wire.CodeClosed},
		{&relay.ResetError{Reason: relay.DropIncomplete}, wire.CodeDropped},
		{&auth.DeniedError{}, wire.CodeUnauthorized},
		{relay.ErrNotFound, wire.CodeNotFound},
		{relay.ErrReplaced, wire.CodeReplaced},
		{relay.ErrEnded, wire.CodeClosed},
		{relay.ErrLimit, wire.CodeTooMany},
		{relay.ErrTooLarge, wire.CodeTooLarge},
		{wire.ErrName, wire.CodeDecode},
		{os.ErrDeadlineExceeded, wire.CodeTimeout},
		{context.DeadlineExceeded, wire.CodeTimeout},
		{io.ErrUnexpectedEOF, wire.CodeDecode},
		{context.Canceled, wire.CodeCancel},
		{errors.New("the wire is cut"), wire.CodeTransport},
	} {
		if got := codeOf(tc.err); got != tc.want {
			t.Errorf("codeOf(%v) = %v, want %v", tc.err, got, tc.want)
		}
		if tc.err == nil {
			continue
		}
		if got := codeOf(fmt.Errorf("wrapped: %w", tc.err)); got != tc.want {
			t.Errorf("codeOf(wrapped %v) = %v, want %v", tc.err, got, tc.want)
		}
	}
}

// The codes of streams below the library are those that the library reads.
func TestRawStreamCode(t *testing.T) {
	// draft-ietf-webtrans-http3, Section 4.4: the first code, and the first
	// beyond a reserved one.
	for code, want := range map[wire.Code]quic.StreamErrorCode{0: 0x52e4a40fa8db, 29: 0x52e4a40fa8f8, 30: 0x52e4a40fa8fa, 1<<32 - 1: 0x52e5ac983162} {
		if got := rawStreamCode(code); got != want {
			t.Errorf("rawStreamCode(%d) = %#x, want %#x", code, got, want)
		}
	}
}

func TestTracks(t *testing.T) {
	var tr tracks
	for name, want := range map[string]trackFacts{
		"catalog.json":   {wire.KindCatalog, false, 0},
		"catalog.json.z": {wire.KindCatalog, false, 0},
		"video/hd":       {wire.KindVideo, true, 0},
		"audio/data":     {wire.KindAudio, true, 0},
		"videos":         {wire.KindData, false, 0},
		"chat":           {wire.KindData, false, 0},
	} {
		if got := tr.of(name); got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	c, err := hang.ParseCatalog([]byte(`{
		"video":{"renditions":{"cam":{"codec":"vp8"},"video/hd":{"codec":"vp8","container":{"kind":"loc"}}}},
		"audio":{"renditions":{"mic":{"codec":"opus","sampleRate":48000,"numberOfChannels":1}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	tr.learn(c)
	for name, want := range map[string]trackFacts{
		"cam":          {wire.KindVideo, true, 0},
		"video/hd":     {wire.KindVideo, false, 0},
		"mic":          {wire.KindAudio, true, 0},
		"catalog.json": {wire.KindCatalog, false, 0},
	} {
		if got := tr.of(name); got != want {
			t.Errorf("with the catalog, %s: %+v, want %+v", name, got, want)
		}
	}
}

// TestLayers: of several renditions the worst is the base, and the better one is,
// the sooner it may be left out.
func TestLayers(t *testing.T) {
	c, err := hang.ParseCatalog([]byte(`{"video":{"renditions":{
		"hd":{"codec":"vp8","codedWidth":1280,"codedHeight":720},
		"sd":{"codec":"vp8","codedWidth":640,"codedHeight":360,"bitrate":500000},
		"sd-too":{"codec":"vp8","codedWidth":640,"codedHeight":360,"bitrate":500000},
		"low":{"codec":"vp8","codedWidth":640,"codedHeight":360,"bitrate":100000}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	var tr tracks
	tr.learn(c)
	for name, want := range map[string]uint8{"low": 60, "sd": 55, "sd-too": 55, "hd": 50, "video/other": 60} {
		if got := tr.of(name).priority(); got != want {
			t.Errorf("%s has priority %d, want %d", name, got, want)
		}
	}
	if got := (trackFacts{kind: wire.KindVideo, layer: 50}).priority(); got <= wire.PriorityData {
		t.Errorf("priority %d of a picture, not above data", got)
	}
}

func TestBandwidth(t *testing.T) {
	var b bandwidth
	now := time.Unix(0, 0)
	if got, _ := b.observe(quic.ConnectionStats{CongestionWindow: 40_000}, now); got != 0 {
		t.Errorf("without a round trip time: %d", got)
	}
	stats := quic.ConnectionStats{CongestionWindow: 50_000, MinRTT: 100 * time.Millisecond, SmoothedRTT: 100 * time.Millisecond}
	observe := func(what string, sent, lost uint64, rtt time.Duration, want uint64) {
		t.Helper()
		now = now.Add(time.Second)
		stats.BytesSent += sent
		stats.BytesLost += lost
		stats.SmoothedRTT = rtt
		if got, gotRTT := b.observe(stats, now); got != want || gotRTT != rtt {
			t.Errorf("%s: %d bit/s, %v; want %d", what, got, gotRTT, want)
		}
	}
	observe("first", 0, 0, 100*time.Millisecond, 4_000_000)
	observe("little to send", 10_000, 0, 100*time.Millisecond, 4_000_000)
	observe("lossy", 110_000, 10_000, 100*time.Millisecond, 800_000)
	observe("a queue", 100_000, 0, 200*time.Millisecond, 800_000)
	observe("idle", 0, 0, 100*time.Millisecond, 4_000_000)
}

func TestReporter(t *testing.T) {
	var r reporter
	start := time.Unix(1000, 0)
	for _, tc := range []struct {
		after time.Duration
		bps   uint64
		rtt   time.Duration
		want  bool
	}{
		{0, 1000, 50 * time.Millisecond, true},
		{time.Second, 1100, 50 * time.Millisecond, false},
		{time.Second, 1300, 50 * time.Millisecond, true},
		{2 * time.Second, 1300, 70 * time.Millisecond, true},
		{9 * time.Second, 1350, 70 * time.Millisecond, false},
		{9 * time.Second, 1450, 70 * time.Millisecond, true},
		{18 * time.Second, 1450, 70 * time.Millisecond, false},
		{19 * time.Second, 1450, 70 * time.Millisecond, true},
	} {
		if got := r.due(tc.bps, tc.rtt, start.Add(tc.after)); got != tc.want {
			t.Errorf("%+v: due %v", tc, got)
		}
	}
}

func TestCertificateHandler(t *testing.T) {
	leaf := []byte("a certificate")
	server := httptest.NewServer(CertificateHandler(func() []byte { return leaf }))
	defer server.Close()
	for method, want := range map[string]int{http.MethodGet: 200, http.MethodHead: 200, http.MethodOptions: 204, http.MethodPost: 405} {
		request, err := http.NewRequestWithContext(t.Context(), method, server.URL+"/certificate.sha256", nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := server.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || response.StatusCode != want || response.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: status %d, %v, %v", method, response.StatusCode, response.Header, err)
		}
		hash := sha256.Sum256(leaf)
		if method == http.MethodGet && string(body) != hex.EncodeToString(hash[:]) {
			t.Errorf("body %q", body)
		}
	}
}

func TestConfig(t *testing.T) {
	table, err := relay.NewTable(relay.Config{})
	if err != nil {
		t.Fatal(err)
	}
	good := Config{Table: table, Verifier: testVerifier{}, NodeID: "n"}
	if _, err := New(good); err != nil {
		t.Errorf("a good config: %v", err)
	}
	for what, change := range map[string]func(*Config){
		"no table":         func(c *Config) { c.Table = nil },
		"no verifier":      func(c *Config) { c.Verifier = nil },
		"no node":          func(c *Config) { c.NodeID = "" },
		"a negative limit": func(c *Config) { c.MaxSending = -1 },
		"a negative time":  func(c *Config) { c.StallTimeout = -1 },
	} {
		c := good
		change(&c)
		if _, err := New(c); err == nil {
			t.Errorf("%s is accepted", what)
		}
	}
}
