package backbone

import (
	"slices"
	"time"

	"trellis/wire/peer"
)

// measure turns the probes of a link into delays, losses and a clock offset. It
// has no timer and no lock: the link's prober owns it. Times come in twice, as
// now on the timeline of timers, and as wall, µs on the node's own clock.
type measure struct {
	seq   uint64 // last probe sent
	heard uint64 // probes received
	last  peer.Probe
	at    uint64 // wall time at which last came

	rtts   [128]rttSample
	n      int
	srtt   time.Duration
	rttvar time.Duration
	jitter time.Duration

	lossIn, lossOut lossWindow
	clock           clockFilter
}

type rttSample struct {
	at  time.Time
	rtt time.Duration
}

// delayWindow is how long a round trip counts in the quantiles.
const delayWindow = time.Minute

// next returns the probe to send now.
func (m *measure) next(period time.Duration, wall uint64) peer.Probe {
	m.seq++
	p := peer.Probe{Seq: m.seq, PeriodMs: uint64(period.Milliseconds()), Sent: wall, Heard: m.heard}
	if m.heard > 0 {
		p.EchoSeq, p.EchoSent, p.EchoHeard = m.last.Seq, m.last.Sent, m.at
	}
	return p
}

// receive takes a probe. One that comes late, behind a newer one, counts as
// heard and says nothing else.
func (m *measure) receive(p peer.Probe, now time.Time, wall uint64) {
	m.heard++
	if p.Seq <= m.last.Seq {
		return
	}
	m.lossIn.add(p.Seq, m.heard)
	m.last, m.at = p, wall
	if p.EchoSeq == 0 || p.EchoSeq > m.seq {
		return
	}
	m.lossOut.add(p.EchoSeq, p.Heard)
	t1, t2, t3, t4 := int64(p.EchoSent), int64(p.EchoHeard), int64(p.Sent), int64(wall)
	rtt := max((t4-t1)-(t3-t2), 0)
	m.clock.add(now, ((t2-t1)+(t3-t4))/2, rtt)
	m.addRTT(now, time.Duration(rtt)*time.Microsecond)
}

// RFC 9002, Section 5.3, for srtt and rttvar; RFC 3550, Section 6.4.1, for jitter.
func (m *measure) addRTT(now time.Time, rtt time.Duration) {
	if rtt > maxClockRTT {
		return
	}
	if m.n == 0 {
		m.srtt, m.rttvar = rtt, rtt/2
	} else {
		prev := m.rtts[(m.n-1)%len(m.rtts)].rtt
		m.jitter += ((rtt-prev).Abs()/2 - m.jitter) / 16
		m.rttvar += ((m.srtt - rtt).Abs() - m.rttvar) / 4
		m.srtt += (rtt - m.srtt) / 8
	}
	m.rtts[m.n%len(m.rtts)] = rttSample{at: now, rtt: rtt}
	m.n++
}

// peerPeriod is the time within which the peer promised its next probe.
func (m *measure) peerPeriod() time.Duration {
	return time.Duration(m.last.PeriodMs) * time.Millisecond
}

// quality returns the delays of the last minute. Delays are one way: half of a
// round trip.
func (m *measure) quality(now time.Time) Quality {
	q := Quality{Jitter: m.jitter, LossIn: m.lossIn.loss(), LossOut: m.lossOut.loss()}
	var rtts [len(m.rtts)]time.Duration
	live := rtts[:0]
	for i := range min(m.n, len(m.rtts)) {
		if s := m.rtts[i]; now.Sub(s.at) <= delayWindow {
			live = append(live, s.rtt)
		}
	}
	q.Samples = len(live)
	if len(live) == 0 {
		return q
	}
	slices.Sort(live)
	q.DelayMin, q.DelayP50, q.DelayP95 = live[0]/2, live[len(live)/2]/2, live[len(live)*95/100]/2
	return q
}

// Quality is what a link measures of itself. Delays are one way.
type Quality struct {
	Samples  int
	DelayMin time.Duration
	DelayP50 time.Duration
	DelayP95 time.Duration
	Jitter   time.Duration
	LossIn   float64 // share of probes lost towards us
	LossOut  float64 // share of probes lost towards the peer
}

// lossWindow compares two counters, what was sent and what of it was heard, over
// the last probes.
type lossWindow struct {
	ring [256]struct{ sent, heard uint64 }
	n    int
}

func (w *lossWindow) add(sent, heard uint64) {
	w.ring[w.n%len(w.ring)].sent, w.ring[w.n%len(w.ring)].heard = sent, heard
	w.n++
}

func (w *lossWindow) loss() float64 {
	if w.n < 2 {
		return 0
	}
	last := w.ring[(w.n-1)%len(w.ring)]
	first := w.ring[0]
	if w.n > len(w.ring) {
		first = w.ring[w.n%len(w.ring)]
	}
	if last.sent <= first.sent || last.heard < first.heard {
		return 0
	}
	return max(1-float64(last.heard-first.heard)/float64(last.sent-first.sent), 0)
}
