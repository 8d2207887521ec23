package moq

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"strconv"
	"testing"
	"time"

	"trellis/edge/moq/moqclient"
	"trellis/internal/relay"
	"trellis/wire"
	"trellis/wire/moqlite"
)

// nullStream takes everything.
type nullStream struct{}

func (nullStream) Write(b []byte) (int, error)        { return len(b), nil }
func (nullStream) SetWriteDeadline(_ time.Time) error { return nil }
func (nullStream) SetReadDeadline(_ time.Time) error  { return nil }

// path is a track with both ends of the forwarding path, without a network.
type path struct {
	in     groupReader
	out    *outGroup
	source *bytes.Reader
	frame  []byte
	index  uint64
}

// newPath forwards frames of size bytes.
func newPath(tb testing.TB, size int) *path {
	tb.Helper()
	table, err := relay.NewTable(relay.Config{MaxGroupBytes: 1 << 30, MaxTrackBytes: 1 << 30})
	if err != nil {
		tb.Fatal(err)
	}
	b, err := table.Announce(relay.Announcement{Name: "room/a", PublisherID: 7, Origin: "n", Local: true}, nil)
	if err != nil {
		tb.Fatal(err)
	}
	track, err := b.PushTrack("video/hd", wire.TrackInfo{Kind: wire.KindVideo, Timescale: 1_000_000})
	if err != nil {
		tb.Fatal(err)
	}
	group, err := track.Group(0)
	if err != nil {
		tb.Fatal(err)
	}
	sub, err := table.Subscribe(track.Name(), relay.SubscribeOptions{Kind: relay.ReaderMoQ})
	if err != nil {
		tb.Fatal(err)
	}
	reader, err := sub.TryNextGroup()
	if err != nil || reader == nil {
		tb.Fatal(reader, err)
	}
	server, err := New(Config{Table: table, Verifier: testVerifier{}, NodeID: "n"})
	if err != nil {
		tb.Fatal(err)
	}
	ss := &session{server: server, cfg: &server.cfg, metrics: server.metrics, version: moqlite.Version05}
	o := newOutbox(&server.cfg, server.metrics, moqlite.Version05, 0, nil, nil)
	ctx, cancel := context.WithCancelCause(tb.Context())
	v := &view{session: ss, sub: sub, ctx: ctx}
	p := &path{
		out: &outGroup{outbox: o, view: v, reader: reader, ctx: ctx, cancel: cancel},
		// 25 frames a second.
		frame:  append(moqlite.FrameHeader{Delta: 40_000, Size: uint64(size)}.Append(nil, moqlite.Version05), make([]byte, size)...),
		source: bytes.NewReader(nil),
	}
	p.in = groupReader{
		pull: &pull{session: ss, publisher: &publisher{}, track: track}, stream: nullStream{}, group: group,
		in: moqlite.NewReader(p.source),
	}
	return p
}

// forward takes one frame from bytes through the relay to bytes.
func (p *path) forward(tb testing.TB) {
	tb.Helper()
	p.source.Reset(p.frame)
	h, err := p.in.in.FrameHeader(moqlite.Version05, 8<<20)
	if err != nil {
		tb.Fatal(err)
	}
	if err := p.in.frame(p.index, int(h.Size), relay.ObjectHeader{Time: int64(p.index) * h.Delta}); err != nil {
		tb.Fatal(err)
	}
	p.index++
	for {
		chunk, ok, err := p.out.reader.TryNext()
		if err != nil {
			tb.Fatal(err)
		}
		if !ok {
			if err := p.out.flush(nullStream{}); err != nil {
				tb.Fatal(err)
			}
			return
		}
		if err := p.out.write(nullStream{}, chunk); err != nil {
			tb.Fatal(err)
		}
	}
}

// Forwarding an object allocates its bytes and its place in the log, both many
// at a time, and nothing else.
func TestForwardingAllocates(t *testing.T) {
	if raceEnabled {
		return // the race detector allocates
	}
	p := newPath(t, 200)
	p.forward(t)
	// One slab for 80 objects and one segment of the log for 64.
	if got := testing.AllocsPerRun(1000, func() { p.forward(t) }); got > 0 {
		t.Errorf("%v allocations for each object, want none", got)
	}
}

func BenchmarkForward(b *testing.B) {
	for _, size := range []int{200, 1200, 30_000} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			p := newPath(b, size)
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				if p.index == 5000 {
					b.StopTimer()
					p = newPath(b, size)
					b.StartTimer()
				}
				p.forward(b)
			}
		})
	}
}

// Objects of a 04 publisher get their time from their container, if they have one
// that tells it, and else that of their arrival.
func TestTimesBefore05(t *testing.T) {
	run(t, nil, func(e *env) {
		publisher := e.client(4, "/")
		b, err := publisher.Publish("room/a")
		if err != nil {
			t.Fatal(err)
		}
		tracks := map[string]*moqclient.TrackWriter{}
		for _, name := range []string{"catalog.json", "video/hd", "video/loc", "chat"} {
			if tracks[name], err = b.AddTrack(name, moqlite.TrackInfo{}); err != nil {
				t.Fatal(err)
			}
		}
		catalog, err := tracks["catalog.json"].NewGroup()
		if err != nil {
			t.Fatal(err)
		}
		err = catalog.Write(0, []byte(`{"video":{"renditions":{"video/hd":{"codec":"vp8"},"video/loc":{"codec":"vp8","container":{"kind":"loc"}}}}}`))
		if err != nil {
			t.Fatal(err)
		}
		viewer := e.client(5, "/")
		e.announced(viewer, "", "room/a")
		e.next(e.subscribe(viewer, "room/a", "catalog.json", moqlite.Delivery{}))
		for name, stamped := range map[string]bool{"video/hd": true, "video/loc": false, "chat": false} {
			sub := e.subscribe(viewer, "room/a", name, moqlite.Delivery{})
			g, err := tracks[name].NewGroup()
			if err != nil {
				t.Fatal(err)
			}
			now := time.Now().Add(oneWay).UnixMicro()
			for i := range int64(2) {
				if err := g.Write(0, append(legacyPrefix(5_000_000+i), "frame"...)); err != nil {
					t.Fatal(err)
				}
				got := e.next(sub)
				switch {
				case stamped && got.Time != 5_000_000+i:
					t.Errorf("%s: time %d, want the container's", name, got.Time)
				case !stamped && (got.Time < now || got.Time > now+100_000):
					t.Errorf("%s: time %d, want that of its arrival, %d", name, got.Time, now)
				}
			}
		}
		status := e.table.Status()[0]
		kinds := map[string]string{}
		for _, tr := range status.Tracks {
			kinds[tr.Name] = tr.Kind
		}
		if kinds["catalog.json"] != "catalog" || kinds["video/loc"] != "video" || kinds["chat"] != "data" {
			t.Errorf("kinds %v", kinds)
		}
	})
}

// A client that pins the certificate's hash accepts that certificate and no other.
func TestCertificateHash(t *testing.T) {
	run(t, nil, func(e *env) {
		cfg := e.config(5, "/")
		var leaf []byte
		dial := cfg.DialQUIC
		probe, err := dial(e.ctx, "", &tls.Config{
			InsecureSkipVerify: true, NextProtos: []string{"h3"}, MinVersion: tls.VersionTLS13,
		}, &quicConfigForTests)
		if err != nil {
			t.Fatal(err)
		}
		<-probe.HandshakeComplete()
		leaf = probe.ConnectionState().TLS.PeerCertificates[0].Raw
		hash := sha256.Sum256(leaf)
		cfg.Insecure, cfg.CertHash = false, hash[:]
		s, err := moqclient.Dial(e.ctx, cfg)
		if err != nil {
			t.Fatal(err)
		}
		_ = s.Close()
		hash[0]++
		if _, err := moqclient.Dial(e.ctx, cfg); err == nil {
			t.Error("another certificate was accepted")
		}
		cfg.CertHash = nil
		if _, err := moqclient.Dial(e.ctx, cfg); err == nil {
			t.Error("a self-signed certificate was accepted")
		}
	})
}

// A publisher's role narrows what it may do.
func TestRole(t *testing.T) {
	run(t, nil, func(e *env) {
		c := e.raw(5, nil)
		c.tell(moqlite.AppendUniStream(nil, moqlite.UniStreamSetup, moqlite.Setup{Role: moqlite.RolePublisher}, 5), true)
		e.sleep(100 * time.Millisecond)
		e.camera(e.client(5, "/"), "room/bob.hang")
		e.announced(e.client(5, "/"), "", "room/bob.hang")
		c.wantReset("track", c.ask(moqlite.AppendStream(nil, moqlite.StreamTrack, bobVideo, 5), false), wire.CodeUnauthorized)
	})
}
