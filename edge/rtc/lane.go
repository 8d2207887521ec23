package rtc

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"trellis/edge/framing"
	"trellis/edge/rtc/transport"
	"trellis/internal/relay"
	"trellis/internal/telemetry"
	"trellis/wire"
	"trellis/wire/hang"
)

const (
	// catchUpBurst packets are sent to a viewer that catches up, every
	// catchUpPause: 100 Mbit/s, which fits into the socket buffers on the way.
	catchUpBurst = 48
	catchUpPause = 5 * time.Millisecond
	// reportEvery is the time between sender reports, as browsers send them.
	reportEvery = time.Second
	// reportTogether is the grid on which they are due: a lane walks all viewers
	// whenever it wakes, so it must not wake for each. What is sent as much earlier takes
	// them along.
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
	// laneCommands is how much feedback may wait for the lane.
	laneCommands = 1024
	// maxLayers bounds the layers of a lane. Browsers send up to three.
	maxLayers = 4
)

// laneKey tells lanes apart: a picture with all of its layers in one codec, or
// one track of sound. The codec is part of it because it comes from a catalog,
// and another publisher may give the same name to another codec.
type laneKey struct {
	broadcast wire.Broadcast
	codec     framing.Codec
	container hang.Container
	track     string // of sound; a picture has layers
}

// lane carries a picture or a sound to all of its viewers on this node: the
// layers that somebody wants are read and packetized once, and each viewer is
// sent the packets of the one that it is on.
type lane struct {
	// Fixed at construction.
	key       laneKey
	metrics   *metrics
	log       *slog.Logger
	events    *telemetry.Events
	subscribe func(track string) (*relay.Subscription, error)
	wall      func(time.Time) time.Time // as in egress

	// rungs are the layers that viewers can be put on, the smallest first. The slice
	// is replaced, never changed.
	rungs atomic.Pointer[[]*layer]

	commands chan laneCommand
	quit     chan struct{}   // closed by the egress when nobody is left
	life     context.Context // ends when run has returned
	die      context.CancelFunc
	err      error // why it did; to be read once life has ended

	// Owned by run.
	layers  []*layer // those of rungs
	batch   *transport.Batch
	viewers []*viewer
	due     time.Time // the next thing to do, as far as advance knows
	astray  bool      // there are viewers without a layer that should have one
	touched uint64    // means nothing: see touch
}

// laneCommand is something that a viewer's session wants of the lane.
type laneCommand struct {
	kind       commandKind
	viewer     *viewer
	lost       *lostPackets // commandResend
	aim        aim          // commandAim
	renditions []rendition  // commandLadder
	probe      probe        // commandProbe
	protect    bool         // commandProtect
}

type commandKind uint8

const (
	commandJoin commandKind = iota
	commandLeave
	commandResend
	commandRestart
	commandAim
	commandLadder
	commandProbe
	commandProtect
)

// trackName returns the whole name of a layer's track.
func (l *lane) trackName(track string) wire.TrackName {
	return wire.TrackName{Broadcast: l.key.broadcast, Track: track}
}

// climb takes over what a catalog says: layers appear, change and disappear. It
// returns an error when none is left.
func (l *lane) climb(all []rendition) error {
	if len(all) > maxLayers {
		l.log.Warn("more renditions than a lane has layers", slog.Int("renditions", len(all)), slog.Int("layers", maxLayers))
		// The ends of the ladder matter most.
		all = append(slices.Clone(all[:maxLayers-1]), all[len(all)-1])
	}
	next := make([]*layer, 0, len(all)) // the largest first
	for _, r := range all {
		i := slices.IndexFunc(l.layers, func(la *layer) bool { return la.name == r.track && la.codec == r.codec })
		la := &layer{lane: l, name: r.track, codec: r.codec}
		if i >= 0 {
			la = l.layers[i]
		}
		la.update(r)
		next = append(next, la)
	}
	for _, la := range l.layers {
		if !slices.Contains(next, la) {
			l.remove(la)
		}
	}
	slices.Reverse(next) // of those that look alike, the catalog's order tells
	return l.publish(next)
}

// publish shows layers to those who put viewers on them.
func (l *lane) publish(layers []*layer) error {
	slices.SortStableFunc(layers, func(a, b *layer) int {
		return cmp.Or(cmp.Compare(a.height.Load(), b.height.Load()), cmp.Compare(a.bps.Load(), b.bps.Load()))
	})
	l.layers = layers
	shown := slices.Clone(layers)
	l.rungs.Store(&shown)
	if len(layers) == 0 {
		return io.EOF
	}
	return nil
}

// remove takes a layer away whose track has ended, or is none of the broadcast's
// any more. Its viewers are put on the next best.
func (l *lane) remove(la *layer) {
	la.gone.Store(true)
	la.close()
	for _, v := range l.viewers {
		if v.layer == la {
			v.layer, v.state = nil, viewerWaiting
		}
		if v.aim.layer == la {
			v.aim.layer, l.astray = nil, true
		}
	}
}

// ended handles the end of a layer's track. It returns why the lane ends with it,
// if it does: a broadcast that breaks off takes all of its tracks along.
func (l *lane) ended(la *layer, err error, now time.Time) error {
	l.remove(la)
	rest := slices.DeleteFunc(slices.Clone(l.layers), func(o *layer) bool { return o == la })
	if err != io.EOF { //nolint:errorlint // the reader returns it as it is
		return err
	}
	if err := l.publish(rest); err != nil {
		return err
	}
	return l.rehome(now)
}

// rehome puts viewers without a layer on the best there is.
func (l *lane) rehome(now time.Time) error {
	for l.astray {
		l.astray = false
		for _, v := range l.viewers {
			if v.aim.layer != nil || v.aim.pause {
				continue
			}
			if len(l.layers) == 0 {
				return io.EOF
			}
			l.take(v, aim{layer: l.layers[len(l.layers)-1]}, now) // sets astray where it cannot be opened
		}
	}
	l.count()
	return nil
}

// run serves until quit is closed or the track has ended, and says why.
func (l *lane) run() error {
	defer func() {
		for _, la := range l.layers {
			la.close()
		}
	}()
	timer := time.NewTimer(0)
	defer timer.Stop()
	var group, object [maxLayers]<-chan struct{}
	for {
		now := time.Now()
		err := l.read(now)
		l.advance(now)
		l.flush()
		if err != nil {
			return err
		}
		for i := range maxLayers {
			group[i], object[i] = nil, nil
			if i < len(l.layers) && l.layers[i].sub != nil {
				group[i], object[i] = l.layers[i].reader.ready()
			}
		}
		timer.Reset(time.Until(l.wake()))
		select {
		case <-l.quit:
			return nil
		case c := <-l.commands:
			err := l.command(c, time.Now())
			l.flush()
			if err != nil {
				return err
			}
		case <-group[0]:
		case <-group[1]:
		case <-group[2]:
		case <-group[3]:
		case <-object[0]:
		case <-object[1]:
		case <-object[2]:
		case <-object[3]:
		case <-timer.C:
		}
	}
}

// read takes what has come on all layers.
func (l *lane) read(now time.Time) error {
	for _, la := range l.layers {
		if la.sub == nil {
			continue
		}
		if err := la.read(now); err != nil {
			if err := l.ended(la, err, now); err != nil {
				return err
			}
		}
	}
	return nil
}

// command does what a viewer's session wants.
func (l *lane) command(c laneCommand, now time.Time) error {
	switch c.kind {
	case commandJoin:
		l.admit(c.viewer, now)
	case commandLeave:
		l.viewers = slices.DeleteFunc(l.viewers, func(v *viewer) bool { return v == c.viewer })
	case commandResend:
		for _, seq := range c.lost.seqs[:c.lost.n] {
			l.resend(c.viewer, seq, now)
		}
		c.lost.release()
		return nil
	case commandRestart:
		l.restart(c.viewer, now)
		return nil
	case commandProbe:
		c.viewer.probing = c.probe
		c.viewer.probing.began = now
		l.probe(c.viewer, now)
		return nil
	case commandProtect:
		l.protect(c.viewer, c.protect)
		return nil
	case commandAim:
		if slices.Contains(l.viewers, c.viewer) {
			l.take(c.viewer, c.aim, now)
		}
	case commandLadder:
		if err := l.climb(c.renditions); err != nil {
			return err
		}
	}
	return l.rehome(now)
}

// admit adds a viewer. One that was not told where to begins with the best.
func (l *lane) admit(v *viewer, now time.Time) {
	l.viewers = append(l.viewers, v)
	a := v.aim
	v.aim, v.layer, l.astray = aim{}, nil, true
	l.take(v, a, now)
}

// take sends a viewer on its way to a layer, which it reaches in advance.
func (l *lane) take(v *viewer, a aim, now time.Time) {
	if a.layer != nil {
		if a.layer.gone.Load() {
			a.layer, l.astray = nil, true
		} else if err := a.layer.open(); err != nil {
			l.log.Debug("layer cannot be opened", slog.String("track", a.layer.name), slog.Any("err", err))
			l.remove(a.layer)
			_ = l.publish(slices.DeleteFunc(slices.Clone(l.layers), func(o *layer) bool { return o == a.layer }))
			a.layer, l.astray = nil, true
		}
	}
	a.since = now
	if a.layer == v.aim.layer {
		a.since, a.until = v.aim.since, v.aim.until // it is on its way already
	}
	back := v.aim.void && !a.void
	if back { // it has seen nothing for so long that any picture will do, be it a bit old
		a.until, v.restartAfter = now, now.Add(restartPause)
	}
	v.aim = a
	v.kept = max(v.kept, a.playout)
	v.protectPicture(a.fec)
	switch {
	case back && a.layer != nil && a.layer == v.layer && v.state != viewerWaiting && a.layer.ready(now):
		l.begin(v, now)
	case a.pause:
		v.layer, v.state = nil, viewerWaiting
	case a.urgent && a.layer != v.layer:
		v.state = viewerWaiting
	}
}

// count says how many viewers each layer has or will have.
func (l *lane) count() {
	for _, la := range l.layers {
		la.users = 0
	}
	for _, v := range l.viewers {
		if v.layer != nil {
			v.layer.users++
		}
		if v.aim.layer != nil && v.aim.layer != v.layer {
			v.aim.layer.users++
		}
	}
	for _, la := range l.layers {
		la.countViewers()
	}
}

// join adds a viewer to the lane, unless that has ended.
func (l *lane) join(v *viewer) {
	select {
	case l.commands <- laneCommand{kind: commandJoin, viewer: v}:
	case <-l.life.Done():
	}
}

// leave takes a viewer off the lane. The lane may still write to it for a moment.
func (l *lane) leave(v *viewer) {
	select {
	case l.commands <- laneCommand{kind: commandLeave, viewer: v}:
	case <-l.life.Done():
	}
}

// show tells the lane what a catalog says now, unless it has ended.
func (l *lane) show(all []rendition) {
	select {
	case l.commands <- laneCommand{kind: commandLadder, renditions: all}:
	case <-l.life.Done():
	}
}

// feedback passes on what a viewer wants, if the lane has room for it.
func (l *lane) feedback(c laneCommand) bool {
	select {
	case l.commands <- c:
		return true
	default:
		l.metrics.skipped[skipFeedback].Inc()
		return false
	}
}

// errNoLayer says that a catalog has no track for a lane.
func errNoLayer(key laneKey) error {
	return fmt.Errorf("no track of %s is in the catalog with %s", key.broadcast, key.codec)
}
