package moq

import (
	"testing"
	"time"

	"trellis/edge/moq/moqclient"
	"trellis/wire"
	"trellis/wire/moqlite"
)

// A node that drains tells its clients where to go, and lets them stay until it
// ends them; newcomers are told the same, and not served.
func TestDrain(t *testing.T) {
	other := "https://other.example:4443/"
	run(t, func(c *Config) { c.Elsewhere = func(string) string { return other } }, func(e *env) {
		polite, stubborn := e.client(5, "/?jwt=room"), e.client(4, "/room")
		old := e.client(3, "/") // knows no GOAWAY
		e.sleep(100 * time.Millisecond)
		start := time.Now()
		e.server.Drain()
		for c, want := range map[*moqclient.Session]string{
			polite: "https://other.example:4443/?jwt=room", stubborn: "https://other.example:4443/room",
		} {
			<-c.Draining()
			if got := c.Elsewhere(); got != want {
				t.Errorf("a client is sent to %q, want %q", got, want)
			}
		}
		if took := time.Since(start); took > 2*oneWay {
			t.Errorf("clients knew after %v", took)
		}
		if err := polite.Close(); err != nil {
			t.Error(err)
		}
		e.sleep(3 * time.Second)
		if n := e.server.Sessions(); n != 2 {
			t.Errorf("%d sessions, want those 2 that stay", n)
		}
		newcomer, err := moqclient.Dial(e.ctx, e.config(5, "/room"))
		if err != nil {
			t.Fatal(err)
		}
		<-newcomer.Draining()
		if got := newcomer.Elsewhere(); got != "https://other.example:4443/room" {
			t.Errorf("a newcomer is sent to %q", got)
		}
		wantCode(t, e.ended(newcomer, 2*time.Second), wire.CodeGoingAway)
		_ = newcomer.Close()
		if n := e.server.EndAll(); n != 2 {
			t.Errorf("%d sessions ended, want 2", n)
		}
		wantCode(t, e.ended(old, time.Second), wire.CodeGoingAway)
		wantCode(t, e.ended(stubborn, time.Second), wire.CodeGoingAway)
		e.sleep(time.Second)
		if n := e.server.Sessions(); n != 0 {
			t.Errorf("%d sessions left", n)
		}
	})
}

// Who has no other node to name says so with an empty URI, and who stays after
// all takes clients again.
func TestUndrain(t *testing.T) {
	run(t, nil, func(e *env) {
		c := e.camera(e.client(5, "/"), "room/a")
		e.sleep(100 * time.Millisecond)
		if publishers, viewers := e.server.Clients(); publishers != 1 || viewers != 0 {
			t.Errorf("%d publishers and %d viewers, want 1 and 0", publishers, viewers)
		}
		e.server.Drain()
		start := time.Now()
		refused, err := moqclient.Dial(e.ctx, e.config(4, "/"))
		if err != nil {
			t.Fatal(err)
		}
		wantCode(t, e.ended(refused, time.Second), wire.CodeGoingAway)
		if took := time.Since(start); took > 10*oneWay {
			t.Errorf("a client that cannot be helped was kept for %v", took)
		}
		_ = refused.Close()
		e.server.Undrain()
		s := e.client(5, "/")
		e.announced(s, "", "room/a")
		sub := e.subscribe(s, "room/a", "video/hd", moqlite.Delivery{})
		c.frame(true, 10)
		e.next(sub)
		if publishers, viewers := e.server.Clients(); publishers != 1 || viewers != 1 {
			t.Errorf("%d publishers and %d viewers, want 1 and 1", publishers, viewers)
		}
	})
}
