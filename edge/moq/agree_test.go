package moq

import (
	"bytes"
	"io"
	"testing"
	"time"

	"trellis/wire"
	"trellis/wire/moqlite"
)

// unnamed is a session of a client whose browser offers no subprotocols.
func (e *env) unnamed() *rawClient {
	e.t.Helper()
	status, c, err := e.dialRaw("/", nil, nil)
	if err != nil {
		e.t.Fatalf("refused: %d, %v", status, err)
	}
	c.version = moqlite.Version02
	return c
}

// agree has the client offer a version and wants it chosen.
func (c *rawClient) agree() {
	c.e.t.Helper()
	st := c.ask(moqlite.AppendClientSetup(nil, moqlite.ClientSetup{Versions: []uint64{0xff0dad02, 0xff0dad01, 0xff00000e}}), false)
	want := moqlite.AppendServerSetup(nil, moqlite.Version02)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(st, got); err != nil || !bytes.Equal(got, want) {
		c.e.t.Fatalf("the node answers %x, %v; want %x", got, err, want)
	}
}

// TestAgreed: a client that agrees on 02 by messages watches what a client of 05
// publishes, and publishes what that one watches.
func TestAgreed(t *testing.T) {
	run(t, nil, func(e *env) {
		subscribed := make(chan moqlite.Subscribe, 1)
		other := e.raw(moqlite.Version05, nil)
		other.publish("alice", subscribed)
		e.sleep(time.Second)
		c := e.unnamed()
		c.agree()
		v := moqlite.Version02

		announced := c.ask(moqlite.AppendStream(nil, moqlite.StreamAnnounce, moqlite.AnnounceRequest{}, v), false)
		in := moqlite.NewReader(announced)
		body, err := in.Message()
		if err != nil {
			t.Fatal(err)
		}
		if m, err := moqlite.ParseAnnounceInit(body, v); err != nil || len(m.Suffixes) != 1 || m.Suffixes[0] != "alice" {
			t.Errorf("announced at first %q, %v", m.Suffixes, err)
		}
		wanted := c.ask(moqlite.AppendStream(nil, moqlite.StreamSubscribe,
			moqlite.Subscribe{ID: 1, Broadcast: "alice", Track: "video/hd", Delivery: moqlite.Delivery{Priority: 60}}, v), false)
		if m, err := moqlite.NewReader(wanted).Response(v); err != nil || m != (moqlite.SubscribeOK{}) {
			t.Errorf("the subscription is answered %#v, %v", m, err)
		}
		if m := <-subscribed; m.Track != "video/hd" || m.MaxLatency != 0 && m.MaxLatency < time.Second/2 {
			t.Errorf("the publisher is asked for %+v", m)
		}
	})
}

// TestAgreedPublishes: what such a client says that it publishes is announced.
func TestAgreedPublishes(t *testing.T) {
	run(t, nil, func(e *env) {
		c := e.unnamed()
		c.agree()
		v := moqlite.Version02
		st, err := c.wt.AcceptStream(e.ctx)
		if err != nil {
			t.Fatal(err)
		}
		in := moqlite.NewReader(st)
		if typ, err := in.Varint(); err != nil || moqlite.StreamType(typ) != moqlite.StreamAnnounce {
			t.Fatalf("the node opens a stream of type %d, %v", typ, err)
		}
		if body, err := in.Message(); err != nil {
			t.Fatal(err)
		} else if m, err := moqlite.ParseAnnounceRequest(body, v); err != nil || m.Prefix != "" {
			t.Errorf("the node asks for %+v, %v", m, err)
		}
		b := moqlite.AppendMessage(nil, moqlite.AnnounceInit{Suffixes: []string{"bob", "carol"}}, v)
		b = moqlite.AppendMessage(b, moqlite.Announce{Suffix: "carol"}, v)
		b = moqlite.AppendMessage(b, moqlite.Announce{Active: true, Suffix: "dave"}, v)
		if _, err := st.Write(b); err != nil {
			t.Fatal(err)
		}
		e.sleep(time.Second)
		var names []string
		for _, s := range e.table.Status() {
			names = append(names, s.Name)
		}
		if len(names) != 2 || names[0] != "bob" || names[1] != "dave" {
			t.Errorf("published are %q", names)
		}
	})
}

// TestNothingAgreed: a client that offers no version by name and none by message
// either is sent away, as is one that begins with something else, and counted.
func TestNothingAgreed(t *testing.T) {
	for _, tc := range []struct {
		what   string
		says   []byte
		want   wire.Code
		reason string
	}{
		{"other versions", moqlite.AppendClientSetup(nil, moqlite.ClientSetup{Versions: []uint64{0xff00000e}}), wire.CodeVersion, "version"},
		{"a subscription", moqlite.AppendStream(nil, moqlite.StreamSubscribe, moqlite.Subscribe{}, moqlite.Version02), wire.CodeUnexpected, "malformed"},
		{"half a message", []byte{0x20, 0}, wire.CodeTimeout, "header_timeout"},
		{"nothing", nil, wire.CodeTimeout, "version"},
	} {
		t.Run(tc.what, func(t *testing.T) {
			run(t, nil, func(e *env) {
				c := e.unnamed()
				if tc.says != nil {
					c.ask(tc.says, false)
				}
				select {
				case <-c.wt.Context().Done():
				case <-e.timeout(20 * time.Second).Done():
					t.Fatal("the session goes on")
				}
				_, err := c.wt.OpenStream()
				wantCode(t, err, tc.want)
				if e.metric("refused_total", tc.reason) != 1 {
					t.Errorf("not counted as %s\n%s", tc.reason, e.log)
				}
			})
		})
	}
}
