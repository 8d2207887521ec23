package bwe

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"trellis/internal/impair"
)

const (
	ms   = time.Millisecond
	kbps = 1000
	mbps = 1000 * kbps
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// world is a sender, a bottleneck and a receiver, in steps of a millisecond.
type world struct {
	t       *testing.T
	cfg     worldConfig
	now     time.Duration
	rng     *rand.Rand
	log     *Log
	reader  *Reader
	ctrl    *Controller
	results []Result
	link    *impair.Link
	src     source
	bulk    *bulk
	recv    receiver
	flying  impair.Queue[uint64] // packets on their way
	reports impair.Queue[[]byte] // feedback on its way
	report  time.Duration        // when the next is due
	pending []pendingPacket      // of probes
	release time.Time            // of the next lump
	probes  int
	padding int // bytes of probes sent
	samples []sample
	seen    uint64 // decisions in the trace
	trace   strings.Builder
}

type pendingPacket struct {
	at   time.Duration
	size int
	kind Kind
}

// sample is the estimate at a time.
type sample struct {
	at  time.Duration
	est Estimate
}

type worldConfig struct {
	seed     uint64
	forward  impair.Config
	back     time.Duration // delay of the feedback
	backLoss float64
	interval time.Duration // between feedback messages, 50 ms if zero
	lump     time.Duration // arrivals wait for a time that comes as often, on average
	drift    float64
	held     bool // while the link is down, feedback is held rather than not made
	bursts   bool // probes are sent at once
	bucket   bucket
	stall    stall
	ctrl     Config
}

func newWorld(t *testing.T, cfg worldConfig, src source) *world {
	t.Helper()
	if cfg.interval == 0 {
		cfg.interval = 50 * ms
	}
	rng := rand.New(rand.NewPCG(cfg.seed, 1))
	link, err := impair.NewLink(cfg.forward, rand.New(rand.NewPCG(cfg.seed, 2)))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		t: t, cfg: cfg, rng: rng, log: NewLog(epoch), link: link, src: src,
		release: epoch,
		recv:    receiver{offset: time.Hour, drift: cfg.drift, arrived: make(map[uint64]time.Duration)},
	}
	w.reader = NewReader(w.log)
	if w.ctrl, err = New(cfg.ctrl, w.log); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) time() time.Time { return epoch.Add(w.now) }

// set changes the link.
func (w *world) set(change func(*impair.Config)) {
	w.t.Helper()
	cfg := w.link.Config()
	change(&cfg)
	if err := w.link.Set(cfg); err != nil {
		w.t.Fatal(err)
	}
}

// send puts a packet onto the link.
func (w *world) send(size int, kind Kind) {
	index := w.log.Next()
	w.log.Add(w.time(), size, kind)
	at, drop := w.link.Send(w.time().Add(w.cfg.bucket.wait(w.now, size)), size)
	if drop != impair.DropNone {
		return
	}
	at = epoch.Add(w.cfg.stall.pass(at.Sub(epoch), size, w.link.Config().RateBps))
	if w.cfg.lump > 0 {
		for w.release.Before(at) {
			w.release = w.release.Add(w.cfg.lump/2 + time.Duration(w.rng.Int64N(int64(w.cfg.lump))))
		}
		at = w.release
	}
	w.flying.Push(at, index)
}

// run lets time pass.
func (w *world) run(d time.Duration) {
	for end := w.now + d; w.now < end; w.now += ms {
		w.step()
	}
}

func (w *world) step() {
	now := w.time()
	w.src.tick(w)
	if w.bulk != nil {
		w.bulk.tick(w)
	}
	w.probe()
	// What arrives in this millisecond arrives at its own time.
	for {
		at, some := w.flying.Next()
		if !some || at.After(now) {
			break
		}
		index, _ := w.flying.Pop(now)
		w.recv.receive(index, at.Sub(epoch))
	}
	if w.now >= w.report {
		w.report = w.now + w.cfg.interval
		if b := w.recv.message(w.t); b != nil && !w.lostBack() {
			at := now.Add(w.cfg.back)
			w.reports.Push(at, b)
		}
	}
	for !w.cfg.held || !w.link.Config().Down {
		b, some := w.reports.Pop(now)
		if !some {
			break
		}
		w.feedback(b)
	}
	if w.now%(100*ms) == 0 {
		w.ctrl.Tick(now)
	}
	w.note()
}

func (w *world) lostBack() bool {
	return !w.cfg.held && w.link.Config().Down || w.cfg.backLoss > 0 && w.rng.Float64() < w.cfg.backLoss
}

func (w *world) feedback(b []byte) {
	results, err := w.reader.Read(w.results[:0], w.time(), b)
	if err != nil {
		w.t.Fatal(err)
	}
	w.results = results
	w.ctrl.Feedback(w.time(), results)
}

// probe sends what the controller asks for.
func (w *world) probe() {
	if w.now%(5*ms) == 0 && len(w.pending) == 0 {
		if p, ok := w.ctrl.Probe(w.time()); ok {
			w.probes++
			for i := range p.Packets {
				at := w.now
				if !w.cfg.bursts {
					at += p.Duration * time.Duration(i) / time.Duration(p.Packets)
				}
				w.pending = append(w.pending, pendingPacket{at, p.Bytes / p.Packets, p.Kind()})
			}
		}
	}
	for len(w.pending) > 0 && w.pending[0].at <= w.now {
		w.padding += w.pending[0].size
		w.send(w.pending[0].size, w.pending[0].kind)
		w.pending = w.pending[1:]
	}
}

// note keeps samples, and a line of trace for each decision and each half second.
func (w *world) note() {
	if w.now%(10*ms) != 0 {
		return
	}
	e := w.ctrl.Estimate()
	w.samples = append(w.samples, sample{w.now, e})
	if e.Decisions == w.seen && w.now%(500*ms) != 0 {
		return
	}
	w.seen = e.Decisions
	fmt.Fprintf(&w.trace, "%7v link %5d est %5d %-8v %-10s queue %4d/%-4d jitter %3d rtt %3d loss %4.1f%% sent %5d acked %5d cap %5d proven %5d probes %d\n",
		w.now, w.link.Config().RateBps/kbps, e.Bps/kbps, e.State, e.Reason, e.QueueDelay.Milliseconds(),
		e.Threshold.Milliseconds(), e.Jitter.Milliseconds(), e.RTT.Milliseconds(), 100*e.Loss, e.SentBps/kbps, e.AckedBps/kbps,
		e.CapacityBps/kbps, e.ProvenBps/kbps, w.probes)
}

// between are the samples from one time to another.
func (w *world) between(from, to time.Duration) []sample {
	var out []sample
	for _, s := range w.samples {
		if s.at >= from && s.at < to {
			out = append(out, s)
		}
	}
	return out
}

// rates are the least, the mean and the greatest estimate in a time, in bit/s.
func (w *world) rates(from, to time.Duration) (least, mean, most float64) {
	samples := w.between(from, to)
	least = 1e12
	for _, s := range samples {
		least, most = min(least, float64(s.est.Bps)), max(most, float64(s.est.Bps))
		mean += float64(s.est.Bps)
	}
	return least, mean / float64(len(samples)), most
}

// first is when a condition is first met from a time on, counted from there.
func (w *world) first(from time.Duration, is func(Estimate) bool) time.Duration {
	for _, s := range w.samples {
		if s.at >= from && is(s.est) {
			return s.at - from
		}
	}
	return time.Hour
}

// bucket is a shaper: size bytes pass at once, what is more waits for tokens.
type bucket struct {
	rate, size float64 // bit/s, bytes; no shaper without rate
	tokens     float64 // of the bytes; less than none for those that wait
	filled     time.Duration
}

// wait takes tokens for a packet and says how long it waits for them.
func (b *bucket) wait(now time.Duration, size int) time.Duration {
	if b.rate == 0 {
		return 0
	}
	b.tokens = min(b.size, b.tokens+(now-b.filled).Seconds()*b.rate/8)
	b.filled = now
	b.tokens -= float64(size)
	return time.Duration(max(0, -b.tokens) * 8 / b.rate * float64(time.Second))
}

// stall is a time in which a radio holds all packets back, to send them after it at
// the rate of the link.
type stall struct {
	from, to time.Duration
	free     time.Duration // when what it held has passed
}

// pass says when a packet passes that would at a time.
func (s *stall) pass(at time.Duration, size int, bps int64) time.Duration {
	if at < s.from || s.to == 0 || at >= s.to && at >= s.free {
		return at
	}
	s.free = max(s.free, s.to) + time.Duration(float64(size)*8/float64(bps)*float64(time.Second))
	return s.free
}

// source sends media.
type source interface{ tick(w *world) }

// media is audio packets of 100 bytes every 20 ms, and video frames, each one
// burst of equal packets.
type media struct {
	rate     func(w *world) float64 // of the video
	fps      int                    // 30 if zero
	keyEvery time.Duration          // zero for no key frames
	mute     bool                   // no audio
	next     time.Duration
	key      time.Duration
}

const audioBps = 100 * 8 * 50

func (m *media) tick(w *world) {
	if !m.mute && w.now%(20*ms) == 0 {
		w.send(100, Media)
	}
	if w.now < m.next {
		return
	}
	fps := max(m.fps, 30)
	if m.fps > 0 {
		fps = m.fps
	}
	m.next += time.Second / time.Duration(fps)
	size := m.rate(w) / 8 / float64(fps) * (0.8 + 0.4*w.rng.Float64())
	if m.keyEvery > 0 && w.now >= m.key {
		m.key = w.now + m.keyEvery
		size *= 6
	}
	packets := max(1, int(size+1199)/1200)
	for range packets {
		w.send(max(50, int(size)/packets), Media)
	}
}

// adaptive is an encoder that follows the estimate, up to a rate.
func adaptive(most float64) *media {
	return &media{rate: func(w *world) float64 {
		w.ctrl.Wanted(int64(most))
		return min(most, float64(w.ctrl.Bps())) - audioBps
	}}
}

// constant sends at a rate whatever the estimate.
func constant(bps float64) *media {
	return &media{rate: func(*world) float64 { return bps - audioBps }}
}

// layered chooses the highest of some layers that the estimate carries, and wants
// the next.
func layered(layers ...float64) *media {
	return &media{keyEvery: 4 * time.Second, rate: func(w *world) float64 {
		bps := float64(w.ctrl.Bps())
		chosen, wanted := layers[0], 0.0
		for i, l := range layers {
			if l+audioBps <= bps {
				chosen = l
			} else if i > 0 {
				wanted = l + audioBps
				break
			}
		}
		w.ctrl.Wanted(int64(wanted))
		return chosen
	}}
}

// pausing sends nothing for half of the time, five seconds at a time.
type pausing struct{ *media }

func (p pausing) tick(w *world) {
	if w.now/(5*time.Second)%2 == 0 {
		p.media.tick(w)
		return
	}
	p.next = w.now
}

// bulk is a transfer that is governed by losses alone, as TCP was in the
// beginning: one packet more per round trip, half of it after a loss.
type bulk struct {
	window   float64 // packets
	slow     bool    // start
	flying   int
	acks     impair.Queue[bool] // true for a packet that arrived
	halved   time.Duration
	received int // bytes
	back     time.Duration
}

const bulkPacket = 1200

func newBulk(back time.Duration) *bulk { return &bulk{window: 10, slow: true, back: back} }

func (b *bulk) tick(w *world) {
	for {
		arrived, some := b.acks.Pop(w.time())
		if !some {
			break
		}
		b.flying--
		switch {
		case arrived:
			b.received += bulkPacket
			b.window += 1 / b.window
			if b.slow {
				b.window += 1 - 1/b.window
			}
		case w.now-b.halved > 2*b.back+200*ms:
			b.window, b.slow, b.halved = max(2, b.window/2), false, w.now
		}
	}
	for float64(b.flying) < b.window {
		b.flying++
		at, drop := w.link.Send(w.time(), bulkPacket)
		if drop != impair.DropNone {
			// It is noticed when packets after it arrive.
			b.acks.Push(w.time().Add(2*b.back+200*ms), false)
			continue
		}
		b.acks.Push(at.Add(b.back), true)
	}
}
