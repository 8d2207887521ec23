package livekit_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/golang-jwt/jwt/v5"

	"trellis/edge/livekit"
	"trellis/edge/livekit/signal"
	"trellis/internal/proto3"
)

// request makes a request and returns its status, its body and its headers.
func (n *node) request(method, path, origin string) (int, string, http.Header) {
	n.t.Helper()
	req, err := http.NewRequestWithContext(n.ctx, method, "http://10.0.0.1"+path, http.NoBody)
	n.must(err)
	if origin != "" {
		req.Header.Set("Origin", origin)
	}
	resp, err := n.http.Do(req)
	n.must(err)
	body, err := io.ReadAll(resp.Body)
	n.must(err)
	n.must(resp.Body.Close())
	return resp.StatusCode, string(body), resp.Header
}

// TestHTTP is what SDKs ask beside the WebSocket.
func TestHTTP(t *testing.T) {
	busy := ""
	inNode(t, func(c *livekit.Config) { c.Busy = func(context.Context, *http.Request) string { return busy } }, func(n *node) {
		good := token(n.t, nil)
		for _, c := range []struct {
			method, path, origin string
			status               int
			cors                 string
		}{
			{"GET", "/", "https://app.example", 200, "https://app.example"},
			{"GET", "/", "https://other.example", 200, ""},
			{"OPTIONS", "/rtc/v1/validate", "https://app.example", 204, "https://app.example"},
			{"POST", "/rtc/v1", "", 405, ""},
			{"GET", "/rtc", "https://app.example", 404, "https://app.example"},
			{"GET", "/rtc/validate?access_token=" + good, "", 404, ""},
			{"GET", "/rtc/v1/validate?access_token=" + good, "https://app.example", 200, "https://app.example"},
			{"GET", "/rtc/v1/validate?access_token=" + good, "https://other.example", 403, ""},
			{"GET", "/rtc/v1/validate?access_token=" + good, "http://10.0.0.1", 200, ""},
			{"GET", "/rtc/v1/validate?access_token=" + good + "&access_token=" + good, "", 401, ""},
			{"GET", "/rtc/v1/validate", "https://app.example", 401, "https://app.example"},
			{"GET", "/rtc/v1?access_token=" + good, "", 400, ""},
		} {
			status, body, header := n.request(c.method, c.path, c.origin)
			if cors := header.Get("Access-Control-Allow-Origin"); status != c.status || cors != c.cors {
				n.t.Errorf("%s %.40s from %q: %d %q, CORS %q; want %d, %q", c.method, c.path, c.origin, status, body, cors, c.status, c.cors)
			}
		}
		busy = "The node is draining"
		if status, body, _ := n.request("GET", "/rtc/v1/validate?access_token="+good, ""); status != 503 || !strings.Contains(body, busy) {
			n.t.Errorf("a busy node says %d %q", status, body)
		}
	})
}

// TestTokens: who may not join is told with a status, and counted.
func TestTokens(t *testing.T) {
	inNode(t, nil, func(n *node) {
		offer := "v=0\r\n"
		for name, c := range map[string]struct {
			change func(claims, video jwt.MapClaims)
			status int
		}{
			"another secret":       {func(c, _ jwt.MapClaims) { c["secret"] = strings.Repeat("x", 40) }, 401},
			"another key":          {func(c, _ jwt.MapClaims) { c["iss"] = "APIother" }, 401},
			"expired":              {func(c, _ jwt.MapClaims) { c["exp"] = time.Now().Add(-2 * time.Minute).Unix() }, 401},
			"without an end":       {func(c, _ jwt.MapClaims) { delete(c, "exp") }, 401},
			"not yet":              {func(c, _ jwt.MapClaims) { c["nbf"] = time.Now().Add(2 * time.Minute).Unix() }, 401},
			"nobody":               {func(c, _ jwt.MapClaims) { delete(c, "sub") }, 401},
			"no grant":             {func(c, _ jwt.MapClaims) { delete(c, "video") }, 401},
			"no join":              {func(_, v jwt.MapClaims) { v["roomJoin"] = false }, 401},
			"no room":              {func(_, v jwt.MapClaims) { delete(v, "room") }, 401},
			"a room that is none":  {func(_, v jwt.MapClaims) { v["room"] = "demo//x" }, 401},
			"a key's other prefix": {func(c, _ jwt.MapClaims) { c["iss"] = "APIscoped" }, 401},
			"no subscribing":       {func(_, v jwt.MapClaims) { v["canSubscribe"] = false }, 403},
			"the right one":        {nil, 400}, // for its offer
		} {
			ws, status, err := n.dial(token(n.t, c.change), signal.JoinRequest{Offer: &signal.Description{Type: "offer", SDP: offer}}.Pack())
			if err == nil {
				n.t.Errorf("%s: joined", name)
				_ = ws.CloseNow()
			} else if status != c.status {
				n.t.Errorf("%s: %d, %v; want %d", name, status, err, c.status)
			}
		}
		if _, status, err := n.dial("", ""); err == nil || status != 401 {
			n.t.Errorf("without a token: %d", status)
		}
		if got := n.counted("trellis_livekit_joins_total", "token"); got != 12 {
			n.t.Errorf("%v tokens refused", got)
		}
	})
}

// TestBadJoins: what is packed into the URL is bounded.
func TestBadJoins(t *testing.T) {
	inNode(t, nil, func(n *node) {
		var bomb bytes.Buffer
		z := gzip.NewWriter(&bomb)
		_, err := io.CopyN(z, zeros{}, 8<<20)
		n.must(err)
		n.must(z.Close())
		pack := func(compression uint64, b []byte) string {
			return base64.URLEncoding.EncodeToString(proto3.Message(proto3.Number(nil, 1, compression), 2, b))
		}
		large := signal.JoinRequest{Offer: &signal.Description{Type: "offer", SDP: "v=0\r\n" + strings.Repeat("a=x\r\n", 60_000)}}
		for name, join := range map[string]string{
			"not base64": "!!!", "not a message": base64.URLEncoding.EncodeToString([]byte{0xff, 0xff}), "a bomb": pack(1, bomb.Bytes()),
			"not gzip": pack(1, []byte("hello")), "another packing": pack(2, nil), "garbage within": pack(0, []byte{0x0a, 0x7f}),
			"a large offer": large.Pack(), "no sections": signal.JoinRequest{Offer: &signal.Description{SDP: "v=0\r\no=- 1 1 IN IP4 0\r\ns=-\r\nt=0 0\r\n"}}.Pack(),
		} {
			if _, status, err := n.dial(token(n.t, nil), join); err == nil || status != http.StatusBadRequest {
				n.t.Errorf("%s: %d", name, status)
			}
		}
		if publishers, viewers := n.edge.Sessions(); publishers+viewers != 0 {
			n.t.Errorf("%d sessions are left", publishers+viewers)
		}
	})
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// TestLimits: of rooms, and of joins within a second.
func TestLimits(t *testing.T) {
	inNode(t, func(c *livekit.Config) { c.MaxViewers, c.JoinsPerSecond = 2, 3 }, func(n *node) {
		join := func(who, room string) int {
			_, status, _ := n.dial(token(n.t, func(c, v jwt.MapClaims) { c["sub"], v["room"] = who, room }), signal.JoinRequest{}.Pack())
			return status
		}
		for i, c := range []struct {
			who, room string
			want      int
		}{{"a", "demo", 101}, {"b", "demo", 101}, {"c", "demo", 503}, {"d", "demo/other", 429}} {
			if got := join(c.who, c.room); got != c.want {
				n.t.Errorf("join %d: %d, want %d", i, got, c.want)
			}
		}
		time.Sleep(time.Second)
		if got := join("d", "demo/other"); got != 101 {
			n.t.Errorf("in another room, later: %d", got)
		}
		if n.counted("trellis_livekit_joins_total", "room_limit") != 1 || n.counted("trellis_livekit_joins_total", "rate") != 1 {
			n.t.Error("refusals were not counted")
		}
	})
}

// TestHostile: a session that breaks the rules ends, says why, and is counted.
func TestHostile(t *testing.T) {
	binary := func(b []byte) func(*client) {
		return func(c *client) { _ = c.ws.Write(c.ctx, websocket.MessageBinary, b) }
	}
	for reason, c := range map[string]struct {
		do   func(*client)
		code websocket.StatusCode
	}{
		"bad_message": {binary([]byte{0x0a, 0xff}), websocket.StatusPolicyViolation},
		"text":        {func(c *client) { _ = c.ws.Write(c.ctx, websocket.MessageText, []byte(`{"ping":1}`)) }, websocket.StatusUnsupportedData},
		"bad_offer":   {binary(signal.Request{Kind: signal.RequestOffer, Description: &signal.Description{SDP: "v=0"}}.Append(nil)), websocket.StatusNormalClosure},
		"flood": {func(c *client) {
			mute := signal.Request{Kind: signal.RequestMute}.Append(nil)
			go func() {
				for c.ws.Write(c.ctx, websocket.MessageBinary, mute) == nil {
				}
			}()
		}, websocket.StatusPolicyViolation},
		"slow": {func(c *client) { // it does not read what it asks for
			ping := signal.Request{Kind: signal.RequestPingReq, Timestamp: 1}.Append(nil)
			for range 150 {
				_ = c.ws.Write(c.ctx, websocket.MessageBinary, ping)
			}
			time.Sleep(time.Second)
		}, -1},
		"silent": {func(*client) {}, -1},
		"left":   {binary(signal.Request{Kind: signal.RequestLeave}.Append(nil)), websocket.StatusNormalClosure},
	} {
		t.Run(reason, func(t *testing.T) {
			inNode(t, nil, func(n *node) {
				other := n.enter(token(n.t, identity("other")), signal.Settings{})
				victim := n.enter(token(n.t, nil), signal.Settings{})
				c.do(victim)
				_, code := victim.over()
				if code != c.code {
					n.t.Errorf("closed with %v, want %v", code, c.code)
				}
				time.Sleep(time.Second)
				if got := n.counted("trellis_livekit_sessions_ended_total", reason); got < 1 {
					n.t.Errorf("%v sessions counted as %s", got, reason)
				}
				if reason != "silent" && reason != "slow" { // which took long; nobody else is disturbed
					other.say(signal.Request{Kind: signal.RequestPing})
					other.await(signal.ResponsePong, nil)
				}
			})
		})
	}
}

// TestOversize: a message that is too large is not read.
func TestOversize(t *testing.T) {
	inNode(t, nil, func(n *node) {
		c := n.enter(token(n.t, nil), signal.Settings{})
		go func() { _ = c.ws.Write(c.ctx, websocket.MessageBinary, make([]byte, 1<<20)) }()
		c.over()
		time.Sleep(time.Second)
		if got := n.counted("trellis_livekit_sessions_ended_total", "bad_message"); got != 1 {
			n.t.Errorf("%v sessions ended for it", got)
		}
	})
}
