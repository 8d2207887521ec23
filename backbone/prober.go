package backbone

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"trellis/wire"
	"trellis/wire/peer"
)

// prober measures a link, and watches whether the peer is alive. Three
// goroutines use it: send and receive for the datagrams, since sending one may
// block, and watch.
type prober struct {
	link *link

	mu      sync.Mutex
	m       measure
	traffic uint64 // media bytes when last looked at
	mediaAt time.Time

	announce time.Duration
}

func newProber(l *link) *prober {
	return &prober{link: l, mediaAt: l.up}
}

// wall is the node's own clock in µs.
func (m *Mesh) wall() uint64 { return uint64(m.cfg.WallClock().UnixMicro()) }

// send sends probes at the period that the media on the link asks for.
func (p *prober) send(ctx context.Context) error {
	tick := time.NewTicker(probePeriodMedia)
	defer tick.Stop()
	var last time.Time
	buf := make([]byte, 0, peer.MaxProbeBytes)
	for now := time.Now(); ; {
		period := p.period(now)
		// A change to the slower rate is announced with a probe: until then the
		// peer expects the faster one.
		if due := min(period, p.announce); now.Sub(last) >= due {
			p.mu.Lock()
			probe := p.m.next(period, p.link.mesh.wall())
			p.mu.Unlock()
			if err := p.link.main.SendDatagram(probe.Append(buf[:0])); err != nil {
				return err
			}
			last, p.announce = now, period
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case now = <-tick.C:
		}
	}
}

// period is 100 ms while media flows or the link is young, else a second.
func (p *prober) period(now time.Time) time.Duration {
	traffic := p.link.stats.traffic()
	p.mu.Lock()
	defer p.mu.Unlock()
	if traffic != p.traffic {
		p.traffic, p.mediaAt = traffic, now
	}
	if now.Sub(p.mediaAt) < youngLink {
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
		probe, err := peer.ParseProbe(b)
		if err != nil {
			p.link.stats.malformed.Inc()
			continue
		}
		p.mu.Lock()
		p.m.receive(probe, now, wall)
		off, ok := p.m.clock.estimate(now)
		p.mu.Unlock()
		if ok {
			p.link.clock.Store(&off)
		}
	}
}

// watchPeriod is how often liveness is looked at: a fraction of the shortest
// silence that means something.
const watchPeriod = 25 * time.Millisecond

// watch looks whether packets come, and tells the loop when the link becomes
// suspect and when it is well again. A link that is down it ends.
func (p *prober) watch(ctx context.Context) error {
	l := p.link
	tick := time.NewTicker(watchPeriod)
	defer tick.Stop()
	var lag lagMeter
	var packets uint64
	last, life, report := time.Now(), time.Now(), time.Time{}
	suspect := false
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
		now := time.Now()
		lag.add(last.Add(watchPeriod), now)
		last = now
		if n := l.packets(); n != packets {
			packets, life = n, now
		}
		if now.After(l.notAfter) {
			return refusal(wire.CodeUnauthorized, "certificate of %s expired at %s", l.peer.Node, l.notAfter.UTC().Format(time.RFC3339))
		}
		p.mu.Lock()
		srtt, rttvar, period := p.m.srtt, p.m.rttvar, p.m.peerPeriod()
		var q Quality
		if now.Sub(report) >= time.Second {
			q = p.m.quality(now)
		}
		p.mu.Unlock()

		// QUIC knows the round trip from the handshake, our probes later and better.
		if srtt == 0 {
			st := l.main.ConnectionStats()
			srtt, rttvar = st.SmoothedRTT, st.MeanDeviation
		}
		suspectAt, downAt := silenceLimits(srtt, rttvar, lag.value(now), period)
		silence := now.Sub(life)
		if silence >= downAt {
			return refusal(wire.CodeTimeout, "%s silent for %v", l.peer.Node, silence.Round(time.Millisecond))
		}
		if is := silence >= suspectAt; is != suspect {
			suspect = is
			l.log.Debug("liveness", slog.Bool("suspect", is), slog.Duration("silence", silence))
			l.mesh.later(func() { l.mesh.linkSuspect(l, is) })
		}
		if q.Samples > 0 {
			report = now
			l.mesh.later(func() { l.mesh.linkMeasured(l, q) })
		}
	}
}

// packets counts the packets received on all lanes. Any packet is life.
func (l *link) packets() uint64 {
	n := l.main.ConnectionStats().PacketsReceived
	if bulk := l.bulk.Load(); bulk != nil {
		n += bulk.ConnectionStats().PacketsReceived
	}
	return n
}
