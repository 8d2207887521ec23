package fanout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"trellis/edge/whip/whipclient"
)

// door is how one comes in at a server.
type door struct {
	publish whipclient.Config
	// enter exchanges session descriptions, and returns the server's side. Viewers
	// are numbered.
	enter func(ctx context.Context, v *viewer, number int, us local) (answered, error)
}

func doorOf(server, base string) (door, error) {
	if server == LiveKit {
		return livekitDoor(base)
	}
	return door{
		publish: whipclient.Config{URL: base + "/whip/" + broadcast, Token: "publisher"},
		enter: func(ctx context.Context, v *viewer, _ int, us local) (answered, error) {
			return post(ctx, base+"/whep/"+broadcast, offer(us, v.arrivals != nil, false))
		},
	}, nil
}

// offer asks for a VP8 picture and an Opus sound on one transport, and that packets of
// the picture be sent again in a stream of their own.
func offer(l local, arrivals, rtx bool) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	line("v=0")
	line("o=- 1 1 IN IP4 127.0.0.1")
	line("s=-")
	line("t=0 0")
	line("a=group:BUNDLE 0 1")
	for mid, m := range []struct {
		kind   string
		number int
		codec  string
		more   []string
	}{
		{"video", videoType, "VP8/90000", []string{"nack", "nack pli"}},
		{"audio", audioType, "opus/48000/2", nil},
	} {
		again := rtx && m.number == videoType
		if again {
			line("m=%s 9 UDP/TLS/RTP/SAVPF %d %d", m.kind, m.number, rtxType)
		} else {
			line("m=%s 9 UDP/TLS/RTP/SAVPF %d", m.kind, m.number)
		}
		line("c=IN IP4 0.0.0.0")
		line("a=mid:%d", mid)
		line("a=recvonly")
		line("a=rtcp-mux")
		line("a=rtpmap:%d %s", m.number, m.codec)
		if again {
			line("a=rtpmap:%d rtx/90000", rtxType)
			line("a=fmtp:%d apt=%d", rtxType, m.number)
		}
		for _, fb := range m.more {
			line("a=rtcp-fb:%d %s", m.number, fb)
		}
		if arrivals {
			line("a=rtcp-fb:%d transport-cc", m.number)
			line("a=extmap:%d http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01", arrivalID)
		}
		line("a=ice-ufrag:%s", l.ufrag)
		line("a=ice-pwd:%s", l.pwd)
		line("a=fingerprint:%s", l.fingerprint)
		line("a=setup:active")
		if mid == 0 {
			for _, c := range l.candidates {
				line("a=candidate:%s", strings.TrimPrefix(c, "candidate:"))
			}
			line("a=end-of-candidates")
		}
	}
	return b.String()
}

// answered is what we need of an answer.
type answered struct {
	ufrag, pwd string
	candidates []string
	resource   string // the address of the session
}

// post sends the offer, again while the broadcast is not on air yet.
func post(ctx context.Context, url, sdp string) (answered, error) {
	for {
		a, err := postOnce(ctx, url, sdp)
		if !errors.Is(err, errNotYet) {
			return a, err
		}
		if settle(ctx, 100*time.Millisecond) != nil {
			return a, err
		}
	}
}

var errNotYet = errors.New("not on air yet")

func postOnce(ctx context.Context, url, sdp string) (answered, error) {
	var a answered
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(sdp))
	if err != nil {
		return a, err
	}
	req.Header.Set("Content-Type", "application/sdp")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	if err != nil {
		return a, err
	}
	switch resp.StatusCode {
	case http.StatusCreated:
	case http.StatusConflict, http.StatusNotFound:
		return a, fmt.Errorf("POST %s: %s: %w", url, resp.Status, errNotYet)
	default:
		return a, fmt.Errorf("POST %s: %s: %.200s", url, resp.Status, body)
	}
	if location, err := resp.Location(); err == nil {
		a.resource = location.String()
	}
	for line := range strings.Lines(string(body)) {
		line = strings.TrimSpace(line)
		if s, ok := strings.CutPrefix(line, "a=ice-ufrag:"); ok {
			a.ufrag = s
		} else if s, ok := strings.CutPrefix(line, "a=ice-pwd:"); ok {
			a.pwd = s
		} else if s, ok := strings.CutPrefix(line, "a=candidate:"); ok {
			a.candidates = append(a.candidates, s)
		}
	}
	return a, nil
}
