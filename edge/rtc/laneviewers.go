package rtc

import (
	"log/slog"
	"time"

	"trellis/edge/rtc/bwe"
	"trellis/edge/rtc/stream"
	"trellis/internal/relay"
)

// restartTimes is how much more than to change layers a viewer may be sent at once
// to begin again: meanwhile it sees nothing.
const restartTimes = 4

// aim is where a viewer should be, and how it may get there. The session decides
// it; the zero aim leaves the choice to the lane.
type aim struct {
	layer *layer // nil: the best there is, or none with pause
	pause bool   // send nothing
	// urgent: what the viewer gets now is too much, so it stops at once.
	urgent bool
	// burst is how many bytes the viewer may be sent at once to catch up on a group
	// that has begun. Where it is more, a new group is waited for, but not beyond
	// until.
	burst int
	until time.Time
	since time.Time // set by the lane
	// slice is how many packets leave at once, with gap until the next; zero leaves
	// both to the lane.
	slice int
	gap   time.Duration
	// rtt is the round-trip time, zero if it is not known.
	rtt time.Duration
	// early is how long after a packet was sent it may still arrive, where packets
	// overtake one another: who misses it before asks too early.
	early time.Duration
	// playout is how long the viewer should keep pictures back at the least.
	playout time.Duration
	// fec is how its pictures are protected from loss.
	fec fecPlan
	// void: nothing has been heard of the viewer for long. What it has missed is not sent
	// again: it begins anew once it is heard.
	void bool
}

// probe is a train of packets that shows what the path to a viewer can carry.
type probe struct {
	kind    bwe.Kind // says which train it is
	packets int
	took    time.Duration
	began   time.Time // set by the lane
	sent    int
}

// probeStep is the least time between the parts of a probe that takes longer.
const probeStep = 5 * time.Millisecond

// due is how many packets should have left, and when the next should.
func (p *probe) due(now time.Time) (packets int, next time.Time) {
	since := now.Sub(p.began)
	if p.took <= probeAtOnce || since >= p.took {
		return p.packets, time.Time{}
	}
	packets = int(float64(p.packets)*float64(since)/float64(p.took)) + 1
	return min(packets, p.packets), now.Add(max(probeStep, p.took/time.Duration(p.packets)))
}

// probeAtOnce is how short a probe may be meant to take that leaves at once.
const probeAtOnce = 100 * time.Millisecond

// advance does what depends on time: moves viewers between layers, begins waiting
// ones, sends the next burst to those that catch up, and sender reports. It
// leaves in due when to do so next.
func (l *lane) advance(now time.Time) {
	l.due = now.Add(reportEvery)
	l.tend(now)
	for _, v := range l.viewers {
		if v.layer != v.aim.layer {
			l.move(v, now)
		} else if v.state == viewerWaiting && v.layer != nil && v.layer.ready(now) {
			l.begin(v, now)
		}
		if v.state == viewerCatchingUp {
			l.catchUp(v, now)
		}
		if v.probing.packets > 0 {
			l.probe(v, now)
		}
		if v.fec != nil && v.fec.n > 0 {
			l.mendLate(v, now)
		}
		if v.sent && v.layer != nil {
			if !now.Before(v.reportDue) {
				l.report(v, now)
			}
			l.at(v.reportDue)
		}
	}
}

// tend settles the layers, and closes those that nobody has wanted for a while;
// one stays, for its end is the lane's.
func (l *lane) tend(now time.Time) {
	open := 0
	for _, la := range l.layers {
		if la.sub == nil {
			continue
		}
		open++
		la.settle(now)
		if la.users > 0 {
			la.unused = time.Time{}
		} else if la.unused.IsZero() {
			la.unused = now
		}
	}
	for _, la := range l.layers {
		if la.sub == nil || la.unused.IsZero() || open == 1 {
			continue
		}
		if at := la.unused.Add(layerLinger); now.Before(at) {
			l.at(at)
			continue
		}
		la.close()
		open--
	}
}

// at makes sure that advance is called at t.
func (l *lane) at(t time.Time) {
	if t.Before(l.due) {
		l.due = t
	}
}

// wake returns when to look again, whatever arrives.
func (l *lane) wake() time.Time {
	due := l.due
	for _, la := range l.layers {
		if la.sub == nil {
			continue
		}
		if t, ok := la.reader.wake(); ok && t.Before(due) {
			due = t
		}
	}
	return due
}

// move brings a viewer to the layer that it is meant to be on, as soon as it can
// begin there: with what is cached, if that is little enough, else with the next
// group. Until then it stays where it is, unless that is too much for it.
func (l *lane) move(v *viewer, now time.Time) {
	to := v.aim.layer
	if to == nil || !to.ready(now) {
		return
	}
	if v.packet > 0 && v.state == viewerCatchingUp && v.layer != nil {
		return // the frame that is being sent comes first
	}
	old := to.groupAge() > now.Sub(v.aim.since)
	if v.sent && old && to.pending() > v.aim.burst {
		if to.freshen(now); now.Before(v.aim.until) {
			l.at(v.aim.until)
			return
		}
	}
	v.layer = to
	l.count()
	l.begin(v, now)
	l.log.Debug("viewer begins on layer", slog.String("track", to.name), slog.Duration("group_age", to.groupAge()),
		slog.Int("bytes", to.pending()), slog.Bool("waited", now.Sub(v.aim.since) > 0))
}

// begin starts a viewer at the first object of its layer's newest group.
func (l *lane) begin(v *viewer, now time.Time) {
	p := v.layer.packets
	l.finish(v, now)
	v.settle(p.at(p.head-1).ticks, now)
	v.begin(p, p.groupStart, v.catchUpPace())
}

// finish sends the rest of a frame that a viewer has the beginning of, before
// something else begins, if it is still there and not too much.
func (l *lane) finish(v *viewer, now time.Time) {
	r := &v.run
	if v.packet == 0 || !r.valid || v.next < r.log.tail || v.next >= r.log.head {
		return
	}
	o := r.log.at(v.next)
	if most, _ := v.catchUpSteps(); o.payloads.Len()-v.packet > most {
		return
	}
	for ; v.packet < o.payloads.Len(); v.packet++ {
		if err := l.write(v, o, now); err != nil {
			l.metrics.skipped[skipWriteFailed].Inc()
		}
	}
	v.next, v.packet = v.next+1, 0
}

// catchUpSteps is how many packets leave at once to catch up, and how often.
func (v *viewer) catchUpSteps() (packets int, every time.Duration) {
	if v.aim.slice > 0 {
		return v.aim.slice, v.aim.gap
	}
	return catchUpBurst, catchUpPause
}

// catchUpPace is how far apart that puts packets.
func (v *viewer) catchUpPace() time.Duration {
	packets, every := v.catchUpSteps()
	return every / time.Duration(packets)
}

// catchUp sends a viewer its next burst.
func (l *lane) catchUp(v *viewer, now time.Time) {
	p := v.layer.packets
	if v.next < p.tail || v.packet == 0 && p.passes(v.next, v.aim.slice) {
		v.layer.skip(skipBehind)
		v.state = viewerWaiting
		l.at(now)
		return
	}
	if now.Before(v.nextBurst) {
		l.at(v.nextBurst)
		return
	}
	burst, gap := v.catchUpSteps()
	if v.next < v.run.live {
		gap = max(gap, time.Duration(burst)*v.run.planned(v.cfg.clockRate))
	}
	l.send(v, burst, now)
	if v.next == p.head {
		v.state = viewerLive
		return
	}
	v.nextBurst = now.Add(gap)
	l.at(v.nextBurst)
}

// sendLive writes the n packets of the newest object to a viewer that has all
// before it. A large one is sent in slices to those whose path is narrow.
func (l *lane) sendLive(v *viewer, n int, now time.Time) {
	if v.aim.slice > 0 && n > v.aim.slice {
		v.state = viewerCatchingUp
		v.nextBurst = now.Add(v.aim.gap)
		n = v.aim.slice
	}
	l.send(v, n, now)
}

// send writes up to budget packets from where the viewer stands. The first ones come
// with a report, so that a player can align audio and video from the beginning, and so do
// those that leave when one will soon be due: behind them it costs the kernel next to nothing.
func (l *lane) send(v *viewer, budget int, now time.Time) {
	first := !v.sent
	l.sendObjects(v, budget, now)
	if v.sent && (first || !now.Before(v.reportDue.Add(-reportTogether))) {
		l.report(v, now)
	}
}

func (l *lane) sendObjects(v *viewer, budget int, now time.Time) {
	la := v.layer
	for v.next < la.packets.head {
		o := la.packets.at(v.next)
		for ; v.packet < o.payloads.Len(); v.packet++ {
			if budget == 0 {
				return
			}
			budget--
			if err := l.write(v, o, now); err != nil {
				la.skip(skipWriteFailed)
			}
		}
		n, bytes := o.payloads.Len(), o.payloads.Bytes()
		la.stats.packets.Add(uint64(n))
		la.stats.bytes.Add(uint64(bytes))
		l.metrics.packetsOut.Add(float64(n))
		l.metrics.bytesOut.Add(float64(bytes))
		v.next, v.packet = v.next+1, 0
		if v.state == viewerCatchingUp && la.packets.passes(v.next, v.aim.slice) {
			return // catchUp goes on with the newest group
		}
	}
}

// flush sends what is in the batch: once for all viewers.
func (l *lane) flush() {
	if l.batch == nil {
		return
	}
	if err := l.batch.Flush(); err != nil {
		l.metrics.skipped[skipWriteFailed].Inc()
	}
}

// report tells a viewer what time it is on the broadcast's timeline: that of what enters the
// backbone now, so that clocks on the way to it are not told by how long that takes.
func (l *lane) report(v *viewer, now time.Time) {
	la := v.layer
	v.reportDue = now.Add(reportEvery).Truncate(reportTogether)
	since := (now.Sub(la.lastAppend) + la.lastAge).Microseconds()
	ntp := stream.NTP(time.UnixMicro(la.lastPTS + since))
	if err := v.report(l.batch, ntp, la.lastTicks+ticksOf(since, l.key.codec.ClockRate())); err != nil {
		la.skip(skipWriteFailed)
	}
}

// resend answers a NACK from the lane's own packets.
func (l *lane) resend(v *viewer, seq uint16, now time.Time) {
	if !v.cfg.repeatable() || v.redUsed || v.aim.void { // nor what may have been sent in another form
		l.metrics.skipped[skipHistory].Inc()
		return
	}
	packet, run, ok := v.locate(seq)
	if !ok {
		l.metrics.skipped[skipHistory].Inc()
		return
	}
	object, i, ok := run.log.find(packet)
	if !ok {
		l.metrics.skipped[skipHistory].Inc()
		return
	}
	if now.Sub(run.log.at(object).appended) < v.aim.early || v.resends.recently(seq, v.aim.rtt, now) {
		l.metrics.skipped[skipResendSoon].Inc()
		return
	}
	if !v.resends.allowed.Take(now) {
		l.metrics.skipped[skipResendLimit].Inc()
		return
	}
	v.resends.note(seq, now)
	if err := v.rewrite(l.batch, run.log.at(object), object, i, seq, run, now); err != nil {
		l.metrics.skipped[skipWriteFailed].Inc()
		return
	}
	if v.layer != nil {
		v.layer.stats.resent.Add(1)
	}
	l.metrics.resent.Inc()
}

// probe sends a viewer its newest packets once more, back to back or in steps: what
// arrives how fast shows what the path can carry, and what was lost of them is
// mended.
func (l *lane) probe(v *viewer, now time.Time) {
	p, r := &v.probing, &v.run
	if !r.valid || r.count == 0 || v.cfg.rtxSSRC == 0 {
		*p = probe{}
		return
	}
	due, next := p.due(now)
	if !next.IsZero() {
		l.at(next)
	}
	last := r.firstSeq + r.count - 1
	n := min(uint64(p.packets), r.count)
	for p.sent < due {
		seq := last - n + 1 + uint64(p.sent)%n
		p.sent++
		object, i, ok := r.log.find(r.firstPacket + seq - r.firstSeq)
		if !ok {
			continue
		}
		if err := v.repeat(l.batch, r.log.at(object), object, i, uint16(seq), r, p.kind, now); err != nil {
			l.metrics.skipped[skipWriteFailed].Inc()
		}
	}
	if p.sent >= p.packets {
		*p = probe{}
		l.metrics.probes.Inc()
	}
}

// restart answers a viewer that asks for a key frame: with the cached group, from
// its beginning. Only where there is none the upstream is asked.
func (l *lane) restart(v *viewer, now time.Time) {
	l.metrics.keyRequested.Inc()
	if v.state == viewerWaiting || v.layer == nil || now.Before(v.restartAfter) {
		l.metrics.skipped[skipRestartSoon].Inc()
		return // it waits for a key frame, or was just sent one again
	}
	la := v.layer
	if v.aim.slice > 0 && la.packets.whole && la.pending() > restartTimes*v.aim.burst {
		la.freshen(now) // what has come of the group is too much for its path
		return
	}
	if !la.packets.whole {
		if la.track.RequestKeyframe() {
			la.stats.keyframes.Add(1)
		}
		return
	}
	if now.Sub(v.restartAfter) > restartPauseMax {
		v.restarts = 0
	}
	v.restartAfter = now.Add(min(restartPause<<v.restarts, restartPauseMax))
	v.restarts = min(v.restarts+1, 8)
	l.finish(v, now)
	v.begin(la.packets, la.packets.groupStart, v.catchUpPace())
	v.nextBurst = now
	la.stats.restarts.Add(1)
	l.metrics.restarts.Inc()
}

// freshen asks the publisher for a group that viewers can begin with, though one
// is cached: what has come of that is too much for their path. It is asked of a
// layer as often as all viewers of the world together may.
func (la *layer) freshen(now time.Time) {
	if now.Before(la.nextFresh) {
		la.lane.at(la.nextFresh)
		return
	}
	la.nextFresh = now.Add(relay.FreshEvery)
	la.lane.at(la.nextFresh)
	if la.track.RequestFresh() {
		la.stats.keyframes.Add(1)
	}
}
