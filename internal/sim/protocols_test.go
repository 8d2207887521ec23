package sim

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"
	"github.com/quic-go/quic-go"

	"trellis/internal/impair"
)

// serverTLS is a certificate that is valid when bubbles begin.
func serverTLS(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Unix(0, 0),
		NotAfter:     time.Unix(0, 0).AddDate(100, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		NextProtos:   []string{"test"},
		MinVersion:   tls.VersionTLS13,
	}
}

// quicPair opens a QUIC connection from host a to host b.
func (tn *testNet) quicPair(a, b string) (client, server *quic.Conn) {
	tn.Helper()
	listening := &quic.Transport{Conn: tn.socket(b, 443)}
	l, err := listening.Listen(serverTLS(tn.T), nil)
	if err != nil {
		tn.Fatal(err)
	}
	dialling := &quic.Transport{Conn: tn.socket(a, 0)}
	client, err = dialling.Dial(tn.Context(), listening.Conn.LocalAddr(),
		&tls.Config{InsecureSkipVerify: true, NextProtos: []string{"test"}, MinVersion: tls.VersionTLS13}, nil)
	if err != nil {
		tn.Fatal(err)
	}
	server, err = l.Accept(tn.Context())
	if err != nil {
		tn.Fatal(err)
	}
	tn.Cleanup(func() {
		for _, c := range []*quic.Conn{client, server} {
			if err := c.CloseWithError(0, ""); err != nil {
				tn.Error(err)
			}
		}
		tn.sleep(5 * time.Second) // until both have forgotten the connection
		for _, tr := range []*quic.Transport{dialling, listening} {
			if err := tr.Close(); err != nil {
				tn.Error(err)
			}
			_ = tr.Conn.Close() // a transport leaves its socket open
		}
	})
	return client, server
}

func TestQUICOverTheNetwork(t *testing.T) {
	inBubble(t, NetworkConfig{}, func(tn *testNet) {
		const delay = 20 * ms
		tn.path("a", "b", impair.Config{Delay: delay, RateBps: 50_000_000})
		client, server := tn.quicPair("a", "b")
		// The server has it when the third flight is there. Each packet of at most
		// 1,280 bytes takes 0.2 ms of the line.
		if took := time.Since(tn.start); took < 3*delay || took > 3*delay+3*ms {
			tn.Errorf("the handshake took %v, want three times %v", took, delay)
		}
		start := time.Now()
		out, err := client.OpenUniStream()
		if err != nil {
			tn.Fatal(err)
		}
		if _, err := out.Write([]byte("hello")); err != nil {
			tn.Fatal(err)
		}
		if err := out.Close(); err != nil {
			tn.Fatal(err)
		}
		in, err := server.AcceptUniStream(tn.Context())
		if err != nil {
			tn.Fatal(err)
		}
		got, err := io.ReadAll(in)
		if err != nil || string(got) != "hello" {
			tn.Fatalf("got %q and %v", got, err)
		}
		if took := time.Since(start); took < delay || took > delay+ms {
			tn.Errorf("a small message took %v, want %v and at most 1ms", took, delay)
		}
	})
}

func TestQUICCarriesBulkAtTheLineRate(t *testing.T) {
	inBubble(t, NetworkConfig{Seed: 1}, func(tn *testNet) {
		tn.path("a", "b", impair.Config{Delay: 10 * ms, RateBps: 50_000_000})
		client, server := tn.quicPair("a", "b")
		const size = 20 << 20 // 3.4 s at 50 Mbit/s
		go func() {
			out, err := client.OpenUniStream()
			if err != nil {
				tn.Error(err)
				return
			}
			_, _ = out.Write(make([]byte, size)) // what is missing shows below
			_ = out.Close()
		}()
		in, err := server.AcceptUniStream(tn.Context())
		if err != nil {
			tn.Fatal(err)
		}
		start := time.Now()
		n, err := io.Copy(io.Discard, in)
		if err != nil || n != size {
			tn.Fatalf("%d bytes and %v", n, err)
		}
		if rate := float64(n) * 8 / time.Since(start).Seconds(); rate < 35e6 || rate > 50e6 {
			tn.Errorf("%.1f Mbit/s over a line of 50", rate/1e6)
		}
	})
}

// TestWebRTCOverTheNetwork opens a data channel: ICE, DTLS and SCTP on the same
// network that carries QUIC.
func TestWebRTCOverTheNetwork(t *testing.T) {
	inBubble(t, NetworkConfig{}, func(tn *testNet) {
		tn.path("a", "b", impair.Config{Delay: 30 * ms})
		a, b := newPeer(tn.T, tn.Host("a")), newPeer(tn.T, tn.Host("b"))
		received := make(chan time.Time, 1)
		b.OnDataChannel(func(d *webrtc.DataChannel) {
			d.OnMessage(func(webrtc.DataChannelMessage) { received <- time.Now() })
		})
		d, err := a.CreateDataChannel("d", nil)
		if err != nil {
			tn.Fatal(err)
		}
		var sent time.Time
		d.OnOpen(func() {
			tn.sleep(time.Second) // both ends are open by now
			sent = time.Now()
			if err := d.SendText("hello"); err != nil {
				tn.Error(err)
			}
		})
		exchange(tn.T, a, b)
		ctx, cancel := context.WithTimeout(tn.Context(), time.Minute)
		defer cancel()
		select {
		case at := <-received:
			if took := at.Sub(sent); took != 30*ms {
				tn.Errorf("a message took %v, want 30ms", took)
			}
		case <-ctx.Done():
			tn.Error("nothing came in a minute")
		}
		for _, pc := range []*webrtc.PeerConnection{a, b} {
			if err := pc.GracefulClose(); err != nil {
				tn.Error(err)
			}
		}
	})
}

func newPeer(t *testing.T, h *Host) *webrtc.PeerConnection {
	t.Helper()
	var se webrtc.SettingEngine
	se.SetNet(h.Net())
	se.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(se)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	return pc
}

// exchange carries a complete offer from a to b and the answer back.
func exchange(t *testing.T, a, b *webrtc.PeerConnection) {
	t.Helper()
	describe := func(pc *webrtc.PeerConnection, d webrtc.SessionDescription, err error) webrtc.SessionDescription {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		gathered := webrtc.GatheringCompletePromise(pc)
		if err := pc.SetLocalDescription(d); err != nil {
			t.Fatal(err)
		}
		<-gathered
		return *pc.LocalDescription()
	}
	offer, err := a.CreateOffer(nil)
	if err := b.SetRemoteDescription(describe(a, offer, err)); err != nil {
		t.Fatal(err)
	}
	answer, err := b.CreateAnswer(nil)
	if err := a.SetRemoteDescription(describe(b, answer, err)); err != nil {
		t.Fatal(err)
	}
}
