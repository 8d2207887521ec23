package backbone

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"trellis/wire"
	"trellis/wire/peer"
)

// prober measures a link, and watches whether the peer is alive. Three
// goroutines use it: send and receive for the datagrams, since sending one may
// block, and watch.
type prober struct {
	link *link
	bell chan struct{} // rings when the idle period is over
	idle atomic.Bool   // probes are sent at the slow rate
	// heard is when something last came, as far as it is stamped: since link.up.
	heard atomic.Int64
	// canary may be nil; set before anything runs.
	canary Canary

	mu       sync.Mutex
	m        measure
	echoed   uint64 // the last of our probes that the peer has heard
	answered time.Time
	traffic  uint64 // media when last looked at
	mediaAt  time.Time
	suspect  bool
	promised time.Duration // within which the peer was told to expect a probe
}

func newProber(l *link) *prober {
	return &prober{link: l, bell: make(chan struct{}, 1), mediaAt: l.up, answered: l.up}
}

// wall is the node's own clock in µs.
func (m *Mesh) wall() uint64 { return uint64(m.cfg.WallClock().UnixMicro()) }

// stamp says that something has come. It is called for every read of media.
func (p *prober) stamp() { p.heard.Store(int64(time.Since(p.link.up))) }

// hurry ends the idle period, because media begins to flow.
func (p *prober) hurry() {
	if !p.idle.Load() {
		return
	}
	select {
	case p.bell <- struct{}{}:
	default: // already rung
	}
}

// send sends probes at the period that the media on the link asks for.
func (p *prober) send(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	buf := make([]byte, 0, peer.MaxProbeBytes)
	promised := probePeriodMedia
	var last time.Time
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer.C:
		case <-p.bell:
		}
		now := time.Now()
		period := p.period(now)
		// A change to the slower rate is announced with a probe: until then the
		// peer expects the faster one.
		if due := min(period, promised); now.Sub(last) < due {
			timer.Reset(due - now.Sub(last))
			continue
		}
		// The peer is told how late our own timers are: a busy node is not dead.
		lag := p.link.mesh.lag.value(now)
		p.mu.Lock()
		p.promised = period + min(lag.Truncate(time.Millisecond), maxPromisedLag)
		probe := p.m.next(p.promised, p.link.mesh.wall())
		p.mu.Unlock()
		if err := p.link.main.SendDatagram(probe.Append(buf[:0])); err != nil {
			return err
		}
		if p.canary != nil {
			p.canary.Ask()
		}
		last, promised = now, period
		p.idle.Store(period > probePeriodMedia)
		timer.Reset(period)
	}
}

// maxPromisedLag bounds what a busy node may ask its peers to wait.
const maxPromisedLag = 2 * time.Second

// period is 100 ms while media flows, the link is young or something is wrong,
// else a second.
func (p *prober) period(now time.Time) time.Duration {
	traffic := p.link.stats.traffic()
	p.mu.Lock()
	defer p.mu.Unlock()
	if traffic != p.traffic {
		p.traffic, p.mediaAt = traffic, now
	}
	if p.suspect || now.Sub(p.mediaAt) < youngLink {
		return probePeriodMedia
	}
	return probePeriodIdle
}

// receive reads the peer's probes.
func (p *prober) receive(ctx context.Context) error {
	for {
		b, err := p.link.main.ReceiveDatagram(ctx)
		if err != nil {
			return err
		}
		wall := p.link.mesh.wall()
		now := time.Now()
		p.stamp()
		probe, err := peer.ParseProbe(b)
		if err != nil {
			p.link.stats.malformed.Inc()
			continue
		}
		p.mu.Lock()
		p.m.receive(probe, now, wall)
		if probe.EchoSeq > p.echoed && probe.EchoSeq <= p.m.seq {
			p.echoed, p.answered = probe.EchoSeq, now
		}
		off, ok := p.m.clock.estimate(now)
		p.mu.Unlock()
		if ok {
			p.link.clock.Store(&off)
		}
	}
}

// reportPeriod is how often the loop is told what a link measures. A link on
// which nothing happens reports when it is looked at for another reason.
const reportPeriod = time.Second

// watch looks whether packets come, when their absence would mean something. It
// tells the loop when the link becomes suspect and when it is well again. A link
// that is down it ends.
func (p *prober) watch(ctx context.Context) error {
	l := p.link
	due := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	live := newLiveness(due)
	var report time.Time
	suspect := false
	var refused <-chan struct{}
	if p.canary != nil {
		refused = p.canary.Refused()
	}
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-refused:
			now := time.Now()
			p.look(&live, now, false) // what came before counts as before
			live.host.say(now)
			p.setSuspect(live.host.pending()) // a peer that lives answers at once
			due = now.Add(fineLook)
			timer.Reset(fineLook)
			continue
		case <-timer.C:
		}
		now := time.Now()
		l.mesh.lag.add(due, now)
		if now.After(l.notAfter) {
			return refusal(wire.CodeUnauthorized, "certificate of %s expired at %s", l.peer.Node, l.notAfter.UTC().Format(time.RFC3339))
		}
		lim, q := p.look(&live, now, now.Sub(report) >= reportPeriod)
		is, silence, deaf, next := live.judge(now, lim)
		if is == lifeDown {
			why := "%s silent for %v"
			switch {
			case deaf:
				why = "%s has not heard us for %v"
			case live.host.pending():
				why = "nobody listens at %s any more, silent for %v"
			}
			return refusal(wire.CodeTimeout, why, l.peer.Node, silence.Round(time.Millisecond))
		}
		p.setSuspect(is == lifeSuspect || live.host.pending())
		if is := is == lifeSuspect; is != suspect {
			suspect = is
			l.log.Debug("liveness", slog.Bool("suspect", is), slog.Duration("silence", silence), slog.Bool("deaf", deaf))
			l.mesh.later(func() { l.mesh.linkSuspect(l, is) })
		}
		if q.Samples > 0 {
			report = now
			l.steer(now, 2*q.DelayMin)
			l.mesh.later(func() { l.mesh.linkMeasured(l, q) })
		}
		due = next
		timer.Reset(next.Sub(now))
	}
}

// setSuspect says whether to probe at the faster rate because something is wrong.
func (p *prober) setSuspect(is bool) {
	p.mu.Lock()
	changed := is != p.suspect
	p.suspect = is
	p.mu.Unlock()
	if is && changed {
		p.hurry()
	}
}

// look brings live up to date and returns how long a silence may last now, and if
// a report is due, what is measured.
func (p *prober) look(live *liveness, now time.Time, report bool) (limits, Quality) {
	l := p.link
	packets, rtts, st := l.packets()
	lag := l.mesh.lag.value(now)
	p.mu.Lock()
	defer p.mu.Unlock()
	live.hear(l.up.Add(time.Duration(p.heard.Load())))
	live.answer(p.answered)
	theirs := p.m.peerPeriod()
	live.look(now, packets, rtts, theirs >= probePeriodIdle)
	srtt, rttvar := p.m.srtt, p.m.rttvar
	if p.m.n == 0 { // QUIC knows the round trip from the handshake, our probes later and better
		srtt, rttvar = st.SmoothedRTT, st.MeanDeviation
	}
	var q Quality
	if report {
		q = p.m.quality(now)
	}
	return limitsOf(srtt, rttvar, lag, theirs, p.promised), q
}

// packets counts the packets received on all lanes, any of which is life. rtts is
// a sum that changes when the peer acknowledges something on any lane. What QUIC
// knows of lane 0 is returned as well.
func (l *link) packets() (n uint64, rtts time.Duration, st quic.ConnectionStats) {
	st = l.main.ConnectionStats()
	n, rtts = st.PacketsReceived, st.LatestRTT
	for i, ln := range l.lanes.load() {
		s := ln.conn.ConnectionStats()
		n += s.PacketsReceived
		rtts += time.Duration(i+2) * s.LatestRTT // weighted, so that no two changes cancel
	}
	return n, rtts, st
}
