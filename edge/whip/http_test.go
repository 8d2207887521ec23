package whip_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"trellis/edge/framing"
	"trellis/edge/rtc"
	"trellis/edge/whip"
	"trellis/edge/whip/whipclient"
	"trellis/internal/auth"
	"trellis/wire"
)

// testOffer is an offer of Opus and VP8, H.264 or nothing that we know.
func testOffer(direction, video string) string {
	lines := []string{
		"v=0", "o=- 1 2 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=group:BUNDLE 0 1",
		"a=fingerprint:sha-256 " + strings.TrimSuffix(strings.Repeat("AB:", 32), ":"),
		"m=audio 9 UDP/TLS/RTP/SAVPF 111", "c=IN IP4 0.0.0.0", "a=rtcp-mux", "a=mid:0", "a=" + direction,
		"a=ice-ufrag:abcd", "a=ice-pwd:abcdefghijklmnopqrstuvwx", "a=setup:actpass", "a=rtpmap:111 opus/48000/2",
		"m=video 9 UDP/TLS/RTP/SAVPF 96", "c=IN IP4 0.0.0.0", "a=rtcp-mux", "a=mid:1", "a=" + direction,
		"a=ice-ufrag:abcd", "a=ice-pwd:abcdefghijklmnopqrstuvwx", "a=setup:actpass", "a=rtpmap:96 " + video + "/90000",
	}
	return strings.Join(lines, "\r\n") + "\r\n"
}

// fakeVerifier knows two identities; both may use room/, only alice publishes.
type fakeVerifier struct{ expires time.Duration }

func (f fakeVerifier) Verify(token string, now time.Time) (auth.Grant, error) {
	g := auth.Grant{ID: token, Subscribe: []wire.Prefix{"room"}, Expires: now.Add(time.Hour)}
	switch token {
	case "alice":
		g.Publish = []wire.Prefix{"room"}
	case "shortlived":
		g.Publish, g.Expires = []wire.Prefix{"room"}, now.Add(f.expires)
	case "bob":
	default:
		return auth.Grant{}, errors.New("bad token")
	}
	return g, nil
}

// call makes a request and returns the response, whose problem it checks.
func (w *world) call(method, path, token, contentType, body string, header ...string) *httptest.ResponseRecorder {
	w.t.Helper()
	r := httptest.NewRequestWithContext(w.t.Context(), method, "http://10.0.0.1"+path, strings.NewReader(body))
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	if rec.Code >= 400 {
		var p struct {
			Status        int
			Title, Detail string
		}
		if err := json.Unmarshal(rec.Body.Bytes(), &p); err != nil {
			w.t.Errorf("%s %s: %d with a body that is no problem: %v", method, path, rec.Code, err)
		}
		if ct := rec.Header().Get("Content-Type"); ct != "application/problem+json" || p.Status != rec.Code || p.Detail == "" {
			w.t.Errorf("%s %s: %d, problem %+v as %s", method, path, rec.Code, p, ct)
		}
	}
	return rec
}

func withVerifier(_ *rtc.Config, c *whip.Config) {
	c.Anonymous, c.Verifier = false, fakeVerifier{}
	c.AllowedOrigins = []string{"https://app.example"}
}

const (
	sdpType  = "application/sdp"
	fragType = "application/trickle-ice-sdpfrag"
)

func TestStatuses(t *testing.T) {
	publisher := testOffer("sendonly", "VP8")
	viewer := testOffer("recvonly", "VP8")
	for _, tc := range []struct {
		name, method, path, token, contentType, body string
		want                                         int
	}{
		{"publish", "POST", "/whip/room/alice", "alice", sdpType, publisher, 201},
		{"publish with parameters in the type", "POST", "/whip/room/alice", "alice", sdpType + "; charset=utf-8", publisher, 201},
		{"no token", "POST", "/whip/room/alice", "", sdpType, publisher, 401},
		{"bad token", "POST", "/whip/room/alice", "mallory", sdpType, publisher, 401},
		{"publish without right", "POST", "/whip/room/alice", "bob", sdpType, publisher, 403},
		{"publish elsewhere", "POST", "/whip/roomy/alice", "alice", sdpType, publisher, 403},
		{"view elsewhere", "POST", "/whep/other/alice", "bob", sdpType, viewer, 403},
		{"not live", "POST", "/whep/room/alice", "bob", sdpType, viewer, 409},
		{"no name", "POST", "/whip/", "alice", sdpType, publisher, 400},
		{"dots", "POST", "/whip/room/../alice", "alice", sdpType, publisher, 400},
		{"300 parts", "POST", "/whip/room" + strings.Repeat("/a", 299), "alice", sdpType, publisher, 400},
		{"control character", "POST", "/whip/room/%07", "alice", sdpType, publisher, 400},
		{"wrong type", "POST", "/whip/room/alice", "alice", "application/json", publisher, 415},
		{"no type", "POST", "/whip/room/alice", "alice", "", publisher, 415},
		{"empty", "POST", "/whip/room/alice", "alice", sdpType, "", 400},
		{"not SDP", "POST", "/whip/room/alice", "alice", sdpType, "hello", 400},
		{"truncated SDP", "POST", "/whip/room/alice", "alice", sdpType, publisher[:len(publisher)/2], 400},
		{"too large", "POST", "/whip/room/alice", "alice", sdpType, publisher + strings.Repeat("a=x\r\n", 20_000), 413},
		{"viewer's offer to WHIP", "POST", "/whip/room/alice", "alice", sdpType, viewer, 400},
		{"publisher's offer to WHEP", "POST", "/whep/room/alice", "alice", sdpType, publisher, 400},
		{"unknown codec", "POST", "/whip/room/alice", "alice", sdpType, testOffer("sendonly", "THEORA"), 406},
		{"H.264 mode 0", "POST", "/whip/room/alice", "alice", sdpType, testOffer("sendonly", "H264"), 406},
		{"data channel", "POST", "/whip/room/alice", "alice", sdpType, publisher + "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:2\r\n", 400},
		{"no ICE", "POST", "/whip/room/alice", "alice", sdpType, strings.ReplaceAll(publisher, "a=ice-ufrag:abcd\r\n", ""), 400},
		{"two videos", "POST", "/whip/room/alice", "alice", sdpType, publisher + publisher[strings.Index(publisher, "m=video"):], 400},
		{"get endpoint", "GET", "/whip/room/alice", "", "", "", 204},
		{"head endpoint", "HEAD", "/whep/room/alice", "", "", "", 204},
		{"put", "PUT", "/whip/room/alice", "alice", sdpType, publisher, 405},
		{"options", "OPTIONS", "/whip/room/alice", "", "", "", 204},
		{"session options", "OPTIONS", "/rtc/x", "", "", "", 204},
		{"unknown session", "GET", "/rtc/nonsense", "", "", "", 404},
		{"delete unknown session", "DELETE", "/rtc/nonsense", "alice", "", "", 404},
		{"elsewhere", "GET", "/elsewhere", "", "", "", 404},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inWorld(t, withVerifier, func(w *world) {
				rec := w.call(tc.method, tc.path, tc.token, tc.contentType, tc.body)
				if rec.Code != tc.want {
					w.t.Fatalf("status %d, want %d: %s", rec.Code, tc.want, rec.Body)
				}
				switch {
				case tc.want == http.StatusConflict && rec.Header().Get("Retry-After") == "":
					w.t.Error("no Retry-After")
				case tc.want == http.StatusUnauthorized && rec.Header().Get("WWW-Authenticate") == "":
					w.t.Error("no WWW-Authenticate")
				case tc.want == http.StatusCreated:
					for _, h := range []string{"Location", "ETag", "Accept-Patch"} {
						if rec.Header().Get(h) == "" {
							w.t.Errorf("no %s", h)
						}
					}
					if !strings.Contains(rec.Body.String(), "a=candidate:") || !strings.Contains(rec.Body.String(), "a=ice-lite") {
						w.t.Errorf("answer without candidates or ice-lite:\n%s", rec.Body)
					}
				}
			})
		})
	}
}

func TestSessionResource(t *testing.T) {
	inWorld(t, withVerifier, func(w *world) {
		t := w.t
		rec := w.call("POST", "/whip/room/alice", "alice", sdpType, testOffer("sendonly", "VP8"))
		if rec.Code != http.StatusCreated {
			t.Fatalf("status %d: %s", rec.Code, rec.Body)
		}
		at, etag := rec.Header().Get("Location"), rec.Header().Get("ETag")
		frag := "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n" +
			"a=candidate:1 1 udp 2130706431 10.0.0.9 5000 typ host\r\na=end-of-candidates\r\n"
		for _, tc := range []struct {
			name, method, token, contentType, body, match string
			want                                          int
		}{
			{"alive", "GET", "", "", "", "", 204},
			{"wrong type", "PATCH", "alice", sdpType, frag, etag, 415},
			{"no If-Match", "PATCH", "alice", fragType, frag, "", 428},
			{"stale ETag", "PATCH", "alice", fragType, frag, `"old"`, 412},
			{"trickle", "PATCH", "alice", fragType, frag, etag, 204},
			{"no fragment", "PATCH", "alice", fragType, "hello", etag, 400},
			{"bad candidate", "PATCH", "alice", fragType, "m=a\r\na=mid:0\r\na=candidate:x\r\n", etag, 400},
			{"restart before the start", "PATCH", "alice", fragType, frag, "*", 422},
			{"restart without credentials", "PATCH", "alice", fragType, "m=a\r\na=mid:0\r\n", "*", 400},
			{"trickle by another", "PATCH", "bob", fragType, frag, etag, 403},
			{"trickle by nobody", "PATCH", "", fragType, frag, etag, 401},
			{"post", "POST", "alice", sdpType, "x", "", 405},
			{"delete by another", "DELETE", "bob", "", "", "", 403},
			{"delete", "DELETE", "alice", "", "", "", 200},
		} {
			header := []string{}
			if tc.match != "" {
				header = append(header, "If-Match", tc.match)
			}
			if rec := w.call(tc.method, at, tc.token, tc.contentType, tc.body, header...); rec.Code != tc.want {
				t.Errorf("%s: status %d, want %d: %s", tc.name, rec.Code, tc.want, rec.Body)
			}
		}
		synctest.Wait()
		if rec := w.call("GET", at, "", "", ""); rec.Code != http.StatusNotFound {
			t.Errorf("after DELETE: status %d", rec.Code)
		}
	})
}

func TestCORS(t *testing.T) {
	inWorld(t, withVerifier, func(w *world) {
		for origin, want := range map[string]string{
			"https://app.example": "https://app.example", "https://evil.example": "", "": "",
		} {
			rec := w.call("OPTIONS", "/whip/room/alice", "", "", "", "Origin", origin)
			if got := rec.Header().Get("Access-Control-Allow-Origin"); got != want {
				w.t.Errorf("origin %q: allowed %q, want %q", origin, got, want)
			}
			if got := rec.Header().Get("Accept-Post"); got != sdpType {
				w.t.Errorf("Accept-Post %q", got)
			}
		}
		rec := w.call("POST", "/whip/room/alice", "", sdpType, "x", "Origin", "https://app.example")
		for _, h := range []string{"Location", "ETag", "Link"} {
			if !strings.Contains(rec.Header().Get("Access-Control-Expose-Headers"), h) {
				w.t.Errorf("%s is not exposed", h)
			}
		}
	})
}

// TestNoCommonCodec has a viewer of a VP8 broadcast that decodes only H.264.
func TestNoCommonCodec(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		video := loadStream(w.t, framing.VP8)
		pub := w.publish(whipclient.Source{Codec: framing.VP8})
		video.send(w.t, pub, 0, 0, time.Second)
		_, err := whipclient.Play(w.t.Context(), whipclient.PlayConfig{
			Config: w.client("/whep/room/alice"), Codecs: []framing.Codec{framing.H264},
		})
		var se *whipclient.StatusError
		if !errors.As(err, &se) || se.Status != http.StatusNotAcceptable || !strings.Contains(se.Detail, "VP8") {
			w.t.Errorf("got %v, want 406 that names VP8", err)
		}
		w.must(pub.Close(w.t.Context()))
	})
}

func TestLimits(t *testing.T) {
	configure := func(c *rtc.Config, h *whip.Config) {
		withVerifier(c, h)
		c.MaxSessions, c.MaxSessionsPerIdentity = 3, 2
	}
	inWorld(t, configure, func(w *world) {
		offer := testOffer("sendonly", "VP8")
		for i, want := range []int{201, 201, 503} {
			rec := w.call("POST", fmt.Sprintf("/whip/room/%d", i), "alice", sdpType, offer)
			if rec.Code != want || want == 503 && rec.Header().Get("Retry-After") == "" {
				w.t.Errorf("session %d: status %d, want %d", i, rec.Code, want)
			}
		}
		time.Sleep(11 * time.Second) // they never connect, and give their places back
		if rec := w.call("POST", "/whip/room/x", "alice", sdpType, offer); rec.Code != http.StatusCreated {
			w.t.Errorf("after the others ended: status %d", rec.Code)
		}
	})
}

// TestExpiry has a grant end during a session.
func TestExpiry(t *testing.T) {
	configure := func(c *rtc.Config, h *whip.Config) {
		withVerifier(c, h)
		h.Verifier = fakeVerifier{expires: 3 * time.Second}
	}
	inWorld(t, configure, func(w *world) {
		video := loadStream(w.t, framing.VP8)
		cfg := w.client("/whip/room/alice")
		cfg.Token = "shortlived"
		start := time.Now()
		pub, err := whipclient.Publish(w.t.Context(), whipclient.PublishConfig{
			Config: cfg, Tracks: []whipclient.Source{{Codec: framing.VP8}},
		})
		w.must(err)
		video.send(w.t, pub, 0, 0, 2*time.Second)
		<-pub.Done()
		if d := time.Since(start); d < 3*time.Second || d > 4*time.Second {
			w.t.Errorf("ended after %v, grant of 3 s", d)
		}
		w.must(pub.Close(w.t.Context()))
	})
}

// TestBroadcastEnds has the publisher leave: its viewers' sessions end.
func TestBroadcastEnds(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		video := loadStream(w.t, framing.VP8)
		pub := w.publish(whipclient.Source{Codec: framing.VP8})
		var sender sync.WaitGroup
		sender.Go(func() { video.send(w.t, pub, 0, 0, 3*time.Second) })
		time.Sleep(time.Second)
		player := w.play()
		sender.Wait()
		w.must(pub.Close(w.t.Context()))
		left := time.Now()
		<-player.Done()
		if d := time.Since(left); d > time.Second {
			w.t.Errorf("viewer's session ended %v after the broadcast", d)
		}
		w.must(player.Close(w.t.Context()))
	})
}
