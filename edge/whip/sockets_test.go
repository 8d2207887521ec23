package whip_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http/httptest"
	"testing"
	"time"

	"trellis/edge/framing"
	"trellis/edge/rtc"
	"trellis/edge/whip"
	"trellis/edge/whip/whipclient"
	"trellis/internal/relay"
)

// TestSockets runs over the real network stack: UDP and ICE over TCP, publisher
// and viewer, each frame read before the next is written.
func TestSockets(t *testing.T) {
	for name, tcpOnly := range map[string]bool{"udp": false, "tcp": true} {
		t.Run(name, func(t *testing.T) {
			must := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			udp, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
			must(err)
			tcp, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
			must(err)
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

			video := loadStream(t, framing.H264)
			pub, err := whipclient.Publish(ctx, whipclient.PublishConfig{
				Config: whipclient.Config{URL: server.URL + "/whip/room/alice", TCPOnly: tcpOnly},
				Tracks: []whipclient.Source{{Codec: framing.H264}},
			})
			must(err)
			must(pub.Write(0, video.frame(0)))
			// The request may come before the first packet: ask as a client would.
			player := playWhenLive(ctx, t, whipclient.PlayConfig{
				Config: whipclient.Config{URL: server.URL + "/whep/room/alice", TCPOnly: tcpOnly}, NoAudio: true,
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
