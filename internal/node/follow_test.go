package node_test

import (
	"net/http"
	"testing"
	"time"

	"trellis/edge/framing"
	"trellis/internal/auth"
	"trellis/internal/client"
	"trellis/internal/clip"
	"trellis/internal/node"
)

// connection is what our own programs connect with, from a host of its own.
func (r *running) connection(name string) client.Connection {
	r.w.Helper()
	target, err := client.ParseTarget("moqs://"+r.host.AddrPort(quicPort).String()+"/room/alice", "")
	r.w.must(err)
	c := r.client(name)
	return client.Connection{
		Target: target, Token: r.w.token(auth.Claims{Publish: []string{""}, Subscribe: []string{""}, Subject: name}),
		Insecure: true, HTTP: c.HTTP(), DialQUIC: c.DialQUIC, Log: r.w.log(),
	}
}

// secure makes a node known to clients under its address, as one with TLS.
func secure(w *world, name string) func(*node.Config) {
	return func(c *node.Config) { c.Public.URL = "https://" + w.net.Host(name).AddrPort(quicPort).String() }
}

// TestPublisherFollows: the node of a publisher is drained. The publisher goes to
// another one before the deadline, so nobody has to be ended, and a viewer elsewhere
// sees the broadcast go on.
func TestPublisherFollows(t *testing.T) {
	inWorld(t, func(w *world) {
		a := w.node("a", []string{"b", "c"}, secure(w, "a"))
		w.node("b", []string{"a", "c"}, secure(w, "b"))
		c := w.node("c", []string{"a", "b"}, secure(w, "c"))
		time.Sleep(2 * time.Second)
		film, err := clip.Load(framing.VP8)
		w.must(err)
		type published struct {
			client.PublishReport
			err error
		}
		publishing := make(chan published, 1)
		go func() {
			r, err := client.Publish(w.Context(), client.PublishConfig{
				Connection: a.connection("camera"), Sources: []client.Source{client.EndlessSource("film", film)}, For: 16 * time.Second,
			})
			publishing <- published{r, err}
		}()
		type watched struct {
			client.WatchReport
			err error
		}
		watching := make(chan watched, 1)
		go func() {
			time.Sleep(2 * time.Second)
			r, err := client.Watch(w.Context(), client.WatchConfig{Connection: c.connection("viewer"), For: 12 * time.Second})
			watching <- watched{r, err}
		}()
		time.Sleep(6 * time.Second)
		var s node.DrainStatus
		if code := a.ask("POST", "/v1/drain?deadline=8s", &s); code != http.StatusOK || s.Remaining.Publishers != 1 {
			t.Errorf("%d, %+v", code, s)
		}
		time.Sleep(7 * time.Second)
		if s := a.wantState("after the publisher has left", node.Drained, node.Remaining{}); s.Ended != (node.Remaining{}) {
			t.Errorf("ended %+v", s.Ended)
		}
		p, v := <-publishing, <-watching
		if p.err != nil || p.Reconnects != 1 || p.Skipped != 0 {
			t.Errorf("publisher: %v, %+v", p.err, p.PublishReport)
		}
		if v.err != nil || len(v.Tracks) != 1 {
			t.Fatalf("viewer: %v, %+v", v.err, v.WatchReport)
		}
		track := v.Tracks[0]
		t.Logf("simulated: the viewer got %d frames, %d lost, the longest silence %.0f ms", track.Objects, track.Lost, track.LongestSilenceMs)
		if track.Objects < 350 || track.Lost > 3 || track.LongestSilenceMs > 500 {
			t.Errorf("%d frames, %d lost, %.0f ms of silence", track.Objects, track.Lost, track.LongestSilenceMs)
		}
	})
}
