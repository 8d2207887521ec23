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
	// layerSettle is how long a layer that was just opened waits for more of what is
	// cached elsewhere before its first viewers begin: then it is known how much
	// there is to catch up on. layerSettleMax bounds it where objects come without a
	// pause.
	layerSettle    = 10 * time.Millisecond
	layerSettleMax = 150 * time.Millisecond
	// layerLinger is how long a layer that nobody on this node wants any more is
	// still read: viewers on the edge of it come back.
	layerLinger = 3 * time.Second
	// keyframeEvery is how often the upstream is asked while viewers wait.
	keyframeEvery = time.Second
	// timelineBreak is by how much times may jump before that counts as a new
	// timeline: another publisher under the same name.
	timelineBreak = 10 * time.Second
	// rateWindow and rateWindows are over how long the bitrate of a layer is averaged,
	// and in what steps: longer than the time between the frames of a slow picture, and
	// altogether as long as the groups that we ask publishers for.
	rateWindow  = 500 * time.Millisecond
	rateWindows = 8
)

// layer is one quality of a lane's picture, or its sound: it reads objects of one
// track from the relay and packetizes them once. But for what is atomic it
// belongs to the lane's goroutine.
type layer struct {
	// Fixed at construction.
	lane  *lane
	name  string // of its track
	codec string // as the catalog has it, with profile and level

	height atomic.Int64  // in pixels, zero if unknown
	bps    atomic.Uint64 // bit/s: what is measured, else what the catalog says or the size lets guess
	// largest is about how many bytes its largest frames have.
	largest atomic.Int64
	gone    atomic.Bool // no viewer can be put on it any more
	stats   layerCounters

	users  int       // viewers that are on it or on their way to it
	unused time.Time // since when there are none

	// While it is open, which is when sub is not nil:
	sub          *relay.Subscription
	track        *relay.Track
	reader       laneReader
	packets      *laneLog
	packetizer   framing.Packetizer
	first        time.Time // when the first object was appended
	settled      bool      // what was cached when it was opened has arrived
	lastAppend   time.Time
	lastPTS      int64
	lastTicks    int64         // of the object with lastPTS
	lastAge      time.Duration // since it entered the backbone, when it was appended; zero if unknown
	captured     captured
	sound        soundTicks
	nextKeyframe time.Time
	nextFresh    time.Time
	untold       [numSkips]untold
	hole         bool // the next object does not follow the last
	meter        rateMeter
}

// layerCounters are read by status.
type layerCounters struct {
	viewers, objects, packets, bytes, resent, restarts, keyframes atomic.Uint64
}

// untold counts what was skipped since it was last remembered as an event.
type untold struct {
	at    time.Time
	count int
}

// rendition is what a catalog says of a track that could be a layer.
type rendition struct {
	track, codec string
	height       int
	bps          uint64 // zero if it does not say
	capture      hang.Capture
}

// renditionsOf lists the tracks of a catalog that a lane with this key can carry
// as its layers, the largest first.
func renditionsOf(c hang.Catalog, key laneKey) []rendition {
	var all []rendition
	add := func(r rendition, description string, container hang.Container) {
		p, err := framing.ParseParams(r.codec)
		if err == nil && p.Codec == key.codec && container == key.container && description == "" &&
			(key.track == "" || key.track == r.track) {
			all = append(all, r)
		}
	}
	if key.codec.Audio() {
		for _, t := range c.AudioTracks() {
			add(rendition{track: t.Track, codec: t.Codec, bps: uint64(t.BitrateBps), capture: t.Capture}, t.Description, t.Container)
		}
		return all
	}
	for _, t := range c.VideoTracks() {
		if !t.Stalled {
			add(rendition{t.Track, t.Codec, int(t.CodedHeight), uint64(t.BitrateBps), t.Capture}, t.Description, t.Container)
		}
	}
	return all
}

// update takes over what a catalog says.
func (la *layer) update(r rendition) {
	la.height.Store(int64(r.height))
	la.captured.learn(r.capture)
	if la.meter.known && la.sub != nil {
		return // we see it
	}
	switch {
	case r.bps > 0:
	case la.lane.key.codec.Audio():
		r.bps = guessAudioBps
	default:
		r.bps = guessBps(r.height)
	}
	la.bps.Store(r.bps)
	la.meter.expect(r.bps)
}

// guessAudioBps is what sound takes where nobody says: Opus as browsers send it,
// with the headers of its packets.
const guessAudioBps = 50_000

// guessBps is what a picture of so many lines takes where nobody says: 2.5 Mbit/s
// at 720, with the square of it as common encoder settings do.
func guessBps(height int) uint64 {
	if height == 0 {
		height = 720
	}
	return max(50_000, 2_500_000*uint64(height)*uint64(height)/(720*720))
}

// open begins to read the track, unless that is done already.
func (la *layer) open() error {
	if la.sub != nil {
		return nil
	}
	p, err := framing.NewPacketizer(la.lane.key.codec, framing.PacketizerConfig{})
	if err != nil {
		return err
	}
	sub, err := la.lane.subscribe(la.name)
	if err != nil {
		return err
	}
	la.sub, la.track, la.packetizer, la.packets = sub, sub.Track(), p, newLaneLog()
	la.reader = laneReader{sub: sub, skip: la.skip}
	la.first, la.settled, la.hole, la.nextKeyframe = time.Time{}, false, false, time.Time{}
	la.sound = soundTicks{}
	la.meter = rateMeter{bps: la.bps.Load()}
	return nil
}

// close ends the reading. What was packetized can still be asked for again.
func (la *layer) close() {
	if la.sub == nil {
		return
	}
	la.reader.close()
	la.sub, la.track, la.packetizer = nil, nil, nil
	la.stats.viewers.Store(0)
}

// read takes all objects that are there and sends them to the layer's live viewers.
func (la *layer) read(now time.Time) error {
	for {
		in, ok, err := la.reader.next(now)
		if err != nil || !ok {
			return err
		}
		la.append(in, now)
	}
}

// append packetizes an object into the log and sends it.
func (la *layer) append(in laneInput, now time.Time) {
	l := la.lane
	pts, frame, err := l.key.container.ParseFrame(in.payload)
	if err == nil && len(frame) == 0 {
		return // a marker, which stands for nothing
	}
	audio := l.key.codec.Audio()
	slot := la.packets.slot()
	if err == nil {
		err = la.packetizer.Packetize(frame, in.first || audio, &slot.payloads)
	}
	if err != nil {
		la.skip(skipMalformed)
		l.log.Debug("object cannot be packetized", slog.String("track", la.name), slog.Any("err", err))
		la.breakGroup()
		return
	}
	if in.broken {
		la.breakGroup()
	}
	if la.hole && !in.first && !audio {
		return // nothing can be decoded before the next group
	}
	la.hole = false
	la.checkTimeline(int64(pts), now)
	slot.ticks = ticksOf(int64(pts), l.key.codec.ClockRate())
	if audio {
		slot.ticks = la.sound.next(slot.ticks)
	}
	if in.IngressErr < 0 {
		in.Ingress = 0
	}
	la.captured.stamp(&slot.capture, int64(pts), in.Ingress, now)
	if la.first.IsZero() {
		la.first = now
	}
	la.lastAppend, la.lastPTS, la.lastTicks, la.lastAge = now, int64(pts), slot.ticks, 0
	wall := now
	if l.wall != nil {
		wall = l.wall(now)
	}
	if in.Ingress != 0 {
		la.lastAge = wall.Sub(time.UnixMicro(in.Ingress))
	}
	la.packets.commit(in.first || audio, now)
	if audio && l.protected() {
		la.addRED()
	}
	la.stats.objects.Add(1)
	size := slot.payloads.Bytes() + slot.payloads.Len()*packetOverhead
	la.enlarge(int64(size), in.first)
	if la.settled && la.meter.add(now, size) {
		la.bps.Store(la.meter.bps)
	}
	if la.users > 0 {
		la.track.ObserveAge(in.ObjectHeader, wall)
		la.observe(in.Ingress)
	}
	for i, v := range l.viewers {
		if i%transport.MaxTouched == 0 {
			l.touched += touch(l.viewers[i:min(i+transport.MaxTouched, len(l.viewers))])
		}
		if v.layer == la && v.state == viewerLive {
			l.sendLive(v, slot.payloads.Len(), now)
		}
	}
}

// enlarge follows the size of the largest frames, which most groups begin with.
func (la *layer) enlarge(size int64, first bool) {
	most := la.largest.Load()
	if first {
		most -= most / 4
	}
	la.largest.Store(max(most, size))
}

// breakGroup says that the rest of the current group cannot be decoded.
func (la *layer) breakGroup() {
	la.hole = true
	la.packets.broken()
}

// ticksOf converts a PTS in microseconds to RTP clock units, without wrapping.
func ticksOf(us int64, clockRate uint32) int64 {
	const second = 1_000_000
	return us/second*int64(clockRate) + us%second*int64(clockRate)/second
}

// checkTimeline gives viewers a new run where times jump, so that theirs do not.
func (la *layer) checkTimeline(pts int64, now time.Time) {
	if la.first.IsZero() {
		return
	}
	want := la.lastPTS + now.Sub(la.lastAppend).Microseconds()
	jump := time.Duration(pts-want) * time.Microsecond
	if jump < timelineBreak && jump > -timelineBreak {
		return
	}
	for _, v := range la.lane.viewers {
		if v.layer == la && v.state == viewerLive {
			v.run.shift -= ticksOf(pts-want, la.lane.key.codec.ClockRate())
			v.begin(la.packets, la.packets.head, 0)
			v.state = viewerLive
		}
	}
}

// settle finds out whether what was cached has arrived.
func (la *layer) settle(now time.Time) {
	if la.settled || la.first.IsZero() {
		return
	}
	at := la.lastAppend.Add(layerSettle)
	if last := la.first.Add(layerSettleMax); last.Before(at) {
		at = last
	}
	la.settled = !now.Before(at)
	la.lane.at(at)
}

// ready reports whether a viewer can begin with the newest group. If not, and
// there is no group to wait for, the upstream is asked for a key frame, which it
// passes on to the publisher only if it has no cached group.
func (la *layer) ready(now time.Time) bool {
	switch {
	case la.settled && la.packets.whole:
		return true
	case la.lane.key.codec.Audio() || !la.settled && !la.first.IsZero():
	case !now.Before(la.nextKeyframe):
		la.nextKeyframe = now.Add(keyframeEvery)
		if la.track.RequestKeyframe() {
			la.stats.keyframes.Add(1)
		}
		la.lane.at(la.nextKeyframe)
	default:
		la.lane.at(la.nextKeyframe)
	}
	return false
}

// groupAge returns how long ago the newest group began, by its frames' own times.
func (la *layer) groupAge() time.Duration {
	p := la.packets
	ticks := p.at(p.head-1).ticks - p.at(p.groupStart).ticks
	return time.Duration(ticks) * time.Second / time.Duration(la.lane.key.codec.ClockRate())
}

// pending returns how many bytes a viewer that begins now would be sent at once.
func (la *layer) pending() int {
	n := 0
	for i := la.packets.groupStart; i < la.packets.head; i++ {
		n += la.packets.at(i).payloads.Bytes()
	}
	return n
}

func (la *layer) countViewers() {
	la.stats.viewers.Store(uint64(la.users))
	if la.sub != nil {
		la.sub.SetViewers(la.users)
	}
}

func (la *layer) skip(s skip) {
	la.lane.metrics.skipped[s].Inc()
	switch s {
	case skipLate, skipStalled, skipAborted:
		la.tell(s, time.Now())
	case skipWaitKey, skipGroupRefuse, skipMalformed, skipBehind, skipWriteFailed, skipFeedback, skipHistory,
		skipResendLimit, skipResendSoon, skipRestartSoon, skipAskLimit, skipUnknownSSRC, skipReports, skipNeverSent,
		skipBadFeedback, skipICERestart, skipUnprotected, skipNoStream, skipNoFormat, skipLeftBehind, numSkips:
		// Not a gap for all viewers of the layer.
	}
}

// tellEvery is how often a layer remembers groups that it skips for one reason.
const tellEvery = 250 * time.Millisecond

// tell remembers that all viewers of the layer miss a group, or the rest of it.
func (la *layer) tell(s skip, now time.Time) {
	t := &la.untold[s]
	t.count++
	if now.Sub(t.at) < tellEvery {
		return
	}
	la.lane.events.Add(telemetry.Event{
		At: now, Kind: telemetry.GroupSkipped, Reason: s.String(), Track: la.lane.trackName(la.name).String(), Count: t.count,
	})
	t.at, t.count = now, 0
}

// packetOverhead is what a packet has beside its payload on its way to a viewer:
// headers of IPv4, UDP and RTP with the extensions that most packets have, and the
// authentication tag.
const packetOverhead = 20 + 8 + 32 + 16

// rateMeter averages a bitrate over some groups, whose key frames are several times
// as large as the other frames. Time is an argument.
type rateMeter struct {
	began   time.Time
	bytes   int
	windows [rateWindows]uint64 // bit/s, the latest in a ring
	count   int
	prior   uint64 // what counts in the place of windows that are not over yet
	bps     uint64
	known   bool // bps was measured, at least in part
}

// expect says what the rate is thought to be, before it is measured.
func (m *rateMeter) expect(bps uint64) { m.prior = bps }

// add counts bytes, and reports whether there is a new average.
func (m *rateMeter) add(now time.Time, bytes int) bool {
	if m.began.IsZero() {
		m.began = now // the first does not count: it came before the time began
		return false
	}
	m.bytes += bytes
	d := now.Sub(m.began)
	if d < rateWindow {
		return false
	}
	m.windows[m.count%rateWindows] = uint64(float64(m.bytes) * 8 / d.Seconds())
	m.count++
	m.began, m.bytes = now, 0
	n := min(m.count, rateWindows)
	sum := uint64(0)
	for _, w := range m.windows[:n] {
		sum += w
	}
	switch {
	case m.prior > 0:
		m.bps = (sum + m.prior*uint64(rateWindows-n)) / rateWindows
	case n < rateWindows/2:
		return false
	default:
		m.bps = sum / uint64(n)
	}
	m.known = true
	return true
}
