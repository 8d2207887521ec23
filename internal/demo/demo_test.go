package demo

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/goleak"

	"trellis/internal/client"
	"trellis/internal/node"
)

func mustMatrix(t *testing.T) *matrix {
	t.Helper()
	m, err := loadMatrix()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestMatrix(t *testing.T) {
	m := mustMatrix(t)
	if len(m.index) != 21 || len(m.rtt) != 21 {
		t.Fatalf("%d columns, %d rows", len(m.index), len(m.rtt))
	}
	for a := range m.index {
		for b := range m.index {
			d := m.oneWay(a, b)
			if d != m.oneWay(b, a) {
				t.Errorf("%s and %s differ by direction", a, b)
			}
			// The longest way on earth, and the machine next door.
			if a != b && (d < time.Millisecond || d > 250*time.Millisecond) {
				t.Errorf("%s to %s takes %v", a, b, d)
			}
		}
	}
	for _, tc := range []struct {
		a, b string
		want time.Duration
	}{
		{"us-east-1", "eu-west-1", 34 * time.Millisecond},
		{"us-east-1", "ap-southeast-1", 107 * time.Millisecond},
		{"eu-west-1", "ap-southeast-1", 90 * time.Millisecond},
	} {
		if got := m.oneWay(tc.a, tc.b).Truncate(time.Millisecond); got != tc.want {
			t.Errorf("%s to %s takes %v, want %v", tc.a, tc.b, got, tc.want)
		}
	}
}

func TestRegions(t *testing.T) {
	m := mustMatrix(t)
	for name, want := range map[string]string{
		"us-east": "us-east-1", "us-east-1": "us-east-1", "us-east-2": "us-east-2", "frankfurt": "eu-central-1",
		"Tokyo": "ap-northeast-1", "ap-southeast": "ap-southeast-1", "ca-central": "ca-central-1",
	} {
		if got, err := m.resolve(name); err != nil || got.ID != want || got.Name != strings.ToLower(name) {
			t.Errorf("resolve(%q) = %+v, %v", name, got, err)
		}
	}
	for alias, id := range aliases() {
		if _, ok := m.index[id]; !ok {
			t.Errorf("%s stands for %s, which was not measured", alias, id)
		}
	}
	if len(aliases()) != len(m.index) {
		t.Errorf("%d of %d regions have a name for people", len(aliases()), len(m.index))
	}
	for _, names := range [][]string{{"atlantis"}, {""}, {"us-east", "us-east-1"}, {"dublin", "eu-west"}, {"us-east", "us-east"}} {
		if got, err := m.resolveAll(names); err == nil {
			t.Errorf("resolveAll(%q) = %+v", names, got)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	page := fstest.MapFS{}
	for name, cfg := range map[string]Config{
		"no page":          {},
		"unknown region":   {Page: page, Regions: []string{"atlantis"}},
		"too many regions": {Page: page, Regions: make([]string, maxRegions+1)},
		"port too high":    {Page: page, Port: 65530},
		"negative port":    {Page: page, Port: -1},
		"watching a film":  {Page: page, Via: client.WHEP},
	} {
		if d, err := New(t.Context(), cfg); err == nil {
			t.Errorf("%s: accepted", name)
			_ = d.Close() // the test has failed already
		}
	}
}

// TestDemo runs a small demonstration on real sockets of this machine, reads
// what the page would read, and ends it.
func TestDemo(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	for _, via := range []client.Protocol{client.WHIP, client.MoQ} {
		d, err := New(t.Context(), Config{
			Regions: []string{"frankfurt", "eu-west-3"}, Via: via,
			Page: fstest.MapFS{"index.html": {Data: []byte("the page")}},
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ready, done := make(chan Info, 1), make(chan error, 1)
		go func() { done <- d.Run(ctx, func(i Info) error { ready <- i; return nil }) }()
		select {
		case info := <-ready:
			checkInfo(t, info)
			checkPage(t, info)
		case err := <-done:
			t.Fatalf("by %s: ended before it was ready: %v", via, err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("by %s: Run: %v", via, err)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// checkInfo holds the line of JSON to its form: others depend on it.
func checkInfo(t *testing.T, info Info) {
	t.Helper()
	data, err := json.Marshal(info)
	if err != nil {
		t.Fatal(err)
	}
	var line map[string]any
	if err := json.Unmarshal(data, &line); err != nil {
		t.Fatal(err)
	}
	if got, want := slices.Sorted(maps.Keys(line)), []string{"broadcast", "livekit", "page", "regions", "token"}; !slices.Equal(got, want) {
		t.Errorf("members %v, want %v", got, want)
	}
	regions, _ := line["regions"].([]any)
	if len(regions) != 2 {
		t.Fatalf("%d regions", len(regions))
	}
	for _, r := range regions {
		region, _ := r.(map[string]any)
		if got, want := slices.Sorted(maps.Keys(region)), []string{"livekit", "moq", "name", "node", "status", "whep", "whip"}; !slices.Equal(got, want) {
			t.Errorf("members of a region %v, want %v", got, want)
		}
	}
	if info.Regions[0].Name != "frankfurt" || info.Regions[0].Node != "eu-central-1" || info.Regions[1].Name != "eu-west-3" {
		t.Errorf("regions %+v", info.Regions)
	}
}

func checkPage(t *testing.T, info Info) {
	t.Helper()
	if got := fetch(t, info.Page); string(got) != "the page" {
		t.Errorf("the page is %q", got)
	}
	var shown struct {
		Info

		WAN WANInfo `json:"wan"`
	}
	if err := json.Unmarshal(fetch(t, info.Page+"demo.json"), &shown); err != nil {
		t.Fatal(err)
	}
	if !shown.WAN.Enabled || len(shown.WAN.Delays) != 2 || shown.WAN.Delays[0].OneWayMs <= 0 {
		t.Errorf("the page is told of delays %+v", shown.WAN)
	}
	for _, r := range info.Regions {
		var s node.Status
		if err := json.Unmarshal(fetch(t, r.Status), &s); err != nil {
			t.Fatal(err)
		}
		if s.Node.ID != r.Node || len(s.Links) != 1 || len(s.Broadcasts) != 1 || s.Broadcasts[0].Name != info.Broadcast {
			t.Errorf("status of %s: %+v", r.Name, s)
		}
		hash := fetch(t, strings.TrimSuffix(r.MoQ, "/")+"/certificate.sha256")
		if len(hash) != 64 {
			t.Errorf("certificate hash %q", hash)
		}
	}
}

func fetch(t *testing.T, url string) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(resp.Body)
	if err := resp.Body.Close(); err != nil {
		t.Error(err)
	}
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s, %v", url, resp.Status, err)
	}
	return data
}
