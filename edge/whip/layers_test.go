package whip_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"trellis/edge/framing"
	"trellis/edge/rtc"
	"trellis/edge/whip"
	"trellis/edge/whip/whipclient"
	"trellis/internal/impair"
	"trellis/internal/relay"
	"trellis/internal/telemetry"
	"trellis/wire"
	"trellis/wire/hang"
)

// narrow is the node's socket behind a path of limited width, in the direction of
// the clients.
type narrow struct {
	net.PacketConn
	mu   sync.Mutex
	link *impair.Link
}

func (n *narrow) WriteTo(b []byte, to net.Addr) (int, error) {
	now := time.Now()
	n.mu.Lock()
	at, drop := n.link.Send(now, len(b))
	n.mu.Unlock()
	if drop == impair.DropNone {
		b := append([]byte(nil), b...)
		time.AfterFunc(at.Sub(now), func() { _, _ = n.PacketConn.WriteTo(b, to) }) // a socket that is closed has no use for it
	}
	return len(b), nil
}

func (n *narrow) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	return n.WriteTo(b, net.UDPAddrFromAddrPort(to))
}

func (n *narrow) set(c impair.Config) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.link.Set(c); err != nil {
		panic(err)
	}
}

// simulcast is a broadcast of three layers, written straight into the node's
// table as the backbone would.
type simulcast struct {
	table *relay.Table
	mu    sync.Mutex
	fresh map[string]bool
	asked int
}

// layerBps are the layers' bitrates, and layerKey how much larger key frames are.
var layerBps = map[string]int{"q": 150_000, "h": 500_000, "f": 1_700_000}

var layerHeight = map[string]int{"q": 180, "h": 360, "f": 720}

const (
	layerKey  = 6
	layerRate = 25
)

// OpenTrack implements relay.Upstream for the catalog.
func (s *simulcast) OpenTrack(t *relay.Track) {
	if t.Name().Track != hang.CatalogTrack {
		t.Close(nil)
		return
	}
	renditions := map[string]hang.VideoConfig{}
	for rid, bps := range layerBps {
		renditions["video/"+rid] = hang.VideoConfig{
			Codec: "vp8", CodedWidth: float64(layerHeight[rid] * 16 / 9), CodedHeight: float64(layerHeight[rid]), BitrateBps: float64(bps),
		}
	}
	b, err := hang.Catalog{Video: &hang.Video{Renditions: renditions}}.Marshal()
	if err == nil {
		err = t.SetInfo(wire.TrackInfo{Kind: wire.KindCatalog, Timescale: wire.MicrosecondTimescale})
	}
	if err != nil {
		t.Close(err)
		return
	}
	g, err := t.Group(0)
	if err != nil {
		t.Close(err)
		return
	}
	at := time.Now().UnixMicro()
	_ = g.Write(0, relay.ObjectHeader{Time: at, Ingress: at}, b)
	g.Close()
}

// Refresh implements relay.Refresher.
func (s *simulcast) Refresh(t *relay.Track) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	s.fresh[t.Name().Track] = true
}

func (s *simulcast) takeFresh(track string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.fresh[track]
	s.fresh[track] = false
	return f
}

// run publishes until ctx ends, with a group every four seconds unless one is
// asked for. The first byte of a frame names its layer.
func (s *simulcast) run(ctx context.Context, b *relay.Broadcast) error {
	tracks, groups := map[string]*relay.Track{}, map[string]*relay.Group{}
	seqs, objects := map[string]uint64{}, map[string]uint64{}
	for rid := range layerBps {
		t, err := b.PushTrack("video/"+rid, wire.TrackInfo{
			Kind: wire.KindVideo, Priority: wire.KindVideo.DefaultPriority(), MaxLatency: time.Second, Timescale: wire.MicrosecondTimescale,
		})
		if err != nil {
			return err
		}
		tracks[rid] = t
	}
	tick := time.NewTicker(time.Second / layerRate)
	defer tick.Stop()
	rng := rand.New(rand.NewPCG(1, 2))
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now := time.Now().UnixMicro()
		for rid, bps := range layerBps {
			size := bps / 8 / layerRate * (70 + rng.IntN(60)) / 100
			if n%(4*layerRate) == 0 || s.takeFresh("video/"+rid) {
				size *= layerKey
				if g := groups[rid]; g != nil {
					g.Close()
				}
				g, err := tracks[rid].Group(seqs[rid])
				if err != nil {
					return err
				}
				groups[rid], objects[rid] = g, 0
				seqs[rid]++
			}
			frame := make([]byte, size)
			frame[0] = rid[0] &^ 1 // VP8's first bit is zero in key frames
			if objects[rid] > 0 {
				frame[0] |= 1
			}
			frame[1] = rid[0]
			payload := append(hang.AppendLegacyHeader(nil, uint64(now)), frame...)
			if err := groups[rid].Write(objects[rid], relay.ObjectHeader{Time: now, Ingress: now}, payload); err != nil {
				return err
			}
			objects[rid]++
		}
	}
}

// seen is what a viewer got.
type seen struct {
	at  time.Duration
	rid string
	key bool
}

// story has one viewer watch the three layers over a path that changes.
type pathChange struct {
	after time.Duration
	impair.Config
}

// watch runs a session over the path and returns the frames with their time since
// the session began, and what was decided.
func watch(t *testing.T, d time.Duration, path ...pathChange) (frames []seen, decisions []telemetry.Event) {
	t.Helper()
	var line *narrow
	events := telemetry.NewEvents(1000)
	inWorld(t, func(c *rtc.Config, _ *whip.Config) {
		link, err := impair.NewLink(impair.Config{}, rand.New(rand.NewPCG(3, 4)))
		if err != nil {
			t.Fatal(err)
		}
		line = &narrow{PacketConn: c.UDP, link: link}
		c.UDP, c.Decisions = line, events
	}, func(w *world) {
		s := &simulcast{table: w.table, fresh: map[string]bool{}}
		b, err := w.table.Announce(relay.Announcement{Name: "room/alice", PublisherID: 1, Origin: "us-east-1", Local: true}, s)
		w.must(err)
		ctx, cancel := context.WithCancel(w.t.Context())
		var running, viewers sync.WaitGroup
		running.Go(func() { w.must(s.run(ctx, b)) })
		time.Sleep(1100 * time.Millisecond)
		line.set(path[0].Config)
		w.patience = time.Second // about that of browsers
		player := w.play(framing.VP8)
		began := time.Now()
		for _, p := range path[1:] {
			time.AfterFunc(p.after, func() { line.set(p.Config) })
		}
		var got []whipclient.Received
		collect(player, &got, &viewers)
		time.Sleep(d)
		w.must(player.Close(context.WithoutCancel(ctx)))
		viewers.Wait()
		cancel()
		running.Wait()
		b.End(nil)
		for _, f := range got {
			frames = append(frames, seen{f.Arrival.Sub(began), string(f.Data[1:2]), f.Key})
		}
	})
	decisions, _ = events.Since(0)
	return frames, decisions
}

// tell prints what happened, for a test that has failed.
func tell(t *testing.T, frames []seen, decisions []telemetry.Event) {
	t.Helper()
	var b strings.Builder
	for i, f := range frames {
		if i == 0 || frames[i-1].rid != f.rid || f.at-frames[i-1].at > 300*time.Millisecond {
			fmt.Fprintf(&b, "%v %s\n", f.at.Round(time.Millisecond), f.rid)
		}
	}
	for _, e := range decisions {
		n, _ := json.Marshal(e.Numbers)
		fmt.Fprintf(&b, "%s %s %s (%s) %s\n", e.At.Format("05.000"), e.Track, e.Reason, e.Detail, n)
	}
	t.Log(b.String())
}

// share returns the share of the frames between two times that are of a layer,
// and the longest gap between frames there.
func share(frames []seen, from, to time.Duration, rid string) (part float64, gap time.Duration) {
	all, of, last := 0, 0, from
	for _, f := range frames {
		if f.at < from || f.at >= to {
			continue
		}
		all++
		if f.rid == rid {
			of++
		}
		gap = max(gap, f.at-last)
		last = f.at
	}
	gap = max(gap, to-last)
	return float64(of) / max(1, float64(all)), gap
}

const (
	kbit = 1_000
	mbit = 1_000_000
)

func TestSteadyPaths(t *testing.T) {
	for _, c := range []struct {
		name string
		link impair.Config
		rid  string
	}{
		{"300 kbit/s", impair.Config{RateBps: 300 * kbit}, "q"},
		{"1 Mbit/s with 2 % loss", impair.Config{RateBps: mbit, Loss: impair.Independent(0.02)}, "h"},
		{"10 Mbit/s", impair.Config{RateBps: 10 * mbit}, "f"},
		{"4 Mbit/s with 200 ms of jitter", impair.Config{RateBps: 4 * mbit, Jitter: 200 * time.Millisecond, Reorder: true}, "f"},
	} {
		t.Run(c.name, func(t *testing.T) {
			frames, decisions := watch(t, 20*time.Second, pathChange{Config: c.link})
			part, gap := share(frames, 5*time.Second, 20*time.Second, c.rid)
			if part < 0.9 || gap > 600*time.Millisecond {
				t.Errorf("%.0f %% of the frames are of layer %s; the longest gap is %v", 100*part, c.rid, gap)
				tell(t, frames, decisions)
			}
		})
	}
}

func TestPathDropsAndRecovers(t *testing.T) {
	frames, decisions := watch(t, 40*time.Second,
		pathChange{Config: impair.Config{RateBps: 4 * mbit}},
		pathChange{10 * time.Second, impair.Config{RateBps: 500 * kbit}},
		pathChange{25 * time.Second, impair.Config{RateBps: 4 * mbit}})
	failed := false
	check := func(what string, from, to time.Duration, rid string, least float64, longest time.Duration) {
		part, gap := share(frames, from, to, rid)
		if part < least || gap > longest {
			t.Errorf("%s: %.0f %% of the frames are of layer %s, the longest gap is %v; want %.0f %% and at most %v",
				what, 100*part, rid, gap, 100*least, longest)
			failed = true
		}
	}
	check("before", 4*time.Second, 10*time.Second, "f", 0.95, 300*time.Millisecond)
	check("the drop", 10*time.Second, 12*time.Second, "q", 0.2, 700*time.Millisecond)
	check("on the narrow path", 12*time.Second, 25*time.Second, "q", 0.95, 300*time.Millisecond)
	check("recovered", 30*time.Second, 40*time.Second, "f", 0.95, 300*time.Millisecond)
	if failed || testing.Verbose() {
		tell(t, frames, decisions)
	}
}

func TestOutage(t *testing.T) {
	frames, decisions := watch(t, 25*time.Second,
		pathChange{Config: impair.Config{RateBps: 4 * mbit}},
		pathChange{10 * time.Second, impair.Config{RateBps: 4 * mbit, Down: true}},
		pathChange{13 * time.Second, impair.Config{RateBps: 4 * mbit}})
	if part, gap := share(frames, 18*time.Second, 25*time.Second, "f"); part < 0.95 || gap > 300*time.Millisecond {
		t.Errorf("5 s after the outage %.0f %% of the frames are of layer f, the longest gap is %v", 100*part, gap)
		tell(t, frames, decisions)
	}
	if _, gap := share(frames, 14500*time.Millisecond, 18*time.Second, "f"); gap > 500*time.Millisecond {
		t.Errorf("1.5 s after the outage there is a gap of %v", gap)
		tell(t, frames, decisions)
	}
}
