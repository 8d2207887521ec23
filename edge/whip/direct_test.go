package whip_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"trellis/edge/rtc"
	"trellis/edge/whip"
)

func TestDirect(t *testing.T) {
	draining := whip.Direction{Refuse: true, Why: "The node is draining", URL: "https://b.example:4443/", RetryAfter: 5 * time.Second}
	alone := whip.Direction{Refuse: true, Why: "The node is full"}
	nearer := whip.Direction{URL: "https://b.example"}
	for _, tc := range []struct {
		name, path string
		says       whip.Direction
		header     []string
		want       int
		location   string
		link       string
		retry      string
	}{
		{name: "stay", path: "/whip/room/alice", want: 201},
		{name: "nearer", path: "/whip/room/alice", says: nearer, want: 307, location: "https://b.example/whip/room/alice?redirected=1"},
		{name: "nearer, but it was sent here", path: "/whip/room/alice?redirected=1", says: nearer, want: 201},
		{name: "nearer, for a page of another origin", path: "/whip/room/alice", says: nearer, header: []string{"Origin", "https://app.example"}, want: 201},
		{name: "draining", path: "/whip/room/alice", says: draining, want: 307, location: "https://b.example:4443/whip/room/alice?redirected=1"},
		{name: "draining, viewer", path: "/whep/room/al%20ice", says: draining, want: 307, location: "https://b.example:4443/whep/room/al%20ice?redirected=1"},
		{
			name: "draining, for a page", path: "/whip/room/alice", says: draining, header: []string{"Origin", "https://app.example"},
			want: 503, link: `<https://b.example:4443/whip/room/alice?redirected=1>; rel="alternate"`, retry: "5",
		},
		{
			name: "draining, viewer that was sent here", path: "/whep/room/alice?redirected=1", says: draining,
			want: 409, link: `<https://b.example:4443/whep/room/alice?redirected=1>; rel="alternate"`, retry: "5",
		},
		{name: "full, nobody else", path: "/whip/room/alice", says: alone, want: 503, retry: "1"},
		{name: "full, nobody else, viewer", path: "/whep/room/alice", says: alone, want: 409, retry: "1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			change := func(r *rtc.Config, c *whip.Config) {
				withVerifier(r, c)
				c.Direct = func(context.Context, whip.Newcomer) whip.Direction { return tc.says }
			}
			inWorld(t, change, func(w *world) {
				offer := testOffer("sendonly", "VP8")
				if strings.HasPrefix(tc.path, "/whep") {
					offer = testOffer("recvonly", "VP8")
				}
				rec := w.call("POST", tc.path, "alice", sdpType, offer, tc.header...)
				h := rec.Header()
				if rec.Code != tc.want || h.Get("Link") != tc.link || h.Get("Retry-After") != tc.retry {
					t.Errorf("%d, Link %q, Retry-After %q; want %d, %q, %q", rec.Code, h.Get("Link"), h.Get("Retry-After"), tc.want, tc.link, tc.retry)
				}
				if tc.want == http.StatusTemporaryRedirect && h.Get("Location") != tc.location {
					t.Errorf("Location %q, want %q", h.Get("Location"), tc.location)
				}
				// Nobody is sent anywhere before the token has been looked at.
				if rec := w.call("POST", tc.path, "mallory", sdpType, offer, tc.header...); rec.Code != http.StatusUnauthorized {
					t.Errorf("with a bad token: %d", rec.Code)
				}
			})
		})
	}
}

// What a client says of its place is heard in the query and in the header; the
// query has the last word.
func TestPlaceOfNewcomer(t *testing.T) {
	var got whip.Newcomer
	change := func(r *rtc.Config, c *whip.Config) {
		withVerifier(r, c)
		c.Direct = func(_ context.Context, n whip.Newcomer) whip.Direction {
			got = n
			return whip.Direction{Refuse: true, Why: "No"}
		}
	}
	inWorld(t, change, func(w *world) {
		for _, tc := range []struct{ path, header, want string }{
			{"/whep/room/a", "", ""},
			{"/whep/room/a?lat=50.1&lon=8.7&jwt=x", "", "lat=50.1&lon=8.7"},
			{"/whep/room/a", "rtt=a:12,b:40.5", "rtt=a%3A12%2Cb%3A40.5"},
			{"/whep/room/a?lat=1", "lat=2&lon=3", "lat=1&lon=3"},
			{"/whep/room/a", "lat=%zz", ""},
		} {
			got = whip.Newcomer{}
			w.call("POST", tc.path, "bob", sdpType, testOffer("recvonly", "VP8"), "Trellis-Place", tc.header)
			if got.Place.Encode() != tc.want || got.Broadcast != "room/a" || got.Publishes {
				t.Errorf("%s with %q: %+v, want %q", tc.path, tc.header, got, tc.want)
			}
		}
	})
}
