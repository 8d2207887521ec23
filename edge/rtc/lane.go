package rtc

import (
	"log/slog"
	"sync/atomic"
	"time"

	"trellis/edge/framing"
	"trellis/edge/rtc/transport"
	"trellis/internal/relay"
	"trellis/internal/telemetry"
	"trellis/wire/hang"
)

const (
	// laneSettle is how long a new lane waits for more of what is cached elsewhere
	// before its first viewers begin: then it is known how much there is to catch
	// up on. laneSettleMax bounds it where objects come without a pause.
	laneSettle    = 10 * time.Millisecond
	laneSettleMax = 150 * time.Millisecond
	// catchUpBurst packets are sent to a viewer that catches up, every
	// catchUpPause: 100 Mbit/s, which fits into the socket buffers on the way.
	catchUpBurst = 48
	catchUpPause = 5 * time.Millisecond
	// reportEvery is the time between sender reports, as browsers send them.
	reportEvery = time.Second
	// reportTogether is the grid on which they are due: a lane walks all viewers
	// whenever it wakes, so it must not wake for each.
	reportTogether = 50 * time.Millisecond
	// resendRate and resendBurst bound what one viewer may have sent again, in
	// packets: enough for 10 % loss of 8 Mbit/s.
	resendRate  = 100
	resendBurst = 400
	// restartPause is the least time between two restarts of a viewer from the
	// cache. It doubles with each, up to restartPauseMax, for a group that is sent
	// again and again only adds to the congestion that it was lost in.
	restartPause    = 500 * time.Millisecond
	restartPauseMax = 4 * time.Second
	// keyframeEvery is how often the upstream is asked while viewers wait.
	keyframeEvery = time.Second
	// timelineBreak is by how much times may jump before that counts as a new
	// timeline: another publisher under the same name.
	timelineBreak = 10 * time.Second
	// laneCommands is how much feedback may wait for the lane.
	laneCommands = 1024
)

// lane carries one track to all of its viewers on this node: it reads objects
// from the relay, packetizes them once, and writes the packets to each viewer.
type lane struct {
	// Fixed at construction.
	codec     framing.Codec
	container hang.Container
	metrics   *metrics
	log       *slog.Logger
	events    *telemetry.Events
	track     *relay.Track
	sub       *relay.Subscription

	commands chan laneCommand
	quit     chan struct{} // closed by the egress when nobody is left
	done     chan struct{} // closed when run has returned
	err      error         // why it did; to be read once done is closed
	stats    laneCounters

	// Owned by run.
	reader       laneReader
	packets      laneLog
	packetizer   framing.Packetizer
	batch        *transport.Batch
	viewers      []*viewer
	first        time.Time // when the first object was appended
	settled      bool      // what was cached when the lane began has arrived
	due          time.Time // the next thing to do, as far as advance knows
	lastAppend   time.Time
	lastPTS      int64
	nextKeyframe time.Time
	untold       [numSkips]untold
	hole         bool // the next object does not follow the last
}

// untold counts what was skipped since it was last remembered as an event.
type untold struct {
	at    time.Time
	count int
}

// laneCommand is something that a viewer's session wants of the lane.
type laneCommand struct {
	kind   commandKind
	viewer *viewer
	seqs   []uint16 // commandResend
}

type commandKind uint8

const (
	commandJoin commandKind = iota
	commandLeave
	commandResend
	commandRestart
)

// laneCounters are read by status.
type laneCounters struct {
	viewers, objects, packets, bytes, resent, restarts, keyframes atomic.Uint64
}

// run serves until quit is closed or the track has ended, and says why.
func (l *lane) run() error {
	defer l.reader.close()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		now := time.Now()
		err := l.read(now)
		l.advance(now)
		if err != nil {
			return err
		}
		timer.Reset(time.Until(l.wake()))
		group, object := l.reader.ready()
		select {
		case <-l.quit:
			return nil
		case c := <-l.commands:
			l.command(c, time.Now())
		case <-group:
		case <-object:
		case <-timer.C:
		}
	}
}

// read takes all objects that are there and sends them to the live viewers.
func (l *lane) read(now time.Time) error {
	for {
		in, ok, err := l.reader.next(now)
		if err != nil || !ok {
			return err
		}
		l.append(in, now)
	}
}

// append packetizes an object into the log and sends it.
func (l *lane) append(in laneInput, now time.Time) {
	pts, frame, err := l.container.ParseFrame(in.payload)
	if err == nil && len(frame) == 0 {
		return // a marker, which stands for nothing
	}
	slot := l.packets.slot()
	if err == nil {
		err = l.packetizer.Packetize(frame, in.first || l.codec.Audio(), &slot.payloads)
	}
	if err != nil {
		l.skip(skipMalformed)
		l.log.Debug("object cannot be packetized", slog.Any("err", err))
		l.breakGroup()
		return
	}
	if in.broken {
		l.breakGroup()
	}
	if l.hole && !in.first && !l.codec.Audio() {
		return // nothing can be decoded before the next group
	}
	l.hole = false
	l.checkTimeline(int64(pts), now)
	slot.ticks, slot.ingress = ticksOf(int64(pts), l.codec.ClockRate()), in.Ingress
	if in.IngressErr < 0 {
		slot.ingress = 0
	}
	if l.first.IsZero() {
		l.first = now
	}
	l.lastAppend, l.lastPTS = now, int64(pts)
	l.packets.commit(in.first || l.codec.Audio(), now)
	l.stats.objects.Add(1)
	if len(l.viewers) > 0 {
		l.track.ObserveAge(in.ObjectHeader, now)
		if slot.ingress != 0 {
			l.metrics.age.Observe(float64(now.UnixMicro()-slot.ingress) / 1e6)
		}
	}
	for _, v := range l.viewers {
		if v.state == viewerLive {
			l.send(v, slot.payloads.Len(), now)
		}
	}
}

// breakGroup says that the rest of the current group cannot be decoded.
func (l *lane) breakGroup() {
	l.hole = true
	l.packets.broken()
}

// ticksOf converts a PTS in microseconds to RTP clock units, without wrapping.
func ticksOf(us int64, clockRate uint32) int64 {
	const second = 1_000_000
	return us/second*int64(clockRate) + us%second*int64(clockRate)/second
}

// checkTimeline gives viewers a new run where times jump, so that theirs do not.
func (l *lane) checkTimeline(pts int64, now time.Time) {
	if l.first.IsZero() {
		return
	}
	want := l.lastPTS + now.Sub(l.lastAppend).Microseconds()
	jump := time.Duration(pts-want) * time.Microsecond
	if jump < timelineBreak && jump > -timelineBreak {
		return
	}
	for _, v := range l.viewers {
		if v.state == viewerLive {
			v.run.shift -= ticksOf(pts-want, l.codec.ClockRate())
			v.begin(&l.packets, l.packets.head)
			v.state = viewerLive
		}
	}
}
