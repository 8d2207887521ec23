package whip_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"trellis/edge/framing"
	"trellis/edge/rtc"
	"trellis/edge/whip"
	"trellis/edge/whip/whipclient"
	"trellis/internal/relay"
)

// deaf is a UDP socket behind a firewall that lets nothing through.
type deaf struct{ *net.UDPConn }

func (d deaf) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		if _, _, err := d.UDPConn.ReadFrom(b); err != nil {
			return 0, nil, err
		}
	}
}

func (d deaf) WriteTo(b []byte, _ net.Addr) (int, error) { return len(b), nil }

func (d deaf) WriteToUDPAddrPort(b []byte, _ netip.AddrPort) (int, error) { return len(b), nil }

// socketCase is a way to reach a node.
type socketCase struct {
	ip      net.IP
	tcpOnly bool // the client uses nothing else
	blocked bool // UDP packets go nowhere
	codec   framing.Codec
}

// TestSockets runs over the real network stack: UDP and ICE over TCP, each codec,
// with clients of pion as publisher and viewer, each frame read before the next is written.
func TestSockets(t *testing.T) {
	four, six := net.IPv4(127, 0, 0, 1), net.IPv6loopback
	cases := map[string]socketCase{
		"udp": {ip: four, codec: framing.H264}, "tcp": {ip: four, tcpOnly: true, codec: framing.H264},
		"tcp where udp is blocked": {ip: four, blocked: true, codec: framing.H264},
		"vp8":                      {ip: four, codec: framing.VP8}, "vp9": {ip: four, codec: framing.VP9},
		"av1": {ip: four, codec: framing.AV1}, "opus": {ip: four, codec: framing.Opus},
	}
	if l, err := net.ListenUDP("udp6", &net.UDPAddr{IP: six}); err == nil { // not every machine has it
		_ = l.Close()
		// Not TCP: pion's client dials from no address like ::1.
		cases["udp over IPv6"] = socketCase{ip: six, codec: framing.H264}
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			must := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: c.ip})
			must(err)
			tcp, err := net.ListenTCP("tcp", &net.TCPAddr{IP: c.ip})
			must(err)
			var udp net.PacketConn = socket
			if c.blocked {
				udp = deaf{socket}
			}
			table, err := relay.NewTable(relay.Config{})
			must(err)
			edge, err := rtc.New(rtc.Config{Table: table, Origin: "us-east-1", UDP: udp, TCP: tcp})
			must(err)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			done := make(chan error, 1)
			go func() { done <- edge.Run(ctx) }()
			defer func() {
				cancel()
				must(<-done)
			}()
			handler, err := whip.New(whip.Config{Edge: edge, Anonymous: true})
			must(err)
			server := httptest.NewServer(handler)
			defer server.Close()

			video := loadStream(t, c.codec)
			pub, err := whipclient.Publish(ctx, whipclient.PublishConfig{
				Config: whipclient.Config{URL: server.URL + "/whip/room/alice", TCPOnly: c.tcpOnly},
				Tracks: []whipclient.Source{{Codec: c.codec}},
			})
			must(err)
			must(pub.Write(0, video.frame(0)))
			// The request may come before the first packet: ask as a client would.
			player := playWhenLive(ctx, t, whipclient.PlayConfig{
				Config:  whipclient.Config{URL: server.URL + "/whep/room/alice", TCPOnly: c.tcpOnly},
				NoAudio: !c.codec.Audio(), NoVideo: c.codec.Audio(),
			})
			for i := range 2 * len(video.frames) {
				f, err := player.Next(ctx)
				must(err)
				if !bytes.Equal(f.Data, video.frame(i).Data) {
					t.Fatalf("frame %d: %d bytes, want %d", i, len(f.Data), len(video.frame(i).Data))
				}
				must(pub.Write(0, video.frame(i+1)))
			}
			must(player.Close(ctx))
			must(pub.Close(ctx))
		})
	}
}

// playWhenLive asks until the broadcast is live.
func playWhenLive(ctx context.Context, t *testing.T, cfg whipclient.PlayConfig) *whipclient.Player {
	t.Helper()
	for {
		p, err := whipclient.Play(ctx, cfg)
		if err == nil {
			return p
		}
		var se *whipclient.StatusError
		if !errors.As(err, &se) || se.Status != 409 || ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}
