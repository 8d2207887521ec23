package livekit

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// room is a server that says some messages and keeps what it hears.
func room(t *testing.T, says ...Response) (base string, heard <-chan []byte) {
	t.Helper()
	ch := make(chan []byte, 16)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/rtc" || r.Header.Get("Authorization") != "Bearer t" || r.FormValue("auto_subscribe") != "1" {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		ws, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer func() { _ = ws.CloseNow() }()
		for _, m := range says {
			if ws.Write(r.Context(), websocket.MessageBinary, response(m)) != nil {
				return
			}
		}
		for {
			_, b, err := ws.Read(r.Context())
			if err != nil {
				close(ch)
				return
			}
			ch <- b
		}
	}))
	t.Cleanup(s.Close)
	return s.URL, ch
}

// TestSignal: join, an offer, its answer, a ping, and a leave, in that order.
func TestSignal(t *testing.T) {
	base, heard := room(t, Response{Join: &Join{PingInterval: 5, Server: Version}}, Response{}, Response{Offer: &Description{Type: "offer", SDP: "v=0\r\n", ID: 73}})
	s, err := Dial(t.Context(), base, "t")
	if err != nil {
		t.Fatal(err)
	}
	if s.Join.PingInterval != 5 || s.Join.Server != Version {
		t.Errorf("join: %+v", s.Join)
	}
	if r, err := s.Read(t.Context()); err != nil || r != (Response{}) {
		t.Errorf("what a viewer does not need: %+v, %v", r, err)
	}
	r, err := s.Read(t.Context())
	if err != nil || r.Offer == nil || r.Offer.ID != 73 {
		t.Fatalf("offer: %+v, %v", r, err)
	}
	answer := Request{Answer: &Description{Type: "answer", SDP: "v=0\r\n", ID: r.Offer.ID}}
	if err := s.Write(t.Context(), answer); err != nil {
		t.Fatal(err)
	}
	now := time.UnixMilli(1795348292779)
	if err := s.Ping(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []Request{answer, {Ping: now.UnixMilli()}, {Leave: true}} {
		if got := <-heard; string(got) != string(want.Append(nil)) {
			t.Errorf("the server heard %x, want %x", got, want.Append(nil))
		}
	}
	if b, more := <-heard; more {
		t.Errorf("after the leave came %x", b)
	}
}

// TestRefused: a wrong token, and a server that does not begin with a join.
func TestRefused(t *testing.T) {
	base, _ := room(t, Response{Leave: &Leave{Reason: 7}})
	if _, err := Dial(t.Context(), base, "wrong"); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("a wrong token: %v", err)
	}
	if _, err := Dial(t.Context(), base, "t"); err == nil || !strings.Contains(err.Error(), "no join") {
		t.Errorf("no join: %v", err)
	}
}

// TestServerFails: what a server says before it ends is in the error.
func TestServerFails(t *testing.T) {
	if _, err := Start(t.Context(), "/nowhere/livekit-server", Config{}); err == nil {
		t.Error("a missing program was started")
	}
	// The test binary itself knows no --config-body, says so and ends.
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), self, Config{SendSide: true}); err == nil || !strings.Contains(err.Error(), "config-body") {
		t.Errorf("a program that ends at once: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Start(ctx, self, Config{}); err == nil {
		t.Error("started after the end")
	}
}
