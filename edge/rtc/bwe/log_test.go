package bwe

import (
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestLogKeepsWhatWasAdded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := NewLog(epoch)
		type sent struct {
			at   time.Duration
			size int
			kind Kind
		}
		var all []sent
		now := time.Duration(rapid.Int64Range(0, int64(60*24*time.Hour)).Draw(t, "start")).Truncate(time.Microsecond)
		before := rapid.SampledFrom([]uint64{0, 1, 65_530, 65_536 * 7}).Draw(t, "before")
		l.next.Store(before)
		for range rapid.IntRange(0, 2*LogEntries).Draw(t, "packets") {
			s := sent{at: now, size: 1 + len(all)%MaxPacket, kind: Kind(len(all))}
			if seq := l.Add(epoch.Add(now), s.size, s.kind); seq != uint16(before+uint64(len(all))) {
				t.Fatalf("packet %d got number %d", len(all), seq)
			}
			all = append(all, s)
			now += 300 * time.Microsecond
		}
		for i, s := range all {
			index := before + uint64(i)
			r, ok := l.Result(epoch.Add(now), uint16(index), true, 0)
			if want := len(all)-i <= LogEntries; ok != want {
				t.Fatalf("packet %d of %d is known: %v, want %v", i, len(all), ok, want)
			}
			if ok && (r.Seq != index || r.Sent != s.at || int(r.Size) != s.size || r.Kind != s.kind) {
				t.Fatalf("packet %d is %+v, want %+v", i, r, s)
			}
		}
		if _, ok := l.Result(epoch.Add(now), uint16(before+uint64(len(all))), true, 0); ok {
			t.Fatal("a packet that was not sent is known")
		}
	})
}

func TestLogSizes(t *testing.T) {
	l := NewLog(epoch)
	for _, c := range []struct{ size, want int }{{-1, 1}, {0, 1}, {1, 1}, {1500, 1500}, {2047, 2047}, {9000, 2047}} {
		seq := l.Add(epoch, c.size, Media)
		if r, ok := l.Result(epoch, seq, false, 0); !ok || int(r.Size) != c.want {
			t.Errorf("size %d is remembered as %d, want %d", c.size, r.Size, c.want)
		}
	}
}

// TestLogLanes has lanes that send at once, and feedback read beside them: each
// packet has a number of its own, and what is found under it is that packet.
func TestLogLanes(t *testing.T) {
	const lanes, each = 4, 20_000
	l := NewLog(epoch)
	var writers, reader sync.WaitGroup
	seqs := make([][]uint16, lanes)
	stop := make(chan struct{})
	for lane := range lanes {
		writers.Go(func() {
			for i := range each {
				// The size tells the lane.
				seqs[lane] = append(seqs[lane], l.Add(epoch.Add(time.Duration(i)*time.Microsecond), 1000+lane, Kind(lane)))
			}
		})
	}
	reader.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			next := l.Next()
			for back := range uint64(64) {
				r, ok := l.Result(epoch.Add(time.Second), uint16(next-back), true, 0)
				if ok && int(r.Size) != 1000+int(r.Kind) {
					t.Errorf("packet %d has size %d and kind %d", r.Seq, r.Size, r.Kind)
					return
				}
			}
		}
	})
	writers.Wait()
	close(stop)
	reader.Wait()
	got := make(map[uint16]int)
	for _, s := range seqs {
		for _, seq := range s {
			got[seq]++
		}
	}
	if l.Next() != lanes*each || len(got) != min(65_536, lanes*each) {
		t.Errorf("%d packets have %d numbers, and the log counts %d", lanes*each, len(got), l.Next())
	}
}

func BenchmarkLogAdd(b *testing.B) {
	l := NewLog(epoch)
	now := epoch
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(time.Millisecond)
		l.Add(now, 1200, Media)
	}
}
