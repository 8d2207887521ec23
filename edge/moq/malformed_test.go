package moq

import (
	"bytes"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go/quicvarint"
	"github.com/quic-go/webtransport-go"

	"trellis/edge/moq/moqclient"
	"trellis/wire"
	"trellis/wire/moqlite"
)

// bytesOf is the start of a stream of type t with a body of the caller's.
func bytesOf(t moqlite.StreamType, body ...byte) []byte {
	b := quicvarint.Append(nil, uint64(t))
	return append(quicvarint.Append(b, uint64(len(body))), body...)
}

func TestMalformedRequests(t *testing.T) {
	v := moqlite.Version05
	huge := quicvarint.Append([]byte{byte(moqlite.StreamSubscribe)}, 1<<62-1)
	long := strings.Repeat("x", 300)
	for _, tc := range []struct {
		what   string
		bytes  []byte
		want   wire.Code
		reason string
	}{
		{"unknown type", []byte{0x3f}, wire.CodeUnexpectedStream, "unknown"},
		{"in-band setup", []byte{0x20, 0, 1, 2}, wire.CodeUnexpectedStream, "unknown"},
		{"a message of 2^62-1 bytes", huge, wire.CodeTooLarge, "malformed"},
		{"a byte too many", bytesOf(moqlite.StreamAnnounce, 0, 0, 9), wire.CodeWrongSize, "malformed"},
		{"a byte too few", bytesOf(moqlite.StreamAnnounce, 4, 'r'), wire.CodeWrongSize, "malformed"},
		{"not UTF-8", bytesOf(moqlite.StreamTrack, 1, 0xff, 1, 'v'), wire.CodeDecode, "malformed"},
		{"a control character", bytesOf(moqlite.StreamTrack, 1, 7, 1, 'v'), wire.CodeDecode, "name"},
		{"dots", bytesOf(moqlite.StreamTrack, 4, 'a', '/', '.', '.', 1, 'v'), wire.CodeDecode, "name"},
		{"no track", bytesOf(moqlite.StreamTrack, 1, 'a', 0), wire.CodeDecode, "name"},
		{"a long part", moqlite.AppendStream(nil, moqlite.StreamTrack, moqlite.Track{Broadcast: long, Name: "v"}, v), wire.CodeDecode, "name"},
		{"a long track", moqlite.AppendStream(nil, moqlite.StreamTrack, moqlite.Track{Broadcast: "a", Name: long}, v), wire.CodeDecode, "name"},
		{"a bool of 7", bytesOf(moqlite.StreamSubscribe, 0, 1, 'a', 1, 'v', 60, 7, 0, 0, 0), wire.CodeDecode, "malformed"},
		{"no such broadcast", moqlite.AppendStream(nil, moqlite.StreamSubscribe, moqlite.Subscribe{Broadcast: "nobody", Track: "v"}, v), wire.CodeNotFound, ""},
		{"fetch of nothing", moqlite.AppendStream(nil, moqlite.StreamFetch, moqlite.Fetch{Broadcast: "room/a", Track: "video/hd", Group: 99}, v), wire.CodeNotFound, "unknown"},
		{"a track that the publisher has not", moqlite.AppendStream(nil, moqlite.StreamTrack, moqlite.Track{Broadcast: "room/a", Name: "video/4k"}, v), wire.CodeNotFound, ""},
	} {
		t.Run(tc.what, func(t *testing.T) {
			run(t, nil, func(e *env) {
				c := e.camera(e.client(4, "/"), "room/a")
				viewer := e.client(5, "/")
				e.announced(viewer, "", "room/a")
				sub := e.subscribe(viewer, "room/a", "video/hd", moqlite.Delivery{})
				bad := e.raw(v, nil)
				// On the same session a good request goes on before, and after.
				good := bad.ask(moqlite.AppendStream(nil, moqlite.StreamAnnounce, moqlite.AnnounceRequest{}, v), false)
				bad.wantReset(tc.what, bad.ask(tc.bytes, false), tc.want)
				if tc.reason != "" && e.metric("refused_total", tc.reason) != 1 {
					t.Errorf("%s is not counted as %s", tc.what, tc.reason)
				}
				in := moqlite.NewReader(good)
				if body, err := in.Message(); err != nil {
					t.Errorf("the session's other request: %v", err)
				} else if ok, err := moqlite.ParseAnnounceOK(body, v); err != nil || ok.Active != 1 {
					t.Errorf("the session's other request: %+v, %v", ok, err)
				}
				want := c.frame(true, 100)
				if got := e.next(sub); !bytes.Equal(got.Payload, want) {
					t.Error("another session was disturbed")
				}
			})
		})
	}
}

// Versions have what they have: TRACK came with 05, GOAWAY with 04.
func TestStreamsOfOtherVersions(t *testing.T) {
	run(t, nil, func(e *env) {
		c := e.raw(3, nil)
		c.wantReset("track", c.ask(moqlite.AppendStream(nil, moqlite.StreamTrack, bobVideo, 3), false), wire.CodeUnexpectedStream)
		c.wantReset("goaway", c.ask(moqlite.AppendStream(nil, moqlite.StreamGoaway, moqlite.Goaway{}, 3), false), wire.CodeUnexpectedStream)
		c.wantStopped("setup", c.tell(moqlite.AppendUniStream(nil, moqlite.UniStreamSetup, moqlite.Setup{}, 3), false), wire.CodeUnexpectedStream)
	})
}

var bobVideo = moqlite.Track{Broadcast: "room/bob.hang", Name: "video/hd"}

// What is wrong with a group stream is its own affair.
func TestMalformedGroups(t *testing.T) {
	const v = moqlite.Version05
	header := func(id uint64) []byte {
		return moqlite.AppendUniStream(nil, moqlite.UniStreamGroup, moqlite.Group{SubscribeID: id, Sequence: 9}, v)
	}
	frame := func(delta int64, size uint64) []byte {
		return moqlite.FrameHeader{Delta: delta, Size: size}.Append(header(0), v)
	}
	for _, tc := range []struct {
		what   string
		bytes  []byte
		fin    bool
		want   wire.Code
		reason string
	}{
		{"unknown type", []byte{0x3f}, false, wire.CodeUnexpectedStream, "unknown"},
		{"no such subscription", header(55), false, wire.CodeNotFound, "unknown"},
		{"a message too large", []byte{0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, false, wire.CodeTooLarge, "malformed"},
		{"a frame of 2^62-1 bytes", frame(0, 1<<62-1), false, wire.CodeTooLarge, "frame_size"},
		{"a frame above the limit", frame(0, 8<<20+1), false, wire.CodeTooLarge, "frame_size"},
		{"a time beyond 2^53", frame(1<<54, 1), false, wire.CodeBounds, "malformed"},
		{"a header that stalls", header(0)[:2], false, wire.CodeTimeout, "header_timeout"},
		{"a frame that stalls", append(frame(0, 100), 1, 2, 3), false, wire.CodeTimeout, "stalled_sender"},
		{"a large frame that stalls", append(frame(0, 100_000), make([]byte, 5000)...), false, wire.CodeTimeout, "stalled_sender"},
	} {
		t.Run(tc.what, func(t *testing.T) {
			run(t, nil, func(e *env) {
				publisher := e.raw(v, nil)
				subscribed := make(chan moqlite.Subscribe, 1)
				publisher.publish("room/a", subscribed)
				viewer := e.client(5, "/")
				e.announced(viewer, "", "room/a")
				sub := e.subscribe(viewer, "room/a", "video/hd", moqlite.Delivery{MaxLatency: 30 * time.Second})
				id := (<-subscribed).ID
				publisher.wantStopped(tc.what, publisher.tell(tc.bytes, tc.fin), tc.want)
				if e.metric("refused_total", tc.reason) != 1 {
					t.Errorf("%s is not counted as %s\n%s", tc.what, tc.reason, e.log)
				}
				good := moqlite.AppendUniStream(nil, moqlite.UniStreamGroup, moqlite.Group{SubscribeID: id, Sequence: 10}, v)
				good = moqlite.FrameHeader{Delta: 7, Size: 4}.Append(good, v)
				publisher.tell(append(good, "good"...), true)
				for {
					got := e.next(sub)
					if got.Group == 10 {
						if string(got.Payload) != "good" || got.Time != 7 {
							t.Errorf("the next group: %+v", got)
						}
						return
					}
				}
			})
		})
	}
}

// A stream that says nothing is given up, and its session goes on.
func TestStalledHeader(t *testing.T) {
	run(t, nil, func(e *env) {
		c := e.raw(5, nil)
		start := time.Now()
		c.wantReset("half a message", c.ask([]byte{byte(moqlite.StreamSubscribe), 30, 1}, false), wire.CodeTimeout)
		if took := time.Since(start); took < 5*time.Second || took > 6*time.Second {
			t.Errorf("refused after %v, want 5 s", took)
		}
		if e.metric("refused_total", "header_timeout") != 1 {
			t.Error("not counted")
		}
		if c.wt.Context().Err() != nil {
			t.Error("the session ended")
		}
	})
}

// Wrong SETUPs, and a name announced twice before 05, end the session.
func TestSessionViolations(t *testing.T) {
	setup := func(m moqlite.Setup) []byte { return moqlite.AppendUniStream(nil, moqlite.UniStreamSetup, m, 5) }
	for _, tc := range []struct {
		what    string
		version moqlite.Version
		do      func(c *rawClient)
		want    wire.Code
	}{
		{"two SETUPs", 5, func(c *rawClient) { c.tell(setup(moqlite.Setup{}), true); c.tell(setup(moqlite.Setup{}), true) }, wire.CodeProtocol},
		{"a path", 5, func(c *rawClient) { c.tell(setup(moqlite.Setup{Path: "/x"}), true) }, wire.CodeProtocol},
		{"a bad SETUP", 5, func(c *rawClient) { c.tell([]byte{1, 2, 1, 5}, true) }, wire.CodeWrongSize},
		{"announced twice", 4, func(c *rawClient) {
			c.serve(func(t moqlite.StreamType, _ []byte, st *webtransport.Stream) {
				if t == moqlite.StreamAnnounce {
					m := moqlite.Announce{Active: true, Suffix: "a", Hops: []uint64{7}}
					_, _ = st.Write(moqlite.AppendMessage(moqlite.AppendMessage(nil, m, 4), m, 4))
				}
			})
		}, wire.CodeProtocol},
		{"a bad announcement", 5, func(c *rawClient) {
			c.serve(func(t moqlite.StreamType, _ []byte, st *webtransport.Stream) {
				if t == moqlite.StreamAnnounce {
					_, _ = st.Write([]byte{2, 7, 0, 3, 9, 0, 0})
				}
			})
		}, wire.CodeDecode},
		{"too many names", 5, func(c *rawClient) {
			c.serve(func(t moqlite.StreamType, _ []byte, st *webtransport.Stream) {
				if t == moqlite.StreamAnnounce {
					b := moqlite.AppendMessage(nil, moqlite.AnnounceOK{Hop: 7}, 5)
					for i := range 20 {
						b = moqlite.AppendMessage(b, moqlite.Announce{Active: true, Suffix: strings.Repeat("a", i+1)}, 5)
					}
					_, _ = st.Write(b)
				}
			})
		}, wire.CodeTooMany},
	} {
		t.Run(tc.what, func(t *testing.T) {
			run(t, func(c *Config) { c.MaxPublications = 10 }, func(e *env) {
				other := e.client(5, "/")
				bad := e.raw(tc.version, nil)
				tc.do(bad)
				select {
				case <-bad.wt.Context().Done():
				case <-e.timeout(5 * time.Second).Done():
					t.Fatalf("the session goes on\n%s", e.log)
				}
				_, err := bad.wt.OpenStream()
				wantCode(t, err, tc.want)
				e.sleep(time.Second)
				if other.Context().Err() != nil {
					t.Error("another session ended")
				}
			})
		})
	}
}

// A CONNECT without a version in common, or from a page that may not, is refused.
func TestRefusedConnect(t *testing.T) {
	for _, tc := range []struct {
		what      string
		path      string
		origin    string
		protocols []string
		want      int
		reason    string
	}{
		{"no protocols", "/", "", nil, 200, ""}, // see TestNothingAgreed
		{"IETF only", "/", "", []string{"moqt-16", "moql"}, http.StatusNotAcceptable, "version"},
		{"another site", "/", "https://elsewhere.example", []string{"moq-lite-05"}, http.StatusForbidden, "origin"},
		{"a bad path", "/a/%00", "", []string{"moq-lite-05"}, http.StatusBadRequest, "name"},
		{"our own site", "/", "https://node-1:443", []string{"moq-lite-05"}, 200, ""},
		{"an allowed site", "/", "https://app.example", []string{"moqt-20", "moq-lite-04"}, 200, ""},
	} {
		t.Run(tc.what, func(t *testing.T) {
			run(t, func(c *Config) { c.Origins = []string{"https://app.example"} }, func(e *env) {
				header := http.Header{}
				if tc.origin != "" {
					header.Set("Origin", tc.origin)
				}
				status, _, err := e.dialRaw(tc.path, header, nil, tc.protocols...)
				if status != tc.want || (err == nil) != (tc.want == 200) {
					t.Errorf("%s: status %d, %v; want %d", tc.what, status, err, tc.want)
				}
				if tc.reason != "" && e.metric("refused_total", tc.reason) != 1 {
					t.Error("not counted")
				}
			})
		})
	}
}

// The client's first version that we speak is taken.
func TestVersionChoice(t *testing.T) {
	run(t, nil, func(e *env) {
		_, c, err := e.dialRaw("/", nil, nil, "moqt-20", "moq-lite-03", "moq-lite-05")
		if err != nil || c.version != moqlite.Version03 {
			t.Errorf("version %v, %v; want 03", c.version, err)
		}
	})
}

// A connection on which nobody asks for a session is closed.
func TestSilentConnection(t *testing.T) {
	run(t, nil, func(e *env) {
		cfg := e.config(5, "/")
		conn, err := cfg.DialQUIC(e.ctx, "", clientTLS(), &quicConfigForTests)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		<-conn.Context().Done()
		if took := time.Since(start); took > 6*time.Second {
			t.Errorf("closed after %v, want 5 s", took)
		}
		if e.metric("refused_total", "no_session") != 1 {
			t.Error("not counted")
		}
	})
}

func TestUnauthorized(t *testing.T) {
	t.Run("bad token", func(t *testing.T) {
		run(t, nil, func(e *env) {
			s, err := moqclient.Dial(e.ctx, e.config(5, "/?jwt=ey-very-secret"))
			if err != nil {
				t.Fatalf("refused at once (%v), want a session that is closed with a reason", err)
			}
			cause := e.ended(s, 5*time.Second)
			wantCode(t, cause, wire.CodeUnauthorized)
			var closed *webtransport.SessionError
			if !errors.As(cause, &closed) || closed.Message != "access denied" {
				t.Errorf("reason %q", cause)
			}
			if e.metric("refused_total", "token") != 1 {
				t.Error("not counted")
			}
			if strings.Contains(e.log.String(), "secret") {
				t.Errorf("the token is in the log:\n%s", e.log)
			}
			_ = s.Close()
		})
	})
	t.Run("expiry", func(t *testing.T) {
		run(t, nil, func(e *env) {
			s := e.client(5, "/?jwt=for-5s")
			start := time.Now()
			wantCode(t, e.ended(s, 10*time.Second), wire.CodeUnauthorized)
			if took := time.Since(start); took < 4900*time.Millisecond || took > 5200*time.Millisecond {
				t.Errorf("ended after %v, want 5 s", took)
			}
		})
	})
	t.Run("subscribe", func(t *testing.T) {
		run(t, nil, func(e *env) {
			e.camera(e.client(5, "/"), "office/a")
			e.camera(e.client(5, "/?jwt=room"), "room/a")
			viewer := e.client(5, "/?jwt=get")
			// What the token does not cover is not announced either.
			a, err := viewer.Announcements(e.ctx, "")
			if err != nil {
				t.Fatal(err)
			}
			if event, err := a.Next(e.timeout(time.Second)); err != nil || event.Broadcast != "room/a" || a.Initial() != 0 {
				t.Errorf("announced %+v, %v", event, err)
			}
			_, err = viewer.Subscribe(e.ctx, "office/a", "video/hd", moqlite.Delivery{})
			wantCode(t, err, wire.CodeUnauthorized)
			if e.metric("refused_total", "scope") != 1 {
				t.Error("not counted")
			}
		})
	})
	t.Run("publish", func(t *testing.T) {
		run(t, nil, func(e *env) {
			e.camera(e.client(5, "/?jwt=get"), "room/a")
			s := e.client(5, "/?jwt=room")
			e.camera(s, "room/b")
			e.camera(s, "office/b")
			e.announced(e.client(5, "/"), "", "room/b")
			e.sleep(time.Second)
			if got := e.table.Status(); len(got) != 1 || got[0].Name != "room/b" {
				t.Errorf("published: %+v", got)
			}
			if e.metric("refused_total", "scope") != 1 {
				t.Error("not counted")
			}
		})
	})
}
