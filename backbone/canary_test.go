package backbone

import (
	"testing"
	"time"
)

// TestHostWord: a host says that nobody listens. If nothing comes of the peer
// within the time that an answer takes, it is suspect, and with a second word
// down; if something comes, the word is wrong, and after three no longer heard.
func TestHostWord(t *testing.T) {
	s := newLifeStory(t, probePeriodMedia, probePeriodMedia)
	const cut = 5010 * msec
	s.run(6*time.Second, func(at time.Duration) {
		if at < cut && at%(33*msec) == 0 {
			s.packets++
			s.live.hear(s.now)
			s.live.answer(s.now)
		}
		if at > cut && at%(100*msec) == 0 {
			s.live.look(s.now, s.packets, s.rtt, s.idle)
			s.live.host.say(s.now)
			s.next = s.now.Add(fineLook)
		}
	})
	s.want("suspect", s.suspect-cut, 90*msec+s.lim.grace, 120*msec+s.lim.grace)
	s.want("down", s.down-cut, 90*msec+2*s.lim.grace, 140*msec+2*s.lim.grace)
	if s.down-cut > 350*msec {
		t.Errorf("down after %v: silence alone takes little longer", s.down-cut)
	}

	s = newLifeStory(t, probePeriodIdle, probePeriodIdle)
	s.run(60*time.Second, func(at time.Duration) {
		if at%time.Second == 0 { // a probe each second; the canary is refused, though the peer lives
			s.live.look(s.now, s.packets, s.rtt, s.idle)
			s.live.host.say(s.now)
			s.next = s.now.Add(fineLook)
		}
		if at%time.Second == 40*msec { // the answer
			s.packets++
			s.rtt = 20*msec + at%13
			s.live.hear(s.now)
			s.live.answer(s.now)
		}
	})
	if s.down > 0 || s.suspect > 0 {
		t.Errorf("suspect after %v, down after %v", s.suspect, s.down)
	}
	if s.live.host.disproved != maxDisproved || s.live.host.pending() {
		t.Errorf("%+v: the host is still listened to", s.live.host)
	}
}
