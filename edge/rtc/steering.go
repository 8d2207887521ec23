package rtc

import (
	"log/slog"
	"slices"
	"sync"
	"time"

	"trellis/edge/allocate"
	"trellis/edge/rtc/bwe"
	"trellis/internal/telemetry"
)

const (
	// steerEvery is how often a viewer's layers are thought about without feedback
	// that asks for it.
	steerEvery = 100 * time.Millisecond
	// sliceTime is how much of a large frame leaves at once where the path is narrow:
	// what the path carries in that time, and at least sliceLeast packets, which are
	// enough to find out about an estimate that is too low. Sound waits for a slice.
	sliceTime  = 40 * time.Millisecond
	sliceLeast = 4
	// sliceFirst is sliceLeast as long as nothing is known of the path, so that the first
	// packets tell how fast they come out of it.
	sliceFirst = 6
	// sliceSpeed is how much faster than the path the slices follow each other: a fifth
	// of the time that a frame takes, sound stands in the queue behind it.
	sliceSpeed = 1.25
	// catchUpTime is how much of a path's time a viewer may be sent at once to begin
	// in the middle of a group.
	catchUpTime = 250 * time.Millisecond
	// lossIncluded is the share of loss whose repair fits into the headroom that is
	// left anyway.
	lossIncluded = 0.04
	// queueLong is a queue that is not waited for: while it drains, layers are chosen by
	// what is left for them meanwhile, but nothing is paused for it.
	queueLong = 300 * time.Millisecond
	// wideEnough is the estimate from which on neither is done.
	wideEnough = 20_000_000
	// startBps is what a path is taken for that nothing is known of. Going up from
	// there takes a few round trips, coming down from more a queue that stands for
	// seconds.
	startBps = 500_000
	// freshPatience is how long a viewer waits for a new group, where what is cached
	// of the old one is too much. With urgency there is no picture meanwhile.
	freshPatience  = 5 * time.Second
	urgentPatience = 1200 * time.Millisecond
	// voidAfter is how long after a path has fallen silent it is not worth any more to send
	// again what was lost.
	voidAfter = time.Second
)

// steering decides what one viewer is sent: it owns the estimate of the path and
// puts the viewer on layers. Its methods are safe for concurrent use and do not
// block.
type steering struct {
	session *Session
	events  *telemetry.Events
	metrics *metrics

	mu       sync.Mutex
	reader   *bwe.Reader
	control  *bwe.Controller
	tracks   []*steered
	results  []bwe.Result
	pictures []allocate.Picture
	choices  []allocate.Choice
	playout  playout
	fec      fec
	silent   time.Time // since when nothing is heard, zero if something is
	guess    guess
	left     float64 // of the last estimate for pictures
	cost     float64 // factor by which they take more with repairs
	heard    bool    // there was feedback
}

// steered is one track of the viewer.
type steered struct {
	*viewerTrack
	memory  allocate.Memory
	rungs   []*layer // that the viewer can decode, the smallest first
	rates   []uint64
	aim     aim // that the lane was told last
	told    bool
	reached reached
	// leaving is the layer that the viewer is on its way from, to a smaller one.
	leaving      *layer
	leavingUntil time.Time
}

// newSteering returns the steering of a viewer's tracks. sent is nil where the
// viewer does not report what arrives when; then everything is sent at its best.
func newSteering(s *Session, sent *bwe.Log) *steering {
	st := &steering{session: s, events: s.edge.decisions, metrics: s.edge.metrics}
	if sent != nil {
		st.reader = bwe.NewReader(sent)
		st.control, _ = bwe.New(bwe.Config{Start: startBps}, sent) // the default is in order
	}
	return st
}

// steer adds a track, if it is not there.
func (st *steering) steer(t *viewerTrack) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if slices.ContainsFunc(st.tracks, func(s *steered) bool { return s.viewerTrack == t }) {
		return
	}
	st.tracks = append(st.tracks, &steered{viewerTrack: t})
	st.playout.alone = st.repairs()
}

// prefer changes what the viewer wants of a track.
func (st *steering) prefer(t *viewerTrack, w Wish) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if t.wish = w; st.control != nil {
		st.decide(time.Now(), st.control.Estimate())
	}
}

// forget takes a track out.
func (st *steering) forget(t *viewerTrack) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.tracks = slices.DeleteFunc(st.tracks, func(s *steered) bool {
		if s.viewerTrack == t {
			st.session.edge.reaches.forget(t, s.reached.track)
		}
		return s.viewerTrack == t
	})
}

// rejoin says that a track's viewer is about to join another lane: what was told
// to the last one is void. It returns where the viewer should begin.
func (st *steering) rejoin(t *viewerTrack, now time.Time) aim {
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, s := range st.tracks {
		if s.viewerTrack == t {
			s.aim, s.told = aim{}, false
		}
	}
	if st.control == nil || t.cfg.audio {
		return aim{} // silence has it told of it
	}
	return st.first(t, now)
}

// first returns the aim of a viewer that has not joined.
func (st *steering) first(t *viewerTrack, now time.Time) (a aim) {
	e := st.presumed(now, st.control.Estimate())
	for i, c := range st.choose(now, e) {
		s := st.videos()[i]
		if s.viewerTrack != t || c.Layer < 0 && !s.wish.Off {
			continue
		}
		if a = st.newAim(now, e); c.Layer >= 0 {
			a.layer = s.rungs[c.Layer]
		} else {
			a.pause = true
		}
		s.aim, s.told = a, true
	}
	return a
}

// videos returns the tracks that there is something to choose for.
func (st *steering) videos() []*steered {
	videos := st.tracks[:0:0]
	for _, s := range st.tracks {
		if !s.cfg.audio {
			videos = append(videos, s)
		}
	}
	return videos
}

// feedback takes a report of what has arrived when.
func (st *steering) feedback(packet []byte, now time.Time) {
	if st.control == nil {
		return
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	var err error
	stale := st.reader.Counts().Stale
	st.results, err = st.reader.Read(st.results[:0], now, packet)
	if err != nil {
		st.metrics.skipped[skipBadFeedback].Inc()
		return
	}
	st.metrics.skipped[skipNeverSent].Add(float64(st.reader.Counts().Stale - stale))
	before := st.control.Estimate()
	st.control.Feedback(now, st.results)
	after := st.control.Estimate()
	resumed := before.State == bwe.Outage && after.State != bwe.Outage
	if resumed {
		for _, s := range st.tracks {
			s.memory.Forgive()
		}
	}
	if !st.heard || resumed || after.SustainedBps < before.SustainedBps*9/10 {
		st.heard = true
		st.decide(now, after)
		st.probe(now)
	}
}

// tick is called every steerEvery.
func (st *steering) tick(now time.Time) {
	if st.control == nil {
		return
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	st.control.Tick(now)
	st.decide(now, st.control.Estimate())
	if e := st.control.Estimate(); e.Bps >= redLeast {
		for _, s := range st.tracks {
			s.protect(now, e.Loss)
		}
	}
	st.probe(now)
}

// choose divides the estimate among the pictures.
func (st *steering) choose(now time.Time, e bwe.Estimate) []allocate.Choice {
	bps := float64(e.SustainedBps) * (1 - min(max(e.Loss-lossIncluded, 0), 0.3)) // what is lost is sent again
	st.pictures = st.pictures[:0]
	for _, s := range st.tracks {
		rungs := *s.hold().rungs.Load()
		if s.cfg.audio {
			if len(rungs) > 0 {
				bps -= float64(rungs[0].bps.Load())
			}
			continue
		}
		s.rungs, s.rates = s.rungs[:0], s.rates[:0]
		current := allocate.Unknown
		for _, la := range rungs {
			if la.gone.Load() || !s.offered.decodes(la.codec) {
				continue
			}
			if s.told && la == s.aim.layer {
				current = len(s.rungs)
			}
			s.rungs, s.rates = append(s.rungs, la), append(s.rates, la.bps.Load())
		}
		if s.told && s.aim.pause {
			current = allocate.Paused
		}
		st.pictures = append(st.pictures, allocate.Picture{
			Layers: s.rates, Current: current, Memory: &s.memory, Most: bearable(s.rates, current, st.playout.loss, e.RTT, st.fec.plan.share),
			Asked: s.wish.layers(s.rungs), Off: s.wish.Off,
		})
	}
	if e.State == bwe.Decrease && e.QueueDelay > queueLong {
		bps = min(bps, max(bps-float64(e.SustainedBps-e.Bps), st.smallest()))
	}
	st.left = bps
	if st.cost = st.fecCost(bps); st.cost > 1 {
		for _, p := range st.pictures {
			for i := range p.Layers {
				p.Layers[i] = uint64(st.cost * float64(p.Layers[i]))
			}
		}
	}
	var wanted uint64
	st.choices, wanted = allocate.Decide(st.choices[:0], now, uint64(max(bps, 0)), st.pictures)
	if wanted == 0 {
		wanted = st.wantsMore()
	}
	if st.guess.holds() { // what is guessed must be found out, too
		wanted = max(wanted, st.taken())
	}
	if wanted > 0 {
		wanted += uint64(float64(e.SustainedBps) - max(bps, 0))
	}
	st.control.Wanted(int64(wanted))
	return st.choices
}

// taken is what an estimate must be for what the pictures take now.
func (st *steering) taken() uint64 {
	sum := 0.0
	for i, c := range st.choices {
		if c.Layer >= 0 {
			sum += float64(st.pictures[i].Layers[c.Layer])
		}
	}
	return uint64(sum / allocate.Headroom)
}

// smallest is what the smallest layers of the pictures take together.
func (st *steering) smallest() (bps float64) {
	for _, p := range st.pictures {
		if len(p.Layers) > 0 {
			bps += float64(p.Layers[0])
		}
	}
	return bps
}

// presumed is the estimate to go by: at first it is a guess.
func (st *steering) presumed(now time.Time, e bwe.Estimate) bwe.Estimate {
	by, fell := st.guess.apply(now, e)
	if fell {
		for _, s := range st.tracks {
			s.memory.Forgive() // it has come down from nothing that was tried
		}
	}
	return by
}

// decide puts the viewer on the layers that fit the estimate.
func (st *steering) decide(now time.Time, e bwe.Estimate) {
	st.fec.observe(now, e)
	e = st.presumed(now, e)
	choices := st.choose(now, e)
	tight := st.tight()
	st.protectPictures(now, e)
	st.silence()
	for i, s := range st.videos() {
		c := choices[i]
		st.reach(now, i, s, e)
		next := st.newAim(now, e)
		next.pause, next.urgent, next.until = c.Layer == allocate.Paused, c.Reason == allocate.Estimate && tight, now.Add(freshPatience)
		if s.cfg.fecPT != 0 {
			next.fec = st.fec.plan
		}
		if next.urgent {
			next.until = now.Add(urgentPatience)
		}
		if c.Layer >= 0 {
			next.layer = s.rungs[c.Layer]
		}
		moves := !s.told || next.layer != s.aim.layer || next.pause != s.aim.pause
		if !moves && !next.differs(s.aim) {
			continue
		}
		if !moves {
			next.urgent, next.until = s.aim.urgent, s.aim.until
		}
		if !s.hold().feedback(laneCommand{kind: commandAim, viewer: s.viewer, aim: next}) {
			continue // the lane is told with the next decision
		}
		if moves {
			st.remember(now, s, c, next, e)
			s.leaving, s.leavingUntil = s.aim.layer, now.Add(freshPatience)
		}
		s.aim, s.told = next, true
	}
}

// silence turns sound off and on as the viewer wants it.
func (st *steering) silence() {
	for _, s := range st.tracks {
		rungs := *s.hold().rungs.Load()
		if !s.cfg.audio || s.viewer == nil || s.aim.pause == s.wish.Off || len(rungs) == 0 {
			continue
		}
		next := aim{pause: s.wish.Off}
		if !next.pause {
			next.layer = rungs[0]
		}
		if s.hold().feedback(laneCommand{kind: commandAim, viewer: s.viewer, aim: next}) { // else with the next decision
			s.aim = next
		}
	}
}

// differs reports whether the way to send is so different that the lane is told.
func (a aim) differs(b aim) bool {
	pace := a.gap - b.gap
	return differs(a.slice, b.slice) || pace.Abs() > b.gap/8 || differs(int(a.rtt), int(b.rtt)) || differs(int(a.early), int(b.early)) || a.playout != b.playout ||
		a.fec != b.fec || a.void != b.void
}

// differs reports whether a bound is so far from the last that it matters.
func differs(a, b int) bool { return a != b && (a == 0 || b == 0 || 2*a < b || a > 2*b) }

// newAim says how to send to a viewer on a path like this.
func (st *steering) newAim(now time.Time, e bwe.Estimate) aim {
	a := aim{void: st.void(now, e), rtt: e.RTT, early: e.Spread, playout: st.playout.update(now, e, st.largest()), burst: int(float64(e.Bps) / 8 * catchUpTime.Seconds())}
	if e.Bps < wideEnough {
		const bits = 8 * 1200
		a.slice = max(sliceLeast, int(float64(e.Bps)*sliceTime.Seconds()/bits))
		if st.guess.began.IsZero() {
			a.slice = max(a.slice, sliceFirst)
		}
		a.gap = time.Duration(float64(a.slice*bits) / (sliceSpeed * float64(e.Bps)) * float64(time.Second))
	}
	return a
}

// void reports whether nothing has been heard of the viewer for long.
func (st *steering) void(now time.Time, e bwe.Estimate) bool {
	if e.State != bwe.Outage {
		st.silent = time.Time{}
		return false
	}
	if st.silent.IsZero() {
		st.silent = now
	}
	return now.Sub(st.silent) > voidAfter
}

// largest returns the bytes of the largest frames that the viewer is sent.
func (st *steering) largest() int {
	most := int64(0)
	for _, s := range st.videos() {
		if la := s.aim.layer; la != nil && s.told {
			most = max(most, la.largest.Load())
		}
	}
	return int(most)
}

// probe sends what the controller wants to know the path by.
func (st *steering) probe(now time.Time) {
	p, ok := st.control.Probe(now)
	if !ok {
		return
	}
	for _, s := range st.videos() {
		st.session.log.Debug("probe", slog.Int("packets", p.Packets), slog.Int64("bps", p.Bps))
		if s.told { // also while it is paused: by what else could that end?
			s.hold().feedback(laneCommand{kind: commandProbe, viewer: s.viewer, probe: probe{kind: p.Kind(), packets: p.Packets, took: p.Duration}})
			return
		}
	}
}

// remember makes a decision an event, with its numbers.
func (st *steering) remember(now time.Time, s *steered, c allocate.Choice, to aim, e bwe.Estimate) {
	st.metrics.switches[c.Reason].Inc()
	track, bps := "", uint64(0)
	switch {
	case to.layer != nil:
		track, bps = to.layer.name, to.layer.bps.Load()
	case len(s.rates) > 0:
		bps = s.rates[0] // which does not fit
	}
	ev := telemetry.Event{
		At: now, Kind: telemetry.LayerChosen, Reason: c.Reason.String(), Viewer: st.session.id[:logIDLen],
		Track: s.hold().trackName(track).String(), Detail: string(e.Reason),
		Numbers: map[string]float64{
			"layer_bps": float64(bps), "estimate_bps": float64(e.Bps), "received_bps": float64(e.AckedBps),
			"queue_ms": float64(e.QueueDelay.Microseconds()) / 1e3, "rtt_ms": float64(e.RTT.Microseconds()) / 1e3,
			"loss": e.Loss, "tracks": float64(len(st.tracks)),
		},
	}
	st.events.Add(ev)
	st.session.log.Debug("layer chosen", slog.String("track", track), slog.String("reason", ev.Reason),
		slog.Any("numbers", ev.Numbers), slog.String("estimate", ev.Detail))
}
