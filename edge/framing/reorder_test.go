package framing

import (
	"slices"
	"testing"
	"time"
)

// story pushes packets at given milliseconds and notes what comes out.
type story struct {
	t    *testing.T
	r    *Reorder
	got  []uint16
	lost int
}

func newStory(t *testing.T, cfg ReorderConfig) *story {
	t.Helper()
	r, err := NewReorder(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &story{t: t, r: r}
}

func at(ms int) time.Time { return testTime.Add(time.Duration(ms) * time.Millisecond) }

func (s *story) push(ms int, seqs ...uint16) *story {
	s.t.Helper()
	for _, seq := range seqs {
		s.r.Push(Packet{Seq: seq, Arrival: at(ms), Payload: []byte{byte(seq)}})
		s.wait(ms)
	}
	return s
}

func (s *story) wait(ms int) *story {
	s.t.Helper()
	for p, ok := s.r.Pop(at(ms)); ok; p, ok = s.r.Pop(at(ms)) {
		if p.Payload[0] != byte(p.Seq) {
			s.t.Fatalf("packet %d has the payload of another", p.Seq)
		}
		s.got = append(s.got, p.Seq)
		s.lost += p.Lost
	}
	return s
}

func (s *story) want(lost int, seqs ...uint16) {
	s.t.Helper()
	if !slices.Equal(s.got, seqs) || s.lost != lost {
		s.t.Errorf("got %v and %d lost, want %v and %d", s.got, s.lost, seqs, lost)
	}
	s.got, s.lost = nil, 0
}

func TestReorder(t *testing.T) {
	cfg := ReorderConfig{Capacity: 8, MaxWait: 50 * time.Millisecond}

	s := newStory(t, cfg)
	s.push(0, 65534, 65535, 0, 1).want(0, 65534, 65535, 0, 1)
	s.push(1, 4, 3).want(0)
	s.push(2, 2).want(0, 2, 3, 4)
	s.push(3, 4, 2, 65535).want(0) // duplicates

	s.push(10, 6, 8, 6).want(0)
	if d, ok := s.r.Deadline(); !ok || !d.Equal(at(60)) {
		t.Errorf("deadline %v %v, want 60 ms", d.Sub(testTime), ok)
	}
	s.wait(59).want(0)
	s.wait(60).want(2, 6, 8) // 8 arrived with 6: it need not wait longer
	s.push(61, 5, 7).want(0) // too late

	s.push(70, 10, 12, 16) // the window is 9 to 16
	s.want(0)
	s.push(71, 17).want(1, 10) // no room: 9 is given up
	s.push(72, 11).want(0, 11, 12)
	s.wait(200).want(3, 16, 17)

	s.push(210, 5000).want(1, 5000) // another sender
	s.push(211, 5001).want(0, 5001)
	s.push(212, 4000).want(1, 4000)
	s.push(213, 4002).want(0)
	s.push(213, 9000).want(2, 9000)
}

func TestReorderConfig(t *testing.T) {
	for _, capacity := range []int{1, 3, 1000, 1 << 15, -8} {
		if _, err := NewReorder(ReorderConfig{Capacity: capacity}); err == nil {
			t.Errorf("capacity %d was taken", capacity)
		}
	}
}

func TestReorderNoAllocations(t *testing.T) {
	r, err := NewReorder(ReorderConfig{Capacity: 64})
	if err != nil {
		t.Fatal(err)
	}
	payload := make([]byte, 1200)
	seq := uint16(0)
	run := func() {
		for _, d := range []uint16{0, 2, 1, 3} {
			r.Push(Packet{Seq: seq + d, Arrival: testTime, Payload: payload})
			for {
				if _, ok := r.Pop(testTime); !ok {
					break
				}
			}
		}
		seq += 4
	}
	for range 64 {
		run()
	}
	if n := testing.AllocsPerRun(100, run); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzReorder(f *testing.F) {
	f.Add([]byte{0, 1, 2, 5, 3, 4, 200, 6, 7})
	f.Fuzz(func(t *testing.T, steps []byte) {
		r, err := NewReorder(ReorderConfig{Capacity: 16, MaxWait: 10 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		var u Unwrapper[uint16]
		seq, last, begun := uint16(65500), int64(0), false
		for i, step := range steps {
			seq += uint16(int8(step))
			r.Push(Packet{Seq: seq, Arrival: at(i), Payload: steps[:1]})
			for p, ok := r.Pop(at(i)); ok; p, ok = r.Pop(at(i)) {
				n := u.Unwrap(p.Seq)
				if begun && p.Lost == 0 && n != last+1 {
					t.Fatalf("packet %d after %d, and nothing lost", n, last)
				}
				last, begun = n, true
			}
			if r.held > 16 || r.held < 0 {
				t.Fatalf("%d packets held", r.held)
			}
		}
	})
}

func TestLosses(t *testing.T) {
	l := NewLosses(LossesConfig{MaxTries: 2, MaxAge: 300 * time.Millisecond})
	due := func(ms int, want ...uint16) {
		t.Helper()
		if got := l.Due(at(ms), 40*time.Millisecond, nil); !slices.Equal(got, want) {
			t.Errorf("at %d ms due %v, want %v", ms, got, want)
		}
	}
	for i, seq := range []uint16{65533, 65534, 2, 1} {
		if got := l.Received(seq, at(i)); got != (seq == 1) {
			t.Errorf("packet %d: was missing %v", seq, got)
		}
	}
	due(2) // patience
	if next, ok := l.Next(); !ok || !next.Equal(at(7)) {
		t.Errorf("next %v %v, want 7 ms", next.Sub(testTime), ok)
	}
	due(7, 65535, 0)
	due(56)
	due(57, 65535, 0) // a round trip and a quarter later
	if !l.Received(0, at(58)) {
		t.Error("packet 0 was not missing")
	}
	due(106)
	if l.Missing() != 1 {
		t.Errorf("%d missing, want 1", l.Missing())
	}
	due(107) // asked for often enough
	if _, ok := l.Next(); ok || l.Missing() != 0 {
		t.Error("something is still missing")
	}
	if missed, recovered := l.Totals(); missed != 3 || recovered != 2 {
		t.Errorf("missed %d, recovered %d", missed, recovered)
	}

	l.Received(6, at(200))
	l.GiveUp(4)
	due(300, 5)
	due(501) // too old
	if l.Missing() != 0 {
		t.Errorf("%d missing", l.Missing())
	}
	l.Received(5000, at(600))
	due(700) // a pause, not losses
	l = NewLosses(LossesConfig{MaxMissing: 3, Patience: -1})
	l.Received(0, at(0))
	l.Received(3, at(0))
	l.Received(6, at(0))
	due(0, 2, 4, 5) // the oldest was given up
}

// TestLossesRTT: the round trip is what answers take at the least, also those to
// packets that were given up, and not what packets take that were only late.
func TestLossesRTT(t *testing.T) {
	l := NewLosses(LossesConfig{MaxAge: 250 * time.Millisecond, Patience: -1})
	want := func(what string, ms int) {
		t.Helper()
		if got, ok := l.RTT(); got != time.Duration(ms)*time.Millisecond || ok != (ms > 0) {
			t.Errorf("%s: round trip of %v, %v; want %d ms", what, got, ok, ms)
		}
	}
	seq, now := uint16(65530), 0
	// lose has a packet missing that comes after so long, and asked for every 60 ms.
	lose := func(ms int, answer bool) {
		l.Received(seq, at(now))
		l.Received(seq+2, at(now))
		for i := range ms {
			l.Due(at(now+i), 48*time.Millisecond, nil)
		}
		if answer {
			l.Answered(seq+1, at(now+ms))
		}
		l.Received(seq+1, at(now+ms))
		seq, now = seq+3, now+1000
	}
	l.Answered(5, at(0)) // to nothing
	lose(20, false)
	want("a packet that was late", 0)
	lose(400, true)
	want("an answer to what was given up", 400)
	lose(300, true)
	lose(340, true)
	want("two more", 300)
	lose(20, false)
	want("another late packet", 300)
	for range answersKept {
		lose(120, true)
	}
	want("a shorter path", 120)
	l.Received(seq, at(now))
	l.Received(seq+2, at(now))
	l.GiveUp(seq + 1) // before it was asked for
	l.Answered(seq+1, at(now+1))
	want("an answer to what was not asked for", 120)
}

func TestUnwrapper(t *testing.T) {
	var u Unwrapper[uint16]
	for _, step := range []struct {
		in   uint16
		want int64
	}{{10, 10}, {5, 5}, {0, 0}, {65535, -1}, {1, 1}, {30000, 30000}, {60000, 60000}, {20000, 85536}, {60000, 60000}, {60001, 60001}} {
		if got := u.Unwrap(step.in); got != step.want {
			t.Errorf("%d unwraps to %d, want %d", step.in, got, step.want)
		}
	}
	var v Unwrapper[uint32]
	v.Unwrap(1<<32 - 1)
	if got := v.Unwrap(2); got != 1<<32+2 {
		t.Errorf("got %d", got)
	}
}
