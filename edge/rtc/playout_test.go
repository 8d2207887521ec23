package rtc

import (
	"testing"
	"time"

	"trellis/edge/rtc/bwe"
)

func TestPlayout(t *testing.T) {
	const ms = time.Millisecond
	far := bwe.Estimate{RTT: 320 * ms, Loss: 0.05}
	for _, c := range []struct {
		name    string
		est     bwe.Estimate
		largest int
		want    time.Duration
	}{
		{"no loss", bwe.Estimate{RTT: 320 * ms}, 0, 0},
		{"loss, near", bwe.Estimate{RTT: 40 * ms, Loss: 0.05}, 0, 0},
		{"loss, far", far, 0, 400 * ms},
		{"loss, very far", bwe.Estimate{RTT: 2 * time.Second, Loss: 0.05}, 0, playoutMax},
		{"key frames, wide", bwe.Estimate{SustainedBps: 4_000_000}, 40_000, 0},
		{"key frames, narrow", bwe.Estimate{SustainedBps: 1_000_000}, 25_000, 260 * ms},
		{"key frames, very narrow", bwe.Estimate{SustainedBps: 200_000}, 25_000, playoutLargeMax},
	} {
		var p playout
		now := time.Unix(1_700_000_000, 0)
		for range 100 {
			p.update(now, c.est, c.largest)
			now = now.Add(100 * ms)
		}
		if got := p.update(now, c.est, c.largest); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}

	var p playout
	now := time.Unix(1_700_000_000, 0)
	pass := func(d time.Duration, e bwe.Estimate) (changes int) {
		was := p.delay
		for end := now.Add(d); now.Before(end); now = now.Add(100 * ms) {
			if is := p.update(now, e, 0); is != was {
				was, changes = is, changes+1
			}
		}
		return changes
	}
	pass(10*time.Second, far)
	if n := pass(20*time.Second, bwe.Estimate{RTT: 310 * ms}); n != 0 {
		t.Errorf("%d changes within %v of the last loss", n, playoutHold)
	}
	if pass(60*time.Second, bwe.Estimate{RTT: 310 * ms}); p.delay != 0 {
		t.Errorf("still %v after a minute without loss", p.delay)
	}
}

// TestPlayoutOnShortPaths: a player that is sent repair packets, or could be, is told
// on short paths, too, what others do by themselves.
func TestPlayoutOnShortPaths(t *testing.T) {
	for alone, want := range map[bool]time.Duration{false: 0, true: playoutAlone} {
		p := playout{alone: alone}
		now := time.Unix(1_700_000_000, 0)
		got := time.Duration(0)
		for range 100 {
			got = p.update(now, bwe.Estimate{Loss: 0.02, RTT: 40 * time.Millisecond}, 0)
			now = now.Add(steerEvery)
		}
		if got != want {
			t.Errorf("alone %v: %v, want %v", alone, got, want)
		}
	}
}

// TestPlayoutExtension reads what a viewer is told: once a delay was asked for, all
// packets carry it, also when it is over.
func TestPlayoutExtension(t *testing.T) {
	v := newViewer(viewerConfig{playout: 5, clockRate: 90_000})
	if h := v.extend(nil, 100, bwe.Media, time.Time{}); len(h) != 12 {
		t.Errorf("%x before any delay", h)
	}
	v.aim.playout, v.kept = 400*time.Millisecond, 400*time.Millisecond
	for _, c := range []struct {
		least time.Duration
		want  [4]byte // RFC 8285, Section 4.2: id and length less one, then 12 bits each
	}{
		{400 * time.Millisecond, [4]byte{5<<4 | 2, 0x02, 0x83, 0xe8}},
		{0, [4]byte{5<<4 | 2, 0x00, 0x03, 0xe8}},
		{10 * time.Second, [4]byte{5<<4 | 2, 0x3e, 0x83, 0xe8}},
	} {
		v.aim.playout = c.least
		h := v.extend(nil, 100, bwe.Media, time.Time{})
		if len(h) != 20 || [4]byte(h[16:]) != c.want {
			t.Errorf("%v: header %x, want it to end with %x", c.least, h, c.want)
		}
	}
}

func TestResends(t *testing.T) {
	const rtt = 100 * time.Millisecond
	var r resends
	now := time.Unix(1_700_000_000, 0)
	if r.recently(7, rtt, now) {
		t.Error("nothing was sent again yet")
	}
	r.note(7, now)
	for _, c := range []struct {
		seq   uint16
		after time.Duration
		want  bool
	}{
		{7, 50 * time.Millisecond, true},
		{7, rtt, false},
		{8, 50 * time.Millisecond, false},
		{7 + resentKept, 50 * time.Millisecond, false},
	} {
		if got := r.recently(c.seq, rtt, now.Add(c.after)); got != c.want {
			t.Errorf("%d after %v: %v", c.seq, c.after, got)
		}
	}
}
