package rtc

import (
	"errors"
	"io"
	"log/slog"
	"slices"
	"testing"
	"time"

	"trellis/edge/framing"
	"trellis/internal/relay"
	"trellis/wire"
	"trellis/wire/hang"
)

// fresher is an upstream whose tracks the test writes, and which counts what it
// is asked for.
type fresher struct{ fresh map[string]int }

func (f *fresher) OpenTrack(t *relay.Track) { t.Close(nil) }
func (f *fresher) Refresh(t *relay.Track)   { f.fresh[t.Name().Track]++ }

// ladderStory drives a lane of three layers by hand.
type ladderStory struct {
	t      *testing.T
	lane   *lane
	up     *fresher
	tracks map[string]*relay.Track
	groups map[string]*relay.Group
	seqs   map[string]uint64
	object map[string]uint64
	now    time.Time
	frames int
}

var layerSizes = map[string]int{"video/q": 500, "video/h": 2_000, "video/f": 8_000}

func newLadderStory(t *testing.T) *ladderStory {
	t.Helper()
	table, err := relay.NewTable(relay.Config{})
	if err != nil {
		t.Fatal(err)
	}
	s := &ladderStory{
		t: t, up: &fresher{fresh: map[string]int{}}, tracks: map[string]*relay.Track{}, groups: map[string]*relay.Group{},
		seqs: map[string]uint64{}, object: map[string]uint64{}, now: time.Unix(1_700_000_000, 0),
	}
	b, err := table.Announce(relay.Announcement{Name: "room/alice", PublisherID: 1, Origin: "a", Local: true}, s.up)
	if err != nil {
		t.Fatal(err)
	}
	for name := range layerSizes {
		if s.tracks[name], err = b.PushTrack(name, mediaInfo(wire.KindVideo)); err != nil {
			t.Fatal(err)
		}
	}
	m, err := newMetrics(nil, func(Role) int { return 0 })
	if err != nil {
		t.Fatal(err)
	}
	s.lane, err = newEgress(table, nil, m, slog.New(slog.DiscardHandler)).open(
		laneKey{broadcast: "room/alice", codec: framing.VP8},
		[]rendition{{track: "video/f", codec: "vp8", height: 720}, {track: "video/h", codec: "vp8", height: 360}, {track: "video/q", codec: "vp8", height: 180}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, la := range s.lane.layers {
			la.close()
		}
	})
	return s
}

// step writes a frame on each layer that has a group, or begins one on those
// named, and has the lane send it; 40 ms pass.
func (s *ladderStory) step(keys ...string) {
	s.t.Helper()
	pts := uint64(1_000_000 + s.frames*40_000)
	s.frames++
	for name, size := range layerSizes {
		if slices.Contains(keys, name) {
			if g := s.groups[name]; g != nil {
				g.Close()
			}
			g, err := s.tracks[name].Group(s.seqs[name])
			if err != nil {
				s.t.Fatal(err)
			}
			s.groups[name], s.object[name] = g, 0
			s.seqs[name]++
			size *= 4
		}
		g := s.groups[name]
		if g == nil {
			continue
		}
		frame := make([]byte, size)
		frame[0] = name[len(name)-1]
		object := append(hang.AppendLegacyHeader(nil, pts), frame...)
		if err := g.Write(s.object[name], relay.ObjectHeader{Time: int64(pts)}, object); err != nil {
			s.t.Fatal(err)
		}
		s.object[name]++
	}
	for range 8 { // the lane is woken as often as its timers say
		if err := s.lane.read(s.now); err != nil {
			s.t.Fatal(err)
		}
		s.lane.advance(s.now)
		s.now = s.now.Add(5 * time.Millisecond)
	}
}

func (s *ladderStory) layer(name string) *layer {
	s.t.Helper()
	for _, la := range *s.lane.rungs.Load() {
		if la.name == name {
			return la
		}
	}
	s.t.Fatalf("no layer %s", name)
	return nil
}

func (s *ladderStory) tell(c laneCommand) {
	s.t.Helper()
	if err := s.lane.command(c, s.now); err != nil {
		s.t.Fatal(err)
	}
}

func (s *ladderStory) join(r *recorder, a aim) *viewer {
	v := testViewer(r)
	v.aim = a
	s.tell(laneCommand{kind: commandJoin, viewer: v})
	return v
}

// sent says which layers the packets from index on are of, each run of them once.
func (r *recorder) sent(from int) (layers string) {
	for _, p := range r.packets[from:] {
		// The VP8 payload descriptor goes before the frame, of
		// which the first byte names the layer. Only first packets have it.
		if p.payload[0]&0x10 == 0 {
			continue
		}
		if name := string(p.payload[1]); len(layers) == 0 || layers[len(layers)-1:] != name {
			layers += name
		}
	}
	return layers
}

func TestLayers(t *testing.T) {
	s, r := newLadderStory(t), &recorder{}
	s.step("video/q", "video/h", "video/f")
	v := s.join(r, aim{layer: s.layer("video/h")})
	for range 5 {
		s.step()
	}
	if got := r.sent(0); got != "h" {
		t.Fatalf("the viewer is sent %q, not its layer", got)
	}
	if s.layer("video/q").sub != nil {
		t.Error("a layer that nobody wants is read")
	}

	// Up: it stays until the layer has a new group, and that was asked for.
	from := len(r.packets)
	up := aim{layer: s.layer("video/f"), burst: 1000, until: s.now.Add(time.Minute)}
	s.tell(laneCommand{kind: commandAim, viewer: v, aim: up})
	s.step()
	s.step()
	if got := r.sent(from); got != "h" || s.up.fresh["video/f"] != 1 {
		t.Fatalf("before the new group the viewer is sent %q; %d new groups asked for", got, s.up.fresh["video/f"])
	}
	s.step("video/f")
	s.step()
	if got := r.sent(from); got != "hf" {
		t.Errorf("with the new group the viewer is sent %q", got)
	}

	// Down with urgency: it gets nothing more of what is too much.
	from = len(r.packets)
	down := aim{layer: s.layer("video/q"), urgent: true, burst: 100, until: s.now.Add(time.Second)}
	s.tell(laneCommand{kind: commandAim, viewer: v, aim: down})
	s.step()
	if got := r.sent(from); got != "" {
		t.Errorf("while it waits to come down the viewer is sent %q", got)
	}
	s.step("video/q")
	s.step()
	if got := r.sent(from); got != "q" {
		t.Errorf("then it is sent %q", got)
	}
	checkStream(t, r.packets)

	// What was sent on the layer before can be asked for again.
	n := len(r.packets)
	lost := &lostPackets{}
	lost.add(r.packets[from-1].SequenceNumber)
	s.tell(laneCommand{kind: commandResend, viewer: v, lost: lost})
	if len(r.packets) != n+1 || r.packets[n].SSRC != 2 {
		t.Error("a packet of the layer before cannot be asked for again")
	}
	r.packets = r.packets[:n]

	// Nobody wants the largest any more.
	for range 2 + int(layerLinger/(40*time.Millisecond)) {
		s.step()
	}
	if s.layer("video/f").sub != nil || s.layer("video/q").sub == nil {
		t.Error("a layer that nobody wants any more is still read, or the wanted one is not")
	}

	// Paused, and on.
	from = len(r.packets)
	s.tell(laneCommand{kind: commandAim, viewer: v, aim: aim{pause: true}})
	s.step("video/q")
	if got := r.sent(from); got != "" {
		t.Errorf("a paused viewer is sent %q", got)
	}
	s.tell(laneCommand{kind: commandAim, viewer: v, aim: aim{layer: s.layer("video/q"), burst: 1 << 20, until: s.now.Add(time.Second)}})
	s.step()
	if got := r.sent(from); got != "q" {
		t.Errorf("then it is sent %q", got)
	}
	checkStream(t, r.packets)
}

// TestLayerPatience has a viewer begin in the middle of a group where no new one
// comes.
func TestLayerPatience(t *testing.T) {
	s, r := newLadderStory(t), &recorder{}
	s.step("video/q", "video/h")
	v := s.join(r, aim{layer: s.layer("video/h")})
	s.step()
	from := len(r.packets)
	down := aim{layer: s.layer("video/q"), urgent: true, burst: 100, until: s.now.Add(200 * time.Millisecond)}
	s.tell(laneCommand{kind: commandAim, viewer: v, aim: down})
	for range 6 {
		s.step()
	}
	if got := r.sent(from); got != "q" {
		t.Errorf("the viewer is sent %q", got)
	}
	checkStream(t, r.packets)
}

// TestLayerEnds takes layers away below a viewer.
func TestLayerEnds(t *testing.T) {
	s, r := newLadderStory(t), &recorder{}
	s.step("video/q", "video/h", "video/f")
	s.join(r, aim{})
	s.step()
	if got := r.sent(0); got != "f" {
		t.Fatalf("a viewer that nobody steers is sent %q", got)
	}
	from := len(r.packets)
	s.groups["video/f"].Close()
	s.groups["video/f"] = nil
	s.tracks["video/f"].Close(nil) // its end
	s.step()
	s.step("video/h")
	s.step()
	if got := r.sent(from); got != "h" {
		t.Errorf("after the end of its layer the viewer is sent %q", got)
	}
	// And by a catalog that names one less.
	from = len(r.packets)
	s.tell(laneCommand{kind: commandLadder, renditions: []rendition{{track: "video/q", codec: "vp8", height: 180}}})
	s.step()
	s.step("video/q")
	if got := r.sent(from); got != "q" {
		t.Errorf("after its layer left the catalog the viewer is sent %q", got)
	}
	checkStream(t, r.packets)
	s.groups["video/q"].Close()
	s.tracks["video/q"].Close(nil)
	if err := s.lane.read(s.now); !errors.Is(err, io.EOF) {
		t.Errorf("the end of the last layer is %v", err)
	}
}

// TestSlices sends a large frame to a viewer on a narrow path in slices.
func TestSlices(t *testing.T) {
	s, r := newLadderStory(t), &recorder{}
	s.step("video/f")
	s.join(r, aim{layer: s.layer("video/f"), slice: 3, gap: 10 * time.Millisecond})
	s.step()
	s.step()
	s.step()
	from := len(r.packets)
	s.lane.advance(s.now)
	if n := len(r.packets) - from; n > 3 {
		t.Errorf("%d packets at once, at most 3", n)
	}
	checkStream(t, r.packets)
}

func TestRateMeter(t *testing.T) {
	var m rateMeter
	now := time.Unix(1_700_000_000, 0)
	for range 150 {
		m.add(now, 1000)
		now = now.Add(20 * time.Millisecond)
	}
	if m.bps < 390_000 || m.bps > 410_000 {
		t.Errorf("50 times 1000 bytes a second are %d bit/s", m.bps)
	}
	if got := roundBps(1_849_999); got != 1_800_000 {
		t.Errorf("rounded to %d", got)
	}
}
