package node_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"

	"trellis/internal/auth"
	"trellis/internal/ca"
	"trellis/internal/node"
	"trellis/internal/sim"
)

// browser is the TLS of a client without a certificate.
func browser(protocols ...string) *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, NextProtos: protocols, MinVersion: tls.VersionTLS13}
}

// ended waits for the end of conn and says why it came.
func ended(conn *quic.Conn) error {
	<-conn.Context().Done()
	return context.Cause(conn.Context())
}

// TestOnePort: browsers and nodes meet the same port, each gets the certificate
// meant for it, and neither gets in as the other.
func TestOnePort(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("a", []string{"b"}, nil)
		self := ca.Identity{Cluster: "test", Region: "region-a", Node: "a"}

		conn, err := n.dial("laptop", browser("h3"))
		w.must(err)
		if got := conn.ConnectionState().TLS; got.NegotiatedProtocol != "h3" || len(got.PeerCertificates[0].URIs) != 0 {
			t.Errorf("a browser meets %q with certificate %v", got.NegotiatedProtocol, got.PeerCertificates[0].URIs)
		}

		conn, err = n.dial("b", ca.ClientTLS(w.credentials(w.authority, "b"), self))
		w.must(err)
		if got := conn.ConnectionState().TLS.NegotiatedProtocol; got != ca.ALPN {
			t.Errorf("a node meets %q", got)
		}

		other, err := ca.NewAuthority("test", time.Now())
		w.must(err)
		believing := ca.ClientTLS(w.credentials(other, "b"), self)
		believing.VerifyConnection = nil // an attacker checks nothing
		for name, tc := range map[string]struct {
			conf *tls.Config
			want string // what the refused side can say
		}{
			"node of another authority": {believing, "another cluster"},
			"node that nobody knows":    {ca.ClientTLS(w.credentials(w.authority, "stranger"), self), "does not know this node"},
			"browser as a node":         {browser(ca.ALPN), "wants a certificate"},
			"browser as both":           {browser("h3", ca.ALPN), "wants a certificate"},
		} {
			conn, err := n.dial("c", tc.conf)
			if err == nil {
				err = ended(conn)
			}
			var te *quic.TransportError
			if !errors.As(err, &te) || !te.ErrorCode.IsCryptoError() {
				t.Errorf("%s: %v, want a refusal by TLS", name, err)
				continue
			}
			if got := ca.ExplainAlert(uint8(te.ErrorCode)); !strings.Contains(got, tc.want) {
				t.Errorf("%s: %v reads as %q, want something with %q", name, te, got, tc.want)
			}
		}
		if _, err := n.dial("c", browser("h2")); err == nil {
			t.Error("a client of another protocol got in")
		}
	})
}

func TestNodeAlone(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("a", nil, nil)
		conn, err := n.dial("b", ca.ClientTLS(w.credentials(w.authority, "b"), ca.Identity{Cluster: "test", Region: "region-a", Node: "a"}))
		if err == nil {
			t.Errorf("a node got into one that stands alone: %v", ended(conn))
		}
		if s := n.status(); len(s.Links) != 0 || s.Node.ID != "a" || !s.Node.Ready {
			t.Errorf("status %+v", s)
		}
	})
}

// TestPublishHereWatchThere: what enters at one node by WHIP is watched at the
// other in both protocols, and the status of both says how it got there.
func TestPublishHereWatchThere(t *testing.T) {
	inWorld(t, func(w *world) {
		a := w.node("a", []string{"b"}, nil)
		b := w.node("b", []string{"a"}, nil)
		time.Sleep(2 * time.Second)
		publish := w.token(auth.Claims{Publish: []string{"room/alice"}, Subject: "alice"})
		watch := w.token(auth.Claims{Subscribe: []string{"room"}, Subject: "bob"})
		client := func(name string, n *running, token string) *sim.Client {
			c := sim.NewClient(w.net.Host(name), sim.Door{MoQ: n.host.AddrPort(quicPort), HTTP: n.host.AddrPort(quicPort)}, token)
			w.ends = append(w.ends, func() { w.must(c.Close()) })
			return c
		}
		alice := client("alice", a, publish)
		p, err := alice.PublishWHIP(w.Context(), "room/alice", sim.Clip{})
		w.must(err)
		time.Sleep(time.Second)
		moq, err := client("moq", b, watch).WatchMoQ(w.Context(), p)
		w.must(err)
		whep, err := client("whep", b, watch).WatchWHEP(w.Context(), p)
		w.must(err)
		time.Sleep(5 * time.Second)

		at, bt := a.status(), b.status()
		for name, got := range map[string]*sim.Watch{"moq": moq, "whep": whep} {
			if n := len(got.Arrivals(sim.Video)); n < 100 {
				t.Errorf("%s: %d frames in five seconds", name, n)
			}
			if n := len(got.Arrivals(sim.Audio)); n < 200 {
				t.Errorf("%s: %d packets of sound in five seconds", name, n)
			}
		}
		if len(at.Broadcasts) != 1 || len(bt.Broadcasts) != 1 {
			t.Fatalf("%d and %d broadcasts", len(at.Broadcasts), len(bt.Broadcasts))
		}
		if bt.Sessions != (node.Sessions{MoQ: 1, WHEP: 1}) || at.Sessions != (node.Sessions{WHIP: 1}) {
			t.Errorf("sessions %+v and %+v", at.Sessions, bt.Sessions)
		}
		for _, track := range bt.Broadcasts[0].Tracks {
			if track.Parent != "a" || track.Viewers == 0 && track.Kind != "catalog" {
				t.Errorf("at b: %+v", track)
			}
		}
		for _, track := range at.Broadcasts[0].Tracks {
			if track.Kind == "catalog" {
				continue // read once, and let go
			}
			if len(track.Children) != 1 || track.Children[0] != "b" || track.Subscriptions["link"] != 1 {
				t.Errorf("at a: %+v", track)
			}
		}
		if l := bt.Links[0]; l.OneWayMs.P50 < 9 || l.OneWayMs.P50 > 15 {
			t.Errorf("one way from a takes %v ms, the network %v", l.OneWayMs, delay)
		}
		w.must(moq.Stop())
		w.must(whep.Stop())
		w.must(p.Stop())
	})
}

// TestTokensAtEveryDoor: the same refusals at WHIP, WHEP and MoQ.
func TestTokensAtEveryDoor(t *testing.T) {
	inWorld(t, func(w *world) {
		a := w.node("a", nil, nil)
		good := w.token(auth.Claims{Publish: []string{"room/alice"}, Subscribe: []string{"room/alice"}, Subject: "alice"})
		for name, token := range map[string]string{
			"none":          "",
			"nonsense":      "x.y.z",
			"other names":   w.token(auth.Claims{Publish: []string{"room/alic"}, Subscribe: []string{"room/alice/x"}, Subject: "eve"}),
			"nothing":       w.token(auth.Claims{Subject: "eve"}),
			"signature cut": good[:len(good)-4],
		} {
			c := sim.NewClient(w.net.Host(name), sim.Door{MoQ: a.host.AddrPort(quicPort), HTTP: a.host.AddrPort(quicPort)}, token)
			w.ends = append(w.ends, func() { w.must(c.Close()) })
			if p, err := c.PublishWHIP(w.Context(), "room/alice", sim.Clip{}); err == nil {
				t.Errorf("%s: published by WHIP", name)
				w.must(p.Stop())
			}
			if p, err := c.PublishMoQ(w.Context(), "room/alice", sim.Clip{}); err == nil {
				time.Sleep(time.Second)
				_ = p.Stop() // whatever it says: it was refused after it began
			}
			if s := a.status(); len(s.Broadcasts) != 0 {
				t.Errorf("%s: %s is there", name, s.Broadcasts[0].Name)
			}
		}
	})
}

// TestOpenNode: without keys everybody gets in, by every door.
func TestOpenNode(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("a", nil, func(c *node.Config) { c.Verifier = auth.Open{} })
		c := sim.NewClient(w.net.Host("c"), sim.Door{MoQ: n.host.AddrPort(quicPort), HTTP: n.host.AddrPort(quicPort)}, "")
		w.ends = append(w.ends, func() { w.must(c.Close()) })
		whip, err := c.PublishWHIP(w.Context(), "room/whip", sim.Clip{})
		w.must(err)
		moq, err := c.PublishMoQ(w.Context(), "room/moq", sim.Clip{})
		w.must(err)
		time.Sleep(2 * time.Second)
		byMoQ, err := c.WatchMoQ(w.Context(), whip)
		w.must(err)
		byWHEP, err := c.WatchWHEP(w.Context(), moq)
		w.must(err)
		time.Sleep(2 * time.Second)
		for name, got := range map[string]*sim.Watch{"moq": byMoQ, "whep": byWHEP} {
			if len(got.Arrivals(sim.Video)) == 0 {
				t.Errorf("%s: nothing arrived", name)
			}
		}
		w.must(errors.Join(byMoQ.Stop(), byWHEP.Stop(), whip.Stop(), moq.Stop()))
	})
}

func TestAdmin(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("a", nil, nil)
		time.Sleep(time.Second)
		for _, path := range []string{"/healthz", "/readyz", "/metrics", "/v1/status"} {
			for host, want := range map[string]int{
				"localhost:4480": http.StatusOK, "127.0.0.1:4480": http.StatusOK, "[::1]:4480": http.StatusOK,
				"evil.example:4480": http.StatusMisdirectedRequest, "10.0.0.1:4480": http.StatusMisdirectedRequest,
			} {
				if got, body := n.get(path, host); got != want {
					t.Errorf("%s at %s: %d, want %d: %s", path, host, got, want, body)
				}
			}
		}
		_, body := n.get("/v1/status", "localhost")
		var s node.Status
		w.must(json.Unmarshal([]byte(body), &s))
		if s.Node.ID != "a" || s.Node.Region != "region-a" || s.Node.HopID == 0 {
			t.Errorf("status %s", body)
		}
		_, body = n.get("/metrics", "localhost")
		for _, name := range []string{"trellis_build_info", "trellis_node_timer_lag_seconds", "trellis_relay_tracks", "trellis_node_certificate_expiry_timestamp_seconds"} {
			if !strings.Contains(body, name) {
				t.Errorf("no %s among the metrics", name)
			}
		}
		n.end()
		if code, _ := n.get("/readyz", "localhost"); code != http.StatusServiceUnavailable {
			t.Errorf("a node that ended is ready: %d", code)
		}
		time.Sleep(10 * time.Second)
		if code, _ := n.get("/healthz", "localhost"); code != http.StatusServiceUnavailable {
			t.Errorf("a node whose loop stands still is alive: %d", code)
		}
	})
}

// TestShutdown: a node whose clients do not leave ends within its deadline, one
// without clients at once.
func TestShutdown(t *testing.T) {
	for name, tc := range map[string]struct {
		watch    bool
		shutdown time.Duration
		min, max time.Duration
	}{
		"nobody there":     {false, 10 * time.Second, 0, time.Second},
		"a client stays":   {true, 4 * time.Second, 0, 6 * time.Second},
		"no time to leave": {true, -1, 0, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				n := w.node("a", nil, func(c *node.Config) { c.Shutdown = tc.shutdown })
				token := w.token(auth.Claims{Publish: []string{""}, Subscribe: []string{""}})
				if tc.watch {
					c := sim.NewClient(w.net.Host("c"), sim.Door{MoQ: n.host.AddrPort(quicPort), HTTP: n.host.AddrPort(quicPort)}, token)
					w.ends = append(w.ends, func() { w.must(c.Close()) })
					p, err := c.PublishMoQ(w.Context(), "room/alice", sim.Clip{})
					w.must(err)
					w.ends = append(w.ends, func() { _ = p.Stop() }) // its session was ended
					time.Sleep(time.Second)
				}
				began := time.Now()
				n.end()
				if took := time.Since(began); took < tc.min || took > tc.max {
					t.Errorf("ended after %v, want %v to %v", took, tc.min, tc.max)
				}
			})
		})
	}
}

// TestHalfOpenHandshakes: clients that never finish are counted, forgotten after
// the handshake timeout, and do not keep others out.
func TestHalfOpenHandshakes(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("a", nil, func(c *node.Config) { c.Limits.HalfOpen = 3 })
		open := func() float64 {
			families, err := n.Registry().Gather()
			w.must(err)
			for _, f := range families {
				if f.GetName() == "trellis_node_handshakes_open" {
					return f.GetMetric()[0].GetGauge().GetValue()
				}
			}
			t.Fatal("no such metric")
			return 0
		}
		initial := firstFlight(w)
		to, err := n.host.Net().ResolveUDPAddr("udp", n.host.AddrPort(quicPort).String())
		w.must(err)
		// A client's first flight, sent again from other ports: each is a
		// handshake that will never be finished.
		for range 10 {
			s, err := w.net.Host("attacker").ListenUDP(0)
			w.must(err)
			for _, packet := range initial {
				_, err = s.WriteTo(packet, to)
				w.must(err)
			}
			time.Sleep(50 * time.Millisecond)
			w.must(s.Close())
		}
		if got := open(); got < 1 || got > 4 {
			t.Errorf("%v handshakes are open, the limit is 3 before addresses must be proved", got)
		}
		if _, err := n.dial("laptop", browser("h3")); err != nil {
			t.Errorf("an honest client during the flood: %v", err)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got := open(); got != 0 {
			t.Errorf("%v handshakes are still open", got)
		}
	})
}

// firstFlight returns the packets with which a client begins.
func firstFlight(w *world) [][]byte {
	w.Helper()
	sink, err := w.net.Host("sink").ListenUDP(quicPort)
	w.must(err)
	socket, err := w.net.Host("attacker").ListenUDP(0)
	w.must(err)
	tr := &quic.Transport{Conn: socket}
	to, err := w.net.Host("sink").Net().ResolveUDPAddr("udp", w.net.Host("sink").AddrPort(quicPort).String())
	w.must(err)
	ctx, cancel := context.WithTimeout(w.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := tr.Dial(ctx, to, browser("h3"), nil); err == nil {
		w.Fatal("the sink answered")
	}
	w.must(errors.Join(tr.Close(), socket.Close()))
	var packets [][]byte
	buf := make([]byte, 1<<16)
	w.must(sink.SetReadDeadline(time.Now().Add(time.Second)))
	for {
		k, _, err := sink.ReadFrom(buf)
		if err != nil {
			break
		}
		packets = append(packets, append([]byte{}, buf[:k]...))
	}
	w.must(sink.Close())
	if len(packets) == 0 {
		w.Fatal("no packet of a first flight")
	}
	return packets
}
