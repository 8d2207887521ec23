package backbone_test

import (
	"cmp"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"trellis/backbone"
	"trellis/internal/relay"
	"trellis/wire"
)

// congested is a link that carries sound, base video and an enhancement layer.
type congested struct {
	t       *testing.T
	c       *cluster
	a, b    *node
	tracks  map[string]*relay.Track
	views   map[string]*viewer
	stop    chan struct{}
	wg      sync.WaitGroup
	mu      sync.Mutex
	written map[string]uint64 // groups
}

// congestedTrack is one of the tracks.
type congestedTrack struct {
	name     string
	kind     wire.Kind
	priority uint8
	group    int
	size     int
	every    time.Duration
}

// The tracks: 2 Mbit/s, 0.5 Mbit/s and 48 kbit/s.
var congestedTracks = []congestedTrack{
	{"video/hd", wire.KindVideo, wire.PriorityVideo - 10, 30, 8_300, 33 * time.Millisecond},
	{"video/sd", wire.KindVideo, wire.PriorityVideo, 30, 2_060, 33 * time.Millisecond},
	{"audio", wire.KindAudio, wire.PriorityAudio, 5, 120, 20 * time.Millisecond},
}

func newCongested(t *testing.T, rateBps float64) *congested {
	t.Helper()
	x := &congested{t: t, c: newCluster(t), tracks: map[string]*relay.Track{}, views: map[string]*viewer{}, stop: make(chan struct{}), written: map[string]uint64{}}
	nodes := x.c.chain(2, pathSpec{delay: 20 * time.Millisecond, rateBps: rateBps, queue: 100 * time.Millisecond}, nil)
	x.a, x.b = nodes[0], nodes[1]
	b, err := x.a.table.Announce(relay.Announcement{Name: "room/alice", PublisherID: 7, Origin: x.a.id, Local: true}, noUpstream{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tr := range congestedTracks {
		if x.tracks[tr.name], err = b.PushTrack(tr.name, wire.TrackInfo{Kind: tr.kind, Priority: tr.priority, Timescale: 1_000_000}); err != nil {
			t.Fatal(err)
		}
	}
	x.c.start()
	x.b.waitFor("room/alice")
	for _, tr := range congestedTracks {
		x.views[tr.name] = x.b.view("room/alice", tr.name)
	}
	time.Sleep(2 * time.Second)
	for _, tr := range congestedTracks {
		x.wg.Go(func() {
			n := x.a.stream(x.tracks[tr.name], tr.group, tr.size, tr.every, x.stop)
			x.mu.Lock()
			x.written[tr.name] = n
			x.mu.Unlock()
		})
	}
	return x
}

// rate changes what the path carries from the publisher's side.
func (x *congested) rate(bps float64) {
	x.c.net.set(x.a.addr, x.b.addr, pathSpec{delay: 20 * time.Millisecond, rateBps: bps, queue: 100 * time.Millisecond})
}

// end stops everything and returns what each viewer got.
func (x *congested) end() map[string][]got {
	close(x.stop)
	x.wg.Wait()
	time.Sleep(3 * time.Second)
	out := map[string][]got{}
	for name, v := range x.views {
		out[name] = v.objects()
	}
	return out
}

func (x *congested) link() backbone.LinkStatus {
	all := x.a.status().Links
	return all[slices.IndexFunc(all, func(l backbone.LinkStatus) bool { return l.Peer == x.b.id })]
}

// share is how much of what was written came.
func (x *congested) share(all []got, name string) float64 {
	i := slices.IndexFunc(congestedTracks, func(t congestedTrack) bool { return t.name == name })
	return float64(len(all)) / float64(int(x.written[name])*congestedTracks[i].group)
}

// TestShedLayerFirst: what a link carries is halved, to less than all. The
// enhancement layer goes; base video and sound come whole, and in time.
func TestShedLayerFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newCongested(t, 4e6)
		defer x.c.close()
		time.Sleep(5 * time.Second)
		if d := x.link().Drops; len(d) != 0 {
			t.Fatalf("dropped before there was a reason: %+v", d)
		}
		x.rate(2e6)
		time.Sleep(20 * time.Second)
		link := x.link()
		x.rate(8e6) // the layer comes back
		time.Sleep(15 * time.Second)
		all := x.end()
		hd, sd, audio := x.share(all["video/hd"], "video/hd"), x.share(all["video/sd"], "video/sd"), x.share(all["audio"], "audio")
		t.Logf("hd %.2f, sd %.4f, audio %.4f; dropped %v", hd, sd, audio, link.Dropped)
		if audio != 1 || sd != 1 {
			t.Errorf("audio %.4f, sd %.4f; want all of both", audio, sd)
		}
		if hd < 0.3 || hd > 0.95 {
			t.Errorf("hd %.2f: want it back at the end, but not all", hd)
		}
		if len(link.Drops) == 0 {
			t.Fatal("nothing says why")
		}
		for _, e := range link.Drops {
			if e.Track != "video/hd" || e.Reason != "layer" && e.Reason != "late" {
				t.Errorf("%+v", e)
			}
		}
		worst := slices.MaxFunc(link.Drops, func(a, b backbone.DropEvent) int { return cmp.Compare(a.BehindMs, b.BehindMs) })
		if worst.BehindMs < 500 || worst.BehindMs > 2000 || worst.LinkBps == 0 || worst.Priority != wire.PriorityVideo-10 {
			t.Errorf("%+v", worst)
		}
		sdAges, audioAges := agesOf(all["video/sd"]), agesOf(all["audio"])
		t.Logf("ages: sd p50 %v, p99 %v; audio p50 %v, p99 %v", sdAges.q(50), sdAges.q(99), audioAges.q(50), audioAges.q(99))
		if audioAges.q(99) > 300*time.Millisecond || sdAges.q(99) > time.Second {
			t.Errorf("p99 age of audio %v, of sd %v", audioAges.q(99), sdAges.q(99))
		}
		for _, v := range x.views {
			v.stop()
		}
		if t.Failed() {
			t.Logf("%+v", link.Drops)
		}
	})
}

// TestShedOrder: a link that carries less and less loses first the layer, then
// old groups and base video, and no sound.
func TestShedOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newCongested(t, 4e6)
		defer x.c.close()
		time.Sleep(5 * time.Second)
		x.rate(2e6)
		time.Sleep(8 * time.Second)
		x.rate(300e3) // of which 48 and what packets cost are sound
		time.Sleep(20 * time.Second)
		link := x.link()
		all := x.end()
		audio := x.share(all["audio"], "audio")
		t.Logf("hd %.2f, sd %.2f, audio %.4f; dropped %v", x.share(all["video/hd"], "video/hd"), x.share(all["video/sd"], "video/sd"), audio, link.Dropped)
		if audio != 1 {
			t.Errorf("audio %.4f, want all of it", audio)
		}
		firstLayer, firstBase := -1, -1
		for i, e := range link.Drops {
			switch {
			case e.Track == "video/hd" && firstLayer < 0:
				firstLayer = i
			case e.Track == "video/sd" && firstBase < 0:
				firstBase = i
			case e.Track == "audio":
				t.Errorf("%+v", e)
			}
		}
		if firstLayer != 0 || firstBase < 0 {
			t.Errorf("first drop of the layer %d, of base video %d: %+v\n%s", firstLayer, firstBase, link.Drops, grep(x.a.log.String()+x.b.log.String(), "link "))
		}
		for _, v := range x.views {
			v.stop()
		}
	})
}
