package rtc

import (
	"cmp"
	"log/slog"
	"slices"
	"time"

	"github.com/pion/rtcp"

	"trellis/internal/relay"
)

// LayerDemand says whether anybody wants a layer that a publisher sends or could
// send.
type LayerDemand struct {
	Track  string // its track in the broadcast
	RID    string // its stream's, empty without
	Wanted bool
}

// ingestDemand is what a publisher is told of the demand for its layers. It belongs
// to the goroutine of ingest.meet, but for poke.
type ingestDemand struct {
	poke chan struct{} // somebody wants a layer that is held back
	demand
	descent
	told   uint64    // the limit that was sent last, zero for none
	toldAt time.Time // when
	again  int       // how often more a limit that was lifted is told
	said   []LayerDemand
}

// remindEvery is how often a limit is sent again: RTCP may be lost.
const remindEvery = time.Second

// stallAfter is how long a layer may bring no frame while another does, before
// viewers are told not to choose it: browsers stop sending what their uplink does
// not carry. resumeWithin is how long one that was held back may take to return.
const (
	stallAfter   = 1500 * time.Millisecond
	resumeWithin = 3 * time.Second
)

// meet has the publisher send what somebody wants, until the session ends.
func (in *ingest) meet() {
	tick := time.NewTicker(demandEvery)
	defer tick.Stop()
	for {
		select {
		case <-in.session.ctx.Done():
			return
		case <-in.meter.poke:
		case <-tick.C:
		}
		in.meetDemand(time.Now())
	}
}

// want notes that somebody waits for a layer that is held back.
func (in *ingest) want(l *ingestLayer) {
	l.asked.Store(true)
	select {
	case in.meter.poke <- struct{}{}:
	default: // it looks already
	}
}

// videoLayers returns the layers of the picture, the smallest first, and the
// bitrate of the sound. Those with fewer pictures than another, which are of the
// smallest, are not among them: it is always sent. hidden: there are more layers,
// which have not come yet.
func (in *ingest) videoLayers() (layers []*ingestLayer, sound uint64, hidden bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	all := 0
	for _, t := range in.tracks {
		for _, l := range t.all() {
			switch {
			case l.codec.Audio():
				sound += l.bps.Load() + soundSpare
			case l.thinned:
			case l.lines.Load() != 0:
				layers = append(layers, l)
				all++
			default:
				all++
			}
		}
	}
	hidden = len(layers) < max(all, in.streams)
	slices.SortStableFunc(layers, func(a, b *ingestLayer) int {
		return cmp.Or(cmp.Compare(a.lines.Load(), b.lines.Load()), cmp.Compare(a.bps.Load(), b.bps.Load()))
	})
	return layers, sound, hidden
}

// soundSpare is what packet headers add to sound, and its own variation.
const soundSpare = 25_000

func (in *ingest) meetDemand(now time.Time) {
	m := &in.meter
	layers, sound, hidden := in.videoLayers()
	if len(layers) < 2 {
		return
	}
	uses := make([]layerUse, 0, len(layers))
	sent, keyed := sound, int64(0)
	for i, l := range layers {
		use := layerUse{heard: time.UnixMilli(l.heard.Load()), bps: l.bps.Load(), stalled: l.stalled.Load()}
		within := false
		if in.onDemand == nil && i > 0 && !l.chained.Load() {
			use.most, within = in.reach(l, layers[i-1], m.fitting.held(i) != 0, now)
		}
		if l.asked.Swap(false) || l.track.Viewers() > 0 || within {
			l.wanted = now
		}
		use.wanted = l.wanted
		if i > 0 && l.chained.Load() {
			use.bps -= min(layers[i-1].bps.Load(), use.bps)
		}
		uses = append(uses, use)
		sent += use.bps
		keyed = max(keyed, l.keyed.Load())
	}
	limit, top := m.decide(now, uses, sound, hidden)
	hold := limit != 0
	if in.onDemand != nil {
		hold = !m.learning // exactly those that nobody wants
	}
	for i, l := range layers {
		in.hold(l, hold && i > top, uses[i], now)
		l.held.Store(m.fitting.held(i))
	}
	if in.onDemand != nil {
		in.sayDemand(layers)
		return
	}
	m.group = in.edge.cfg.MaxGroup
	told := m.step(now, limit, sent, time.UnixMilli(keyed))
	if told != limit { // what comes meanwhile tells nothing of the limit
		m.moved = now
	}
	in.tellLimit(now, told)
}

// fitAgain is how long a layer is left alone that somebody has taken of whom it is not
// known what they can be sent: it was their choice by what it took then.
const fitAgain = 5 * time.Minute

// within returns the most that any viewer can be sent of a layer, zero if that is not
// known, and whether somebody would take the layer if it took no more. below is the next
// smaller one; held says that the layer is held to what its viewers can be sent.
func (in *ingest) reach(l, below *ingestLayer, held bool, now time.Time) (most uint64, within bool) {
	most, on := in.edge.reaches.of(l.track.Name(), held, now)
	if l.track.Viewers() <= on {
		l.known = now
	} else if now.Sub(l.known) > reachKept { // not only for a moment
		l.unfit = now.Add(fitAgain)
	}
	if most == 0 || now.Before(l.unfit) {
		return 0, false
	}
	least := max(fitNarrow, uint64(fitLeast*float64(below.bps.Load())))
	return max(most, least), most >= least
}

// hold notes whether a layer is held back. Of one that has fallen silent by that,
// nobody may begin with what is cached: that was long ago by then.
func (in *ingest) hold(l *ingestLayer, held bool, use layerUse, now time.Time) {
	if l.mute.Swap(held) != held {
		in.log.Info("layer demand", slog.String("track", l.name), slog.Bool("wanted", !held))
		if !held {
			l.freed.Store(now.UnixMilli())
		}
	}
	silent := now.Sub(use.heard) > layerSilence
	if held && silent && !l.paused {
		l.track.GiveUp(relay.DropPaused)
	}
	l.paused = held && silent
}

// tellLimit tells the publisher how much it may send, by what browsers take for the
// receiver's estimate (draft-alvestrand-rmcat-remb-03).
func (in *ingest) tellLimit(now time.Time, limit uint64) {
	m := &in.meter
	if limit != m.told {
		m.told, m.toldAt, m.again = limit, time.Time{}, 3
	}
	if limit == 0 && m.again == 0 || now.Sub(m.toldAt) < remindEvery {
		return
	}
	m.toldAt, m.again = now, max(m.again-1, 0)
	bps := float32(limit)
	if limit == 0 {
		bps = unlimited
	}
	in.mu.Lock()
	ssrcs := make([]uint32, 0, len(in.tracks))
	for _, t := range in.tracks {
		ssrcs = append(ssrcs, t.inbound.SSRC())
	}
	in.mu.Unlock()
	if err := in.from.writeRTCP([]rtcp.Packet{&rtcp.ReceiverEstimatedMaximumBitrate{SenderSSRC: in.from.ssrc, Bitrate: bps, SSRCs: ssrcs}}); err != nil {
		in.log.Debug("limit publisher", slog.Any("err", err))
	}
}

// sayDemand tells who makes the publisher's signalling which layers are wanted.
func (in *ingest) sayDemand(layers []*ingestLayer) {
	m := &in.meter
	now := make([]LayerDemand, len(layers))
	for i, l := range layers {
		now[i] = LayerDemand{Track: l.name, RID: l.from.rid, Wanted: !l.mute.Load()}
	}
	if !slices.Equal(now, m.said) {
		m.said = now
		in.onDemand(slices.Clone(now))
	}
}

// listen notes that a video layer brings frames, and which others do not.
func (in *ingest) listen(l *ingestLayer, now time.Time) {
	if l.codec.Audio() {
		return
	}
	ms := now.UnixMilli()
	was := l.heard.Swap(ms)
	if l.stalled.Swap(false) {
		in.catalog.stall(l.name, false)
	}
	if freed := l.freed.Load(); was != 0 && was < freed && ms-freed < resumeWithin.Milliseconds() {
		after := time.Duration(ms-freed) * time.Millisecond
		in.edge.metrics.resume.Observe(after.Seconds())
		in.log.Info("layer is back", slog.String("track", l.name), slog.Duration("after", after))
	}
	if ms/250 == was/250 {
		return // not with every frame
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, t := range in.tracks {
		for _, o := range t.all() {
			last := max(o.heard.Load(), o.freed.Load()+(resumeWithin-stallAfter).Milliseconds())
			if o == l || o.heard.Load() == 0 || o.mute.Load() || ms-last < stallAfter.Milliseconds() || o.stalled.Swap(true) {
				continue
			}
			in.log.Info("layer stalled", slog.String("track", o.name))
			in.catalog.stall(o.name, true)
		}
	}
}
