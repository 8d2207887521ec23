package whip_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/stun/v4"
	"github.com/pion/transport/v4/vnet"

	"trellis/edge/framing"
	"trellis/edge/rtc"
	"trellis/edge/whip/whipclient"
	"trellis/internal/relay"
)

// field returns an attribute of an SDP.
func field(text, name string) string {
	_, rest, _ := strings.Cut(text, "a="+name+":")
	value, _, _ := strings.Cut(rest, "\r\n")
	return value
}

// check is a connectivity check of a session.
func check(tb testing.TB, ufrag, password string) []byte {
	tb.Helper()
	m, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewUsername(ufrag+":them"),
		stun.NewShortTermIntegrity(password), stun.Fingerprint)
	if err != nil {
		tb.Fatal(err)
	}
	return m.Raw
}

// clientHello is the beginning of a handshake, long enough to be answered with more.
func clientHello() []byte {
	b := []byte{22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 54, 1, 0, 0, 42, 0, 0, 0, 0, 0, 0, 0, 42, 254, 253}
	b = append(b, make([]byte, 32)...)
	b = append(b, 0, 0, 0, 2, 0xc0, 0x2b, 1, 0)
	binary.BigEndian.PutUint16(b[11:], uint16(len(b)-13))
	return b
}

// TestSTUNFloods sends checks from many addresses that name nobody, or a session
// whose password they do not know: nobody is answered.
func TestSTUNFloods(t *testing.T) {
	inTappedWorld(t, nil, func(w *world, p *tap) {
		t := w.t
		w.undisturbed(func() {
			h := w.offer()
			forged, unknown := check(t, field(h.sdp, "ice-ufrag"), "guessed"), check(t, "nobody", "guessed")
			const flood = 20_000
			for i := range flood {
				from := fmt.Sprintf("172.16.%d.%d:%d", i>>8&0xff, i&0xff, 1024+i)
				p.inject(from, forged)
				p.inject(from, unknown)
				p.inject(from, clientHello())
				if i%1000 == 0 {
					p.inject(from, bytes.Repeat([]byte{0, 1}, 600))
				}
				if i%100 == 0 {
					time.Sleep(10 * time.Millisecond)
				}
			}
			time.Sleep(time.Second) // until all of it has been read
			p.mu.Lock()
			for to, n := range p.sent {
				if strings.HasPrefix(to, "172.16.") {
					t.Errorf("%d bytes were sent to %s", n, to)
				}
			}
			p.mu.Unlock()
			for reason, least := range map[string]float64{"check_forged": flood, "check_unknown": flood, "stranger": flood} {
				if n := w.counted("trellis_rtc_unwanted_total", reason); n < least {
					t.Errorf("%v are counted as %s, want %v", n, reason, least)
				}
			}
			w.must(h.Close())
		})
	})
}

// TestClientHelloBeforeCheck: not a byte is answered to a handshake from an address
// at which no check has proved the session's password, and then no more at first than
// one flight of ours.
func TestClientHelloBeforeCheck(t *testing.T) {
	inTappedWorld(t, nil, func(w *world, p *tap) {
		t := w.t
		w.undisturbed(func() {
			h := w.offer()
			const from = "172.16.0.1:1024"
			for range 1000 {
				p.inject(from, clientHello())
			}
			time.Sleep(time.Second)
			if n := p.to(from); n != 0 {
				t.Errorf("%d bytes were sent to who was not checked", n)
			}
			w.must(h.Close())
		})
		if n := w.counted("trellis_rtc_unwanted_total", "stranger"); n < 1000 {
			t.Errorf("%v are counted as strangers", n)
		}
	})
}

// TestHalfOpen makes more sessions than there may be and does nothing with them.
// Their places are given back, and the lanes with them.
func TestHalfOpen(t *testing.T) {
	const most = 20
	inTappedWorld(t, func(c *rtc.Config) { c.MaxSessions, c.SetupTimeout = most, 3*time.Second }, func(w *world, _ *tap) {
		t := w.t
		w.undisturbed(func() { // which are two
			h := w.offer()
			offer := h.LocalDescription().SDP
			made, refused := 1, 0
			for range 3 * most {
				switch rec := w.request(http.MethodPost, "/whep/room/alice", "application/sdp", offer, ""); rec.Code {
				case http.StatusCreated:
					made++
				case http.StatusServiceUnavailable:
					refused++
				default:
					t.Errorf("POST: %d %s", rec.Code, rec.Body)
				}
			}
			if made != most-2 || refused != 3*most-made+1 {
				t.Errorf("%d sessions were made, %d refused", made, refused)
			}
			time.Sleep(3500 * time.Millisecond)
			if pubs, viewers := w.edge.Sessions(); pubs != 1 || viewers != 1 {
				t.Errorf("%d publishers and %d viewers are left", pubs, viewers)
			}
			if n := w.counted("trellis_rtc_sessions_ended_total", "setup_timeout"); n != float64(made) {
				t.Errorf("%v sessions ended for the time, want %d", n, made)
			}
			if n := w.counted("trellis_rtc_sessions_refused_total", "node_limit"); n != float64(refused) {
				t.Errorf("%v sessions are counted as refused, want %d", n, refused)
			}
			w.must(h.Close())
		})
	})
}

// TestStalledHandshake lets viewers check their way and never begin the handshake.
func TestStalledHandshake(t *testing.T) {
	inTappedWorld(t, func(c *rtc.Config) { c.SetupTimeout = 3 * time.Second }, func(w *world, _ *tap) {
		t := w.t
		w.setDrop(func(c vnet.Chunk) bool {
			b := c.UserData()
			var host int
			_, _ = fmt.Sscanf(c.SourceAddr().String(), "10.0.0.%d:", &host) // else it is none of them
			return host > 3 && len(b) > 0 && b[0] >= 20 && b[0] <= 63 && c.DestinationAddr().String() == "10.0.0.1:3478"
		})
		w.undisturbed(func() {
			var all []*hostile
			for range 5 {
				h := w.offer()
				h.answer(w)
				all = append(all, h)
			}
			time.Sleep(3500 * time.Millisecond)
			if n := w.counted("trellis_rtc_sessions_ended_total", "setup_timeout"); n != 5 {
				t.Errorf("%v sessions ended for the time", n)
			}
			if _, viewers := w.edge.Sessions(); viewers != 1 {
				t.Errorf("%d viewers are left", viewers)
			}
			for _, h := range all {
				w.must(h.Close())
			}
		})
	})
}

// silent is a broadcast that has no catalog.
type silent struct{}

func (silent) OpenTrack(*relay.Track) {}

// TestWaitingTakesAPlace: requests that wait for a catalog are bounded, too.
func TestWaitingTakesAPlace(t *testing.T) {
	const most = 5
	inTappedWorld(t, func(c *rtc.Config) { c.MaxSessions = most }, func(w *world, _ *tap) {
		t := w.t
		video := loadStream(t, framing.VP8)
		pub := w.publish(whipclient.Source{Codec: framing.VP8})
		video.send(t, pub, 0, 0, 2*time.Second)
		h := w.offer()
		offer := h.LocalDescription().SDP
		w.must(h.Close())
		w.request(http.MethodDelete, h.url, "", "", "")
		w.must(pub.Close(t.Context()))
		time.Sleep(time.Second)
		b, err := w.table.Announce(relay.Announcement{Name: "room/silent", PublisherID: 1, Origin: "us-east-1", Local: true}, silent{})
		w.must(err)
		var mu sync.Mutex
		codes := map[int]int{}
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				code := w.request(http.MethodPost, "/whep/room/silent", "application/sdp", offer, "").Code
				mu.Lock()
				defer mu.Unlock()
				codes[code]++
			})
		}
		all.Wait()
		if codes[http.StatusConflict] != most || codes[http.StatusServiceUnavailable] != 20-most {
			t.Errorf("answers %v", codes)
		}
		if pubs, viewers := w.edge.Sessions(); pubs+viewers != 0 {
			t.Errorf("%d sessions are left", pubs+viewers)
		}
		b.End(nil)
	})
}

// TestHugeOffers: what is too much is refused by its size.
func TestHugeOffers(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		t := w.t
		const head = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"
		rng := rand.New(rand.NewPCG(1, 2))
		garbage := make([]byte, 60_000)
		for i := range garbage {
			garbage[i] = byte(rng.Uint32())
		}
		for name, c := range map[string]struct {
			offer string
			code  int
		}{
			"megabytes":  {head + strings.Repeat("a=x\r\n", 1<<20), http.StatusRequestEntityTooLarge},
			"sections":   {head + strings.Repeat("m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n", 500), http.StatusBadRequest},
			"attributes": {head + strings.Repeat("a=x:y\r\n", 5000) + "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n", http.StatusBadRequest},
			"garbage":    {string(garbage), http.StatusBadRequest},
		} {
			for _, door := range []string{"/whip/room/alice", "/whep/room/alice"} {
				if rec := w.request(http.MethodPost, door, "application/sdp", c.offer, ""); rec.Code != c.code {
					t.Errorf("%s at %s: %d %s", name, door, rec.Code, rec.Body)
				}
			}
		}
		if n := w.counted("trellis_rtc_sessions_refused_total", "bad_offer"); n != 6 {
			t.Errorf("%v bad offers are counted", n)
		}
	})
}
