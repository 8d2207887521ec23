package rtc

import (
	"context"
	"net"
	"testing"

	"trellis/internal/relay"
)

// FuzzPublish hands offers to the whole stack, pion included: whatever a client
// writes, the answer is an error or a session, and never a panic.
func FuzzPublish(f *testing.F) {
	f.Add(sessionLines + bundled + section("video", "sendonly", "VP8/90000") + section("audio", "sendonly", "opus/48000/2"))
	f.Add(sessionLines + section("video", "sendrecv", "H264/90000 packetization-mode=1;profile-level-id=42e01f", "rtx/90000 apt=100"))
	f.Add(sessionLines + section("video", "sendonly", "AV1/90000") + "a=ssrc-group:FID 1 2\r\na=ssrc:1 cname:x\r\na=simulcast:send hi;lo\r\na=rid:hi send\r\n")
	table, err := relay.NewTable(relay.Config{})
	if err != nil {
		f.Fatal(err)
	}
	udp, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	e, err := New(Config{Table: table, Origin: "fuzz", UDP: udp})
	if err != nil {
		f.Fatal(err)
	}
	ctx, cancel := context.WithCancel(f.Context())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	f.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			f.Error(err)
		}
	})
	f.Fuzz(func(t *testing.T, text string) {
		s, err := e.Publish(t.Context(), Request{Broadcast: "room/alice", Offer: text})
		if err != nil {
			return
		}
		if s.Answer() == "" {
			t.Error("a session without an answer")
		}
		s.End(ErrHungUp)
	})
}
