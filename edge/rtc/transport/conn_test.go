package transport

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/crypto/selfsign"
	"github.com/pion/ice/v4"
	"github.com/pion/rtcp"
	"github.com/pion/srtp/v3"

	"trellis/edge/rtc/packet"
	"trellis/edge/rtc/stream"
)

func testPort(t *testing.T) *Port {
	t.Helper()
	return testPortWith(t, dtls.SRTP_AEAD_AES_128_GCM)
}

// testPortWith has these SRTP profiles, which clients of meet offer, too.
func testPortWith(t *testing.T, profiles ...dtls.SRTPProtectionProfile) *Port {
	t.Helper()
	udp, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	logger := stream.LoggerFactory{Log: slog.New(slog.DiscardHandler)}
	demux := newDemux(t, udp)
	mux := ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: demux, Logger: logger.NewLogger("udp")})
	t.Cleanup(func() { _ = mux.Close() })
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := selfsign.SelfSign(key)
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewPort(Config{
		Demux: demux, UDPMux: mux, Certificate: cert, Silence: 5 * time.Second, Logger: logger,
		Profiles: profiles,
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// meet connects a Conn with a client that shows the given certificate
// fingerprint in its offer; empty for its true one.
func meet(t *testing.T, p *Port, claimed string, h Handler) (*Conn, *dtls.Conn, *ice.Conn) {
	t.Helper()
	return meetAs(t, p, claimed, h, p.cfg.Profiles...)
}

// meetAs does the same with a client that offers these SRTP profiles.
func meetAs(t *testing.T, p *Port, claimed string, h Handler, profiles ...dtls.SRTPProtectionProfile) (*Conn, *dtls.Conn, *ice.Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	c, err := p.Open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	cert, err := selfsign.GenerateSelfSigned()
	if err != nil {
		t.Fatal(err)
	}
	if claimed == "" {
		claimed = fingerprint(cert.Certificate[0])
	}
	agent, err := ice.NewAgentWithOptions(ice.WithIncludeLoopback(), ice.WithMulticastDNSMode(ice.MulticastDNSModeDisabled),
		ice.WithNetworkTypes([]ice.NetworkType{ice.NetworkTypeUDP4}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = agent.Close() })
	if err := agent.OnCandidate(func(ice.Candidate) {}); err != nil {
		t.Fatal(err)
	}
	if err := agent.GatherCandidates(); err != nil {
		t.Fatal(err)
	}
	ufrag, pwd, err := agent.GetLocalUserCredentials()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(Remote{Ufrag: ufrag, Pwd: pwd, Fingerprints: []string{claimed}}, h); err != nil {
		t.Fatal(err)
	}
	local := c.Local()
	for _, v := range local.Candidates {
		cand, err := ice.UnmarshalCandidate(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := agent.AddRemoteCandidate(cand); err != nil {
			t.Fatal(err)
		}
	}
	path, err := agent.Dial(ctx, local.Ufrag, local.Pwd)
	if err != nil {
		t.Fatal(err)
	}
	in := &clientPipe{path}
	conn, err := dtls.ClientWithOptions(in, pipeAddr{}, dtls.WithCertificates(cert), dtls.WithInsecureSkipVerify(true),
		dtls.WithSRTPProtectionProfiles(profiles...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.HandshakeContext(ctx); err != nil {
		return c, nil, path
	}
	return c, conn, path
}

// clientPipe is an ICE path as a net.PacketConn.
type clientPipe struct{ *ice.Conn }

func (p *clientPipe) ReadFrom(b []byte) (int, net.Addr, error) {
	n, err := p.Read(b)
	return n, pipeAddr{}, err
}

func (p *clientPipe) WriteTo(b []byte, _ net.Addr) (int, error) { return p.Write(b) }

func within(t *testing.T, what string, ch <-chan struct{}) {
	t.Helper()
	timer := time.NewTimer(10 * time.Second)
	defer timer.Stop()
	select {
	case <-ch:
	case <-timer.C:
		t.Fatal(what)
	}
}

// TestFeedback: what the client's keys protect arrives once; what is forged,
// replayed or of another kind is counted and goes nowhere.
func TestFeedback(t *testing.T) {
	got := make(chan []byte, 8)
	c, conn, path := meet(t, testPort(t), "", Handler{
		RTCP: func(b []byte, _ time.Time) { got <- append([]byte(nil), b...) }, Ready: func() {},
	})
	within(t, "the connection was not set up", c.Ready())
	state, ok := conn.ConnectionState()
	if !ok {
		t.Fatal("no keying material")
	}
	cfg := srtp.Config{Profile: srtp.ProtectionProfileAeadAes128Gcm}
	if err := cfg.ExtractSessionKeysFromDTLS(&state, true); err != nil {
		t.Fatal(err)
	}
	ctx, err := srtp.CreateContext(cfg.Keys.LocalMasterKey, cfg.Keys.LocalMasterSalt, cfg.Profile)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := rtcp.Marshal([]rtcp.Packet{&rtcp.PictureLossIndication{SenderSSRC: 1, MediaSSRC: 2}})
	if err != nil {
		t.Fatal(err)
	}
	genuine, err := ctx.EncryptRTCP(nil, plain, nil)
	if err != nil {
		t.Fatal(err)
	}
	forged := append([]byte(nil), genuine...)
	forged[len(forged)-6] ^= 1
	media := append([]byte{0x80, 96}, make([]byte, 40)...)
	next, err := ctx.EncryptRTCP(nil, plain, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range [][]byte{forged, media, {0xff}, genuine, genuine /* replayed */, next} {
		if _, err := path.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if b := <-got; string(b) != string(plain) {
			t.Errorf("feedback %x, want %x", b, plain)
		}
	}
	if n := c.Refused(); n != 4 {
		t.Errorf("%d packets refused, want 4", n)
	}
	select {
	case b := <-got:
		t.Errorf("one more arrived: %x", b)
	default:
	}
}

// TestProfiles: AES-GCM is taken where the client has it, whatever it prefers; who has
// only SHA-1 is served with that, unless the port has none.
func TestProfiles(t *testing.T) {
	const gcm, sha1 = dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80
	type profiles = []dtls.SRTPProtectionProfile
	for _, tc := range []struct {
		port, client profiles
		want         dtls.SRTPProtectionProfile
	}{
		{profiles{gcm, sha1}, profiles{sha1, gcm}, gcm},
		{profiles{gcm, sha1}, profiles{sha1}, sha1},
		{profiles{gcm}, profiles{sha1, gcm}, gcm},
		{profiles{gcm}, profiles{sha1}, 0},
	} {
		ready := make(chan struct{})
		h := Handler{RTP: func(packet.Packet) {}, RTCP: func([]byte, time.Time) {}, Ready: func() { close(ready) }}
		_, conn, _ := meetAs(t, testPortWith(t, tc.port...), "", h, tc.client...)
		if tc.want == 0 {
			if conn != nil {
				t.Errorf("%v meets %v", tc.port, tc.client)
			}
			continue
		}
		if conn == nil {
			t.Errorf("%v does not meet %v", tc.port, tc.client)
			continue
		}
		within(t, "the Conn is not ready", ready)
		if got, _ := conn.SelectedSRTPProtectionProfile(); got != tc.want {
			t.Errorf("%v and %v agree on %v, want %v", tc.port, tc.client, got, tc.want)
		}
	}
}

// TestMedia: what the client's keys protect arrives once, from its first packet on,
// which may be here before our side has the keys; what is forged or replayed is counted.
func TestMedia(t *testing.T) {
	for _, profile := range mediaProfiles {
		got := make(chan packet.Packet, 100)
		c, conn, path := meet(t, testPortWith(t, profile), "", Handler{
			RTP: func(p packet.Packet) {
				p.Payload = append([]byte(nil), p.Payload...)
				got <- p
			},
			RTCP: func([]byte, time.Time) {}, Ready: func() {},
		})
		state, ok := conn.ConnectionState()
		if !ok {
			t.Fatal("no keying material")
		}
		cfg := srtp.Config{Profile: srtp.ProtectionProfile(profile)}
		if err := cfg.ExtractSessionKeysFromDTLS(&state, true); err != nil {
			t.Fatal(err)
		}
		ctx, err := srtp.CreateContext(cfg.Keys.LocalMasterKey, cfg.Keys.LocalMasterSalt, cfg.Profile)
		if err != nil {
			t.Fatal(err)
		}
		const total = 60
		for i := range total {
			b, err := ctx.EncryptRTP(nil, plainPacket(7, 65_520+uint16(i), []byte{byte(i)}), nil)
			if err != nil {
				t.Fatal(err)
			}
			forged := append([]byte(nil), b...)
			forged[len(forged)-1] ^= 1
			for _, b := range [][]byte{forged, b, b} {
				if _, err := path.Write(b); err != nil {
					t.Fatal(err)
				}
			}
			if p := <-got; p.Payload[0] != byte(i) || p.Seq != 65_520+uint16(i) || len(p.Payload) != 1 {
				t.Errorf("packet %d comes as %+v", i, p)
			}
		}
		within(t, "the connection was not set up", c.Ready())
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
		within(t, "the Conn goes on", c.Context().Done())
		if f, r := c.refused[RefusedForged].Load(), c.refused[RefusedReplayed].Load(); f != total || r < total-1 {
			t.Errorf("%d are counted as forged, %d as replayed", f, r)
		}
	}
}

// TestStranger: a client whose certificate is not the one of its offer gets no keys.
func TestStranger(t *testing.T) {
	c, _, _ := meet(t, testPort(t), "sha-256 "+strings.Repeat("00:", 31)+"00", Handler{RTCP: func([]byte, time.Time) {}, Ready: func() {}})
	within(t, "the Conn goes on", c.Context().Done())
	if err := context.Cause(c.Context()); !errors.Is(err, ErrFingerprint) {
		t.Errorf("ended with %v", err)
	}
	select {
	case <-c.Ready():
		t.Error("media can flow")
	default:
	}
}

// TestHangUp: the client's close ends the Conn, with that reason.
func TestHangUp(t *testing.T) {
	c, conn, _ := meet(t, testPort(t), "", Handler{RTCP: func([]byte, time.Time) {}, Ready: func() {}})
	within(t, "the connection was not set up", c.Ready())
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	within(t, "the Conn goes on", c.Context().Done())
	if err := context.Cause(c.Context()); !errors.Is(err, ErrHungUp) {
		t.Errorf("ended with %v", err)
	}
}

func TestFingerprints(t *testing.T) {
	der := []byte("certificate")
	mine := fingerprint(der)
	for values, want := range map[string]bool{
		mine: true, strings.ToLower(mine): true, "sha-1 00|" + mine: true,
		"": false, "sha-256 00": false, "sha-1 " + strings.TrimPrefix(mine, "sha-256 "): false,
	} {
		if got := matches(der, strings.Split(values, "|")); got != want {
			t.Errorf("%q: %v", values, got)
		}
	}
}
