package node_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"trellis/internal/node"
	"trellis/routing/discovery"
)

// silent is a registry that answers when it is told to.
type silent struct{ answer chan discovery.Snapshot }

func (s silent) Watch(ctx context.Context, seen func(discovery.Snapshot)) error {
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case a := <-s.answer:
			seen(a)
		}
	}
}

func (s silent) Report() discovery.Report { return discovery.Report{Problem: "no route"} }

// TestReadyOnceKnown: a node that has never had any list of peers takes no new
// work; that its registry fails afterwards is no reason.
func TestReadyOnceKnown(t *testing.T) {
	inWorld(t, func(w *world) {
		source := silent{make(chan discovery.Snapshot)}
		r := w.node("a", []string{"a"}, func(c *node.Config) { c.Peers, c.PeersAdvice = source, true })
		want := func(healthz, readyz int, reason discovery.Reason) {
			t.Helper()
			time.Sleep(1500 * time.Millisecond)
			synctest.Wait()
			for path, code := range map[string]int{"/healthz": healthz, "/readyz": readyz} {
				if got, body := r.get(path, "localhost"); got != code {
					t.Errorf("%s: %d %s, want %d", path, got, body, code)
				}
			}
			s := r.status()
			if s.Discovery.Reason != reason || s.Node.Degraded != (reason != "") || s.Node.Ready != (readyz == 200) {
				t.Errorf("%+v, %+v, want %q", s.Node, s.Discovery, reason)
			}
		}
		want(200, 503, discovery.ReasonNever)
		source.answer <- discovery.Snapshot{Nodes: []discovery.Node{{ID: "a", Region: "region-a", Addr: "192.0.2.1:1"}}}
		want(200, 200, discovery.ReasonUnreachable)
		_, metrics := r.get("/metrics", "localhost")
		for _, line := range []string{
			"trellis_control_plane_degraded 1", "trellis_discovery_nodes 1", "trellis_consul_last_success_timestamp_seconds 0",
			`trellis_discovery_answers_refused_total{reason="panic_rule"} 0`,
		} {
			if !strings.Contains(metrics, "\n"+line+"\n") {
				t.Errorf("no metric %s", line)
			}
		}
	})
}
