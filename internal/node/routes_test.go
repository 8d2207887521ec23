package node_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"trellis/backbone"
	"trellis/internal/relay"
	"trellis/wire"
)

// TestRoutes: the origin plans where a track goes, and says so at GET /v1/routes.
func TestRoutes(t *testing.T) {
	inWorld(t, func(w *world) {
		ids := []string{"a", "b", "c"}
		a, b := w.node("a", ids, nil), w.node("b", ids, nil)
		w.node("c", ids, nil)
		time.Sleep(3 * time.Second)
		bc, err := a.Table().Announce(relay.Announcement{Name: "room/alice", PublisherID: 7, Origin: "a", Local: true}, nil)
		w.must(err)
		tr, err := bc.PushTrack("video/hd", wire.TrackInfo{Kind: wire.KindVideo, Timescale: 1000})
		w.must(err)
		time.Sleep(time.Second)
		sub, err := b.Table().Subscribe(wire.TrackName{Broadcast: "room/alice", Track: "video/hd"}, relay.SubscribeOptions{Viewers: 2})
		w.must(err)
		defer sub.Close()
		for seq := range uint64(40) {
			g, err := tr.Group(seq)
			w.must(err)
			w.must(g.Write(0, relay.ObjectHeader{Time: int64(seq), Ingress: time.Now().UnixMicro()}, make([]byte, 1000)))
			g.Close()
			time.Sleep(100 * time.Millisecond)
		}
		for _, n := range []*running{a, b} {
			code, body := n.get("/v1/routes?track=room/alice/video/hd&edge=b", "localhost")
			var s backbone.RoutesStatus
			if err := json.Unmarshal([]byte(body), &s); err != nil || code != http.StatusOK || len(s.Routes) != 1 {
				t.Fatalf("%d, %v: %s", code, err, body)
			}
			r := s.Routes[0]
			age := r.Path[len(r.Path)-1]
			if s.Origin != "a" || s.Protect != "warm" || r.Viewers != 2 || r.Parent != "a" || r.Version == 0 || r.Reason == "" || len(r.Changes) == 0 ||
				strings.Join(r.Backup, " ") != "a c" || age.Age != "measured" || age.AgeMs < 9 || age.AgeMs > 12 || r.SlackMs < 60 {
				t.Errorf("at %s: %s", s.Node, body)
			}
		}
		for path, want := range map[string]string{
			"/v1/routes?track=room/alice/video/hd&edge=x":  "x does not take",
			"/v1/routes?track=room/alice/nothing":          "no other node takes it",
			"/v1/routes?track=room/bob/video":              "no broadcast",
			"/v1/routes?track=room/alice/video/hd&edge=aa": "aa does not take",
		} {
			if code, body := a.get(path, "localhost"); code != http.StatusNotFound || !strings.Contains(body, want) {
				t.Errorf("GET %s: %d %s, want %q", path, code, body, want)
			}
		}
		if code, body := a.get("/v1/routes", "localhost"); code != http.StatusBadRequest || !strings.Contains(body, "?track=") {
			t.Errorf("GET /v1/routes: %d %s", code, body)
		}
	})
}
