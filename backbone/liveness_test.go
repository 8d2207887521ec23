package backbone

import (
	"testing"
	"time"
)

// lifeStory drives a liveness as a link's watch does, in virtual time of its own.
type lifeStory struct {
	t       *testing.T
	now     time.Time
	began   time.Time
	live    liveness
	lim     limits
	idle    bool
	lag     time.Duration // of the one who looks
	next    time.Time
	packets uint64
	rtt     time.Duration
	looks   int
	suspect time.Duration // when first thought, since began
	down    time.Duration
	deaf    bool
}

const msec = time.Millisecond

func newLifeStory(t *testing.T, theirs, ours time.Duration) *lifeStory {
	t.Helper()
	s := &lifeStory{t: t, now: time.Unix(1000, 0), idle: theirs >= probePeriodIdle}
	s.began, s.live, s.next = s.now, newLiveness(s.now), s.now
	s.lim = limitsOf(20*msec, 2*msec, 0, theirs, ours)
	return s
}

// run lets time pass. Each millisecond step is told, and may make something come.
func (s *lifeStory) run(d time.Duration, step func(at time.Duration)) {
	for end := s.now.Add(d); s.now.Before(end); s.now = s.now.Add(msec) {
		at := s.now.Sub(s.began)
		step(at)
		if s.now.Before(s.next.Add(s.lag)) || s.down > 0 {
			continue
		}
		s.looks++
		s.live.look(s.now, s.packets, s.rtt, s.idle)
		is, _, deaf, next := s.live.judge(s.now, s.lim)
		s.next = next
		switch {
		case is == lifeSuspect && s.suspect == 0:
			s.suspect, s.deaf = at, deaf
		case is == lifeAlive:
			s.suspect = 0
		case is == lifeDown:
			s.down, s.deaf = at, deaf
		}
	}
}

func (s *lifeStory) want(what string, got, least, most time.Duration) {
	s.t.Helper()
	if got < least || got > most {
		s.t.Errorf("%s after %v, want %v to %v", what, got, least, most)
	}
}

// TestSilence: media comes every 33 ms and probes every 100 ms, until nothing does.
func TestSilence(t *testing.T) {
	s := newLifeStory(t, probePeriodMedia, probePeriodMedia)
	const cut = 5010 * msec
	s.run(7*time.Second, func(at time.Duration) {
		if at >= cut {
			return
		}
		if at%(33*msec) == 0 || at%(100*msec) == 0 {
			s.packets++
			s.live.hear(s.now) // media and probes are stamped
		}
		if at%(100*msec) == 0 {
			s.live.answer(s.now)
		}
	})
	s.want("suspect", s.suspect-cut, 175*msec, 230*msec)
	s.want("down", s.down-cut, 475*msec, 560*msec)
	if s.deaf {
		t.Error("the peer is silent, not deaf")
	}
}

// TestAcknowledgementsAreLife: a parent hears nothing but acknowledgements, which
// nobody stamps, while probes are lost.
func TestAcknowledgementsAreLife(t *testing.T) {
	s := newLifeStory(t, probePeriodMedia, probePeriodMedia)
	s.run(20*time.Second, func(at time.Duration) {
		if at%(40*msec) == 0 {
			s.packets++
			s.rtt = 20*msec + time.Duration(s.packets%7)
		}
	})
	if s.suspect > 0 || s.down > 0 {
		t.Errorf("suspect after %v, down after %v", s.suspect, s.down)
	}
}

// TestDeaf: the peer is heard but does not hear us. That is known within a second.
func TestDeaf(t *testing.T) {
	s := newLifeStory(t, probePeriodMedia, probePeriodMedia)
	const cut = 5010 * msec
	s.run(7*time.Second, func(at time.Duration) {
		if at%(33*msec) == 0 {
			s.packets++
			s.live.hear(s.now)
		}
		if at < cut+10*msec && at%(100*msec) == 0 { // what was under way is still answered
			s.live.answer(s.now)
			s.rtt = 20*msec + at%13
		}
	})
	if !s.deaf {
		t.Error("the peer is deaf, not silent")
	}
	s.want("suspect", s.suspect-cut, 350*msec, 550*msec)
	s.want("down", s.down-cut, 650*msec, 900*msec)
}

// TestIdleIsCheap: a link on which nothing but a probe each second passes is
// looked at seldom, and a lost probe is nothing.
func TestIdleIsCheap(t *testing.T) {
	s := newLifeStory(t, probePeriodIdle, probePeriodIdle)
	s.run(60*time.Second, func(at time.Duration) {
		if at%time.Second == 0 && at%(7*time.Second) != 0 {
			s.packets++
			s.live.hear(s.now)
			s.live.answer(s.now)
		}
		if at%time.Second == 500*msec { // our own are acknowledged
			s.packets++
			s.rtt = 20*msec + at%13
		}
	})
	if s.suspect > 0 || s.down > 0 {
		t.Errorf("suspect after %v, down after %v", s.suspect, s.down)
	}
	if s.looks > 60*3 {
		t.Errorf("%d looks in a minute", s.looks)
	}
}

// TestBusyNode: timers fire 150 ms late, and packets are as late through our own
// process as well. Nothing is down.
func TestBusyNode(t *testing.T) {
	s := newLifeStory(t, probePeriodMedia, probePeriodMedia)
	s.lag = 150 * msec
	s.lim = limitsOf(20*msec, 2*msec, s.lag, probePeriodMedia+150*msec, probePeriodMedia+150*msec)
	s.run(20*time.Second, func(at time.Duration) {
		if at%(550*msec) == 0 { // probes pile up on both sides
			s.packets += 5
			s.live.hear(s.now)
			s.live.answer(s.now)
		}
	})
	if s.down > 0 {
		t.Errorf("down after %v", s.down)
	}
}

func TestLimits(t *testing.T) {
	lim := limitsOf(20*msec, 2*msec, 0, 100*msec, 100*msec)
	if lim.suspect != 200*msec || lim.down != 500*msec || lim.deafDown > 800*msec || lim.deafDown <= lim.down {
		t.Errorf("%+v", lim)
	}
	// A peer that says that it is busy is given the time that it asks for.
	if busy := limitsOf(20*msec, 2*msec, 0, 400*msec, 100*msec); busy.down != lim.down+300*msec {
		t.Errorf("%+v", busy)
	}
}
