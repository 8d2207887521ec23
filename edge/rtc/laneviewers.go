package rtc

import (
	"slices"
	"time"

	"trellis/edge/rtc/stream"
	"trellis/internal/telemetry"
)

// advance does what depends on time: begins waiting viewers, sends the next burst
// to those that catch up, and sender reports. It leaves in due when to do so next.
func (l *lane) advance(now time.Time) {
	l.due = now.Add(reportEvery)
	if !l.settled && !l.first.IsZero() {
		at := l.lastAppend.Add(laneSettle)
		if last := l.first.Add(laneSettleMax); last.Before(at) {
			at = last
		}
		l.settled = !now.Before(at)
		l.at(at)
	}
	for _, v := range l.viewers {
		if v.state == viewerWaiting {
			l.begin(v, now)
		}
		if v.state == viewerCatchingUp {
			l.catchUp(v, now)
		}
		if v.sent && !now.Before(v.reportDue) {
			l.report(v, now)
		}
		if v.sent {
			l.at(v.reportDue)
		}
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
	if t, ok := l.reader.wake(); ok && t.Before(l.due) {
		return t
	}
	return l.due
}

// begin starts a viewer at the newest group's first object, if that is cached.
// Otherwise it waits for the next group, and the upstream is asked for a key
// frame, which it passes on to the publisher only if it has no cached group.
func (l *lane) begin(v *viewer, now time.Time) {
	switch {
	case l.settled && l.packets.whole:
		v.settle(l.packets.at(l.packets.head-1).ticks, now)
		v.begin(&l.packets, l.packets.groupStart)
	case l.codec.Audio() || !l.settled && !l.first.IsZero():
	case !now.Before(l.nextKeyframe):
		l.nextKeyframe = now.Add(keyframeEvery)
		if l.track.RequestKeyframe() {
			l.stats.keyframes.Add(1)
		}
		l.at(l.nextKeyframe)
	default:
		l.at(l.nextKeyframe)
	}
}

// catchUp sends a viewer its next burst.
func (l *lane) catchUp(v *viewer, now time.Time) {
	if v.next < l.packets.tail {
		l.skip(skipBehind)
		v.state = viewerWaiting
		l.at(now)
		return
	}
	if now.Before(v.nextBurst) {
		l.at(v.nextBurst)
		return
	}
	l.send(v, catchUpBurst, now)
	if v.next == l.packets.head {
		v.state = viewerLive
		return
	}
	v.nextBurst = now.Add(catchUpPause)
	l.at(v.nextBurst)
}

// send writes up to budget packets from where the viewer stands.
func (l *lane) send(v *viewer, budget int, now time.Time) {
	if !v.sent {
		// The first packets come with a report, so that a player can align audio
		// and video from the beginning.
		defer l.report(v, now)
	}
	defer l.flush()
	for v.next < l.packets.head {
		o := l.packets.at(v.next)
		for ; v.packet < o.payloads.Len(); v.packet++ {
			if budget == 0 {
				return
			}
			budget--
			if err := v.write(l.batch, o, v.next, v.packet, now); err != nil {
				l.skip(skipWriteFailed)
			}
		}
		n, bytes := o.payloads.Len(), o.payloads.Bytes()
		l.stats.packets.Add(uint64(n))
		l.stats.bytes.Add(uint64(bytes))
		l.metrics.packetsOut.Add(float64(n))
		l.metrics.bytesOut.Add(float64(bytes))
		v.next, v.packet = v.next+1, 0
	}
}

// flush sends what is in the batch.
func (l *lane) flush() {
	if l.batch == nil {
		return
	}
	if err := l.batch.Flush(); err != nil {
		l.skip(skipWriteFailed)
	}
}

// report tells a viewer what time it is on the broadcast's timeline.
func (l *lane) report(v *viewer, now time.Time) {
	v.reportDue = now.Add(reportEvery).Truncate(reportTogether)
	pts := l.lastPTS + now.Sub(l.lastAppend).Microseconds()
	ntp := stream.NTP(time.UnixMicro(pts))
	if err := v.report(ntp, ticksOf(pts, l.codec.ClockRate())); err != nil {
		l.skip(skipWriteFailed)
	}
}

// command does what a viewer's session wants.
func (l *lane) command(c laneCommand, now time.Time) {
	switch c.kind {
	case commandJoin:
		l.viewers = append(l.viewers, c.viewer)
		l.countViewers()
	case commandLeave:
		l.viewers = slices.DeleteFunc(l.viewers, func(v *viewer) bool { return v == c.viewer })
		l.countViewers()
	case commandResend:
		for _, seq := range c.seqs {
			l.resend(c.viewer, seq, now)
		}
		l.flush()
	case commandRestart:
		l.restart(c.viewer, now)
	}
}

func (l *lane) countViewers() {
	l.stats.viewers.Store(uint64(len(l.viewers)))
	l.sub.SetViewers(len(l.viewers))
}

// resend answers a NACK from the lane's own packets.
func (l *lane) resend(v *viewer, seq uint16, now time.Time) {
	packet, run, ok := v.locate(seq)
	if !ok {
		l.skip(skipHistory)
		return
	}
	object, i, ok := l.packets.find(packet)
	if !ok {
		l.skip(skipHistory)
		return
	}
	if !v.resend.take(now, resendRate, resendBurst) {
		l.skip(skipResendLimit)
		return
	}
	if err := v.rewrite(l.batch, l.packets.at(object), object, i, seq, run); err != nil {
		l.skip(skipWriteFailed)
		return
	}
	l.stats.resent.Add(1)
	l.metrics.resent.Inc()
}

// restart answers a viewer that asks for a key frame: with the cached group, from
// its beginning. Only where there is none the upstream is asked.
func (l *lane) restart(v *viewer, now time.Time) {
	l.metrics.keyRequested.Inc()
	if v.state != viewerLive || now.Before(v.restartAfter) {
		return // it is being sent a key frame, or just was
	}
	if !l.packets.whole {
		if l.track.RequestKeyframe() {
			l.stats.keyframes.Add(1)
		}
		return
	}
	if now.Sub(v.restartAfter) > restartPauseMax {
		v.restarts = 0
	}
	v.restartAfter = now.Add(min(restartPause<<v.restarts, restartPauseMax))
	v.restarts = min(v.restarts+1, 8)
	v.begin(&l.packets, l.packets.groupStart)
	v.nextBurst = now
	l.stats.restarts.Add(1)
	l.metrics.restarts.Inc()
}

func (l *lane) skip(s skip) {
	l.metrics.skipped[s].Inc()
	switch s {
	case skipLate, skipStalled, skipAborted:
		l.tell(s, time.Now())
	case skipWaitKey, skipGroupRefuse, skipMalformed, skipBehind, skipWriteFailed, skipFeedback, skipHistory,
		skipResendLimit, numSkips:
		// Not a gap for all viewers of the lane.
	}
}

// tellEvery is how often a lane remembers groups that it skips for one reason.
const tellEvery = 250 * time.Millisecond

// tell remembers that all viewers of the lane miss a group, or the rest of it.
func (l *lane) tell(s skip, now time.Time) {
	t := &l.untold[s]
	t.count++
	if now.Sub(t.at) < tellEvery {
		return
	}
	l.events.Add(telemetry.Event{
		At: now, Kind: telemetry.GroupSkipped, Reason: s.String(), Track: l.track.Name().String(), Count: t.count,
	})
	t.at, t.count = now, 0
}
