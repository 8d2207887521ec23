package moq

import (
	"context"
	"slices"
	"time"

	"trellis/edge/allocate"
	"trellis/internal/relay"
	"trellis/internal/telemetry"
	"trellis/wire"
	"trellis/wire/moqlite"
)

// division decides which of a session's pictures are sent where the path does not
// carry all of them: the least important ones are paused, whole, so that the others
// arrive whole. Which rendition of a picture is sent is the player's choice, by the
// estimates that it is told (serveProbe); the one that matters most is always sent.
// It belongs to the goroutine that runs it.
type division struct {
	estimate bandwidth
	ceiling  float64 // bit/s: what came through when the path was last full; zero if it never was
	views    []*view // of this look, as the others
	pictures []allocate.Picture
	choices  []allocate.Choice
}

const (
	divideEvery = 250 * time.Millisecond
	// ceilingGrowth is by how much a second the path is thought to have become wider
	// while nothing shows that it is full.
	ceilingGrowth = 0.05
)

// divide starts the division, if there are pictures to choose from and it does not
// run yet.
func (ss *session) divide() {
	o := ss.outbox
	o.mu.Lock()
	run := !o.dividing && o.picturesLocked() > 1
	o.dividing = o.dividing || run
	o.mu.Unlock()
	if run {
		ss.start(func() { ss.runDivision(ss.ctx) })
	}
}

// runDivision looks at the path until there is nothing to choose any more.
func (ss *session) runDivision(ctx context.Context) {
	var d division
	ticker := time.NewTicker(divideEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := time.Now()
		bps, known := d.observe(ss, now)
		if !known {
			continue
		}
		if !d.look(ss.outbox, now) {
			return
		}
		d.decide(ss, now, bps)
	}
}

// observe returns what the path can carry.
func (d *division) observe(ss *session, now time.Time) (bps float64, known bool) {
	since := now.Sub(d.estimate.lastAt)
	estimate, _ := d.estimate.observe(ss.conn.ConnectionStats(), now)
	switch bps = float64(estimate); {
	case d.estimate.full:
		d.ceiling = bps
	case d.ceiling > 0:
		d.ceiling *= 1 + ceilingGrowth*min(since, time.Second).Seconds()
		bps = min(bps, d.ceiling)
	}
	return bps, estimate > 0
}

// look takes the views as they are now, the most important first. It reports
// whether there is still something to choose; if not, everything is sent.
func (d *division) look(o *outbox, now time.Time) bool {
	o.mu.Lock()
	d.views = append(d.views[:0], o.views...)
	more := o.picturesLocked() > 1
	o.dividing = more
	o.mu.Unlock()
	for _, v := range d.views {
		v.rate.read(v.sub.Track().BytesIn(), now)
		if !more {
			o.resume(v)
		}
	}
	return more
}

// decide pauses and resumes pictures, with an event for each.
func (d *division) decide(ss *session, now time.Time, bps float64) {
	d.pictures = d.pictures[:0]
	pictures := d.views[:0]
	for _, v := range d.views {
		if v.info.Kind != wire.KindVideo {
			bps -= v.rate.bps()
			continue
		}
		pictures = append(pictures, v)
		p := allocate.Picture{
			Layers: []uint64{uint64(v.rate.bps())}, Memory: &v.memory, Priority: -len(pictures), Kept: len(pictures) == 1,
		}
		if v.hold {
			p.Current = allocate.Paused
		}
		d.pictures = append(d.pictures, p)
	}
	d.choices, _ = allocate.Decide(d.choices[:0], now, uint64(max(bps, 0)), d.pictures)
	for i, v := range pictures {
		pause := d.choices[i].Layer == allocate.Paused
		if pause == v.hold {
			continue
		}
		v.hold = pause
		if pause {
			ss.outbox.pause(v)
		} else {
			ss.outbox.resume(v)
		}
		ss.cfg.Decisions.Add(telemetry.Event{
			At: now, Kind: telemetry.LayerChosen, Reason: d.choices[i].Reason.String(), Viewer: ss.grant.ID,
			Track: v.sub.Track().Name().String(),
			Numbers: map[string]float64{
				"layer_bps": v.rate.bps(), "estimate_bps": bps, "tracks": float64(len(pictures)),
			},
		})
	}
}

// picturesLocked counts the views of pictures.
func (o *outbox) picturesLocked() (n int) {
	for _, v := range o.views {
		if v.info.Kind == wire.KindVideo {
			n++
		}
	}
	return n
}

// pause gives up what is on its way of a view and holds back what comes.
func (o *outbox) pause(v *view) {
	o.mu.Lock()
	v.paused = true
	victims := slices.Clone(v.groups)
	for _, g := range victims {
		o.unlistLocked(g)
	}
	o.mu.Unlock()
	o.bury(victims, dropPaused)
}

// resume goes on with the newest group that was held back.
func (o *outbox) resume(v *view) {
	o.mu.Lock()
	v.paused = false
	held := v.held
	v.held = nil
	listed := slices.Contains(o.views, v)
	o.mu.Unlock()
	switch {
	case held == nil:
	case listed:
		o.push(v, held)
	default: // the client has unsubscribed meanwhile
		held.Close()
	}
}

// forgo counts a group that was held back until a newer one came, nil for none.
func (o *outbox) forgo(v *view, passed *relay.GroupReader) {
	if passed == nil {
		return
	}
	o.metrics.drop(dropPaused)
	v.sub.Track().Drop(relay.DropTooLate)
	o.mu.Lock()
	v.drops.add(moqlite.SubscribeDrop{First: passed.Seq(), Last: passed.Seq(), Code: codeOf(errPaused)})
	o.mu.Unlock()
	passed.Close()
}

// trackRate is the bitrate of a track over the last seconds. Time is an argument.
type trackRate struct {
	marks [rateMarks]rateMark // in a ring
	count int
}

type rateMark struct {
	at    time.Time
	bytes uint64
}

// rateMarks looks are kept: four seconds, the usual length of a group.
const rateMarks = 16

// read takes how many bytes there have been.
func (r *trackRate) read(bytes uint64, now time.Time) {
	r.marks[r.count%rateMarks] = rateMark{now, bytes}
	r.count++
}

// bps is zero before there are two looks.
func (r *trackRate) bps() float64 {
	if r.count < 2 {
		return 0
	}
	last := r.marks[(r.count-1)%rateMarks]
	first := r.marks[max(0, r.count-rateMarks)%rateMarks]
	span := last.at.Sub(first.at).Seconds()
	if span <= 0 {
		return 0
	}
	return float64(last.bytes-first.bytes) * 8 / span
}
