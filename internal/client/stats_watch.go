package client

import (
	"time"

	"trellis/edge/framing"
)

// watchStats measures what is received.
type watchStats struct {
	target  Target
	started time.Time
	setup   time.Duration
	first   time.Time
	last    time.Time
	tracks  [2]*watchTrackStats // video, audio

	reconnects int
}

// watchTrackStats is about one kind of track.
type watchTrackStats struct {
	track, codec  string
	width, height int

	objects, keys, bytes int64
	firstPTS, lastPTS    int64
	firstFrame           time.Duration // from started to the first frame that can be decoded
	decodable            bool
	steps                steps
	session              int // of the last frame
	arrived              time.Time
	silence              time.Duration // the longest between two frames

	age     durations
	ageFrom AgeSource
	// ahead says that frames came from the future: the clocks disagree.
	ahead bool
	delay durations     // beyond the least so far
	least time.Duration // arrival less PTS, of the fastest frame

	// What came after settling, which shows how the track arrives in the long run.
	settled      int64
	settledSince time.Time
	settledUntil time.Time
}

// settling is how long a node may take to deliver what it had before we came, and
// we to get used to it. Frames of that time count, and say nothing of pace and delay.
const settling = time.Second

// maxAhead is by how much a frame may seem to come from the future before ages are
// not believed: clocks set by NTP agree better.
const maxAhead = 10 * time.Millisecond

func newWatchStats(target Target, now time.Time) *watchStats {
	return &watchStats{target: target, started: now}
}

func (s *watchStats) connected(now time.Time) { s.setup = now.Sub(s.started) }

func (s *watchStats) got(r received) {
	if s.first.IsZero() {
		s.first = r.arrived
	}
	s.last = r.arrived
	i := index(r.codec.Audio())
	if s.tracks[i] == nil {
		s.tracks[i] = &watchTrackStats{age: newDurations(), delay: newDurations(), ageFrom: Unsynchronised}
	}
	s.tracks[i].got(r, s.started, s.started.Add(s.setup))
	if r.arrived.Sub(s.first) >= settling {
		s.tracks[i].gotSettled(r)
	}
	s.tracks[i].session = r.session
}

func (t *watchTrackStats) got(r received, started, connected time.Time) {
	anew := r.session != t.session && !r.placed
	if t.objects > 0 && (r.track != t.track || anew) {
		t.steps.restart() // its times need not go on from there
	}
	if t.objects > 0 {
		t.silence = max(t.silence, r.arrived.Sub(t.arrived))
	}
	t.track, t.arrived = r.track, r.arrived
	t.describe(r)
	if t.objects == 0 {
		t.firstPTS, t.lastPTS = r.pts, r.pts
	}
	if r.key && !t.decodable {
		t.decodable, t.firstFrame = true, r.arrived.Sub(started)
	}
	t.objects++
	t.bytes += int64(len(r.data))
	if r.key {
		t.keys++
	}
	t.firstPTS, t.lastPTS = min(t.firstPTS, r.pts), max(t.lastPTS, r.pts)
	t.steps.add(r.pts)
	// A frame that was made before we connected waited for us in the node: its age
	// says nothing about the way here.
	if r.made.Before(connected) {
		return
	}
	age := r.arrived.Sub(r.made)
	t.ahead = t.ahead || age < -maxAhead
	t.age.add(age)
	t.ageFrom = r.madeFrom
}

// gotSettled takes a frame that came after settling.
func (t *watchTrackStats) gotSettled(r received) {
	delay := sincePTS(r)
	if t.settled == 0 {
		t.settledSince, t.least = r.arrived, delay
	}
	if r.session != t.session && !r.placed {
		t.least = delay // another timeline
	}
	t.settled++
	t.settledUntil = r.arrived
	t.least = min(t.least, delay)
	t.delay.add(delay - t.least)
}

// describe takes codec string and size from a frame that tells.
func (t *watchTrackStats) describe(r received) {
	if t.codec != "" && (!r.key || r.codec.Audio()) {
		return
	}
	if t.codec = r.codecs; t.codec == "" {
		t.codec = r.codec.String()
	}
	if d, err := framing.Describe(r.codec, r.data); err == nil {
		t.codec, t.width, t.height = d.String(), d.Width, d.Height
	}
}

// sincePTS is the arrival on the timeline of presentation times, whose zero is anywhere.
func sincePTS(r received) time.Duration {
	return time.Duration(r.arrived.UnixMicro()-r.pts) * time.Microsecond
}

// report says how things stand; in may be nil.
func (s *watchStats) report(in feed) WatchReport {
	r := WatchReport{
		Protocol: s.target.Protocol, URL: s.target.Endpoint, Broadcast: string(s.target.Broadcast),
		ConnectMs: toMs(s.setup), Reconnects: s.reconnects, DurationS: s.last.Sub(s.first).Seconds(), Tracks: []WatchedTrack{},
	}
	for i, t := range s.tracks {
		if t == nil {
			continue
		}
		w := t.report()
		w.Kind = kindOf(i == index(true))
		if in != nil {
			losses := in.Losses(i == index(true))
			w.PacketsLost, w.GroupsReset = losses.packets, losses.groups
		}
		r.Tracks = append(r.Tracks, w)
	}
	return r
}

func (t *watchTrackStats) report() WatchedTrack {
	w := WatchedTrack{
		Track: t.track, Codec: t.codec, Width: t.width, Height: t.height,
		Objects: t.objects, KeyFrames: t.keys, Bytes: t.bytes,
		FrameRate:          t.frameRate(),
		AgeFrom:            Unsynchronised,
		DelayVariationMs:   t.delay.percentiles(),
		TimeToFirstFrameMs: toMs(t.firstFrame),
		LongestSilenceMs:   toMs(t.silence),
	}
	w.Gaps, w.Lost = t.steps.missing()
	if t.age.count() > 0 && !t.ahead {
		p := t.age.percentiles()
		w.AgeMs, w.AgeFrom = &p, t.ageFrom
	}
	return w
}

// frameRate is that of arrival; if there was not the time to measure it, that of
// presentation.
func (t *watchTrackStats) frameRate() float64 {
	const least = settling / 3
	if d := t.settledUntil.Sub(t.settledSince); d >= least {
		return rate(t.settled-1, d)
	}
	return rate(t.objects-1, time.Duration(t.lastPTS-t.firstPTS)*time.Microsecond)
}
