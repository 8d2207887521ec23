package relay

import (
	"errors"
	"fmt"
	"io"
	"testing"
)

// fanout writes groups of 60 objects of 1200 bytes to readers that take each
// object as it comes.
type fanout struct {
	track   *Track
	subs    []*Subscription
	readers []*GroupReader
	payload []byte
	group   *Group
	seq     uint64
	object  uint64
}

func newFanout(tb testing.TB, readers int) *fanout {
	tb.Helper()
	tbl := newTable(tb, Config{})
	b, _ := announce(tb, tbl, "room/a", 1)
	f := &fanout{track: pushTrack(tb, b, "video"), payload: make([]byte, 1200), readers: make([]*GroupReader, readers)}
	for range readers {
		f.subs = append(f.subs, subscribe(tb, tbl, "room/a", "video", SubscribeOptions{}))
	}
	return f
}

func (f *fanout) step(tb testing.TB) {
	tb.Helper()
	if f.group == nil || f.object == 60 {
		if f.group != nil {
			f.group.Close()
		}
		f.group, f.object = beginGroup(tb, f.track, f.seq), 0
		f.seq++
	}
	if err := f.group.Write(f.object, ObjectHeader{}, f.payload); err != nil {
		tb.Fatal(err)
	}
	f.object++
	for i, s := range f.subs {
		for got := false; !got; {
			if f.readers[i] == nil {
				r, err := s.TryNextGroup()
				if r == nil || err != nil {
					tb.Fatal("no group", err)
				}
				f.readers[i] = r
			}
			_, ok, err := f.readers[i].TryNext()
			switch {
			case errors.Is(err, io.EOF):
				f.readers[i].Close()
				f.readers[i] = nil
			case err != nil || !ok:
				tb.Fatal("no object", err)
			default:
				got = true
			}
		}
		select {
		case <-f.readers[i].Ready(): // goes to sleep, as a real reader does
			tb.Fatal("ready although nothing was written")
		default:
		}
	}
}

// Objects cost no allocation per reader; the log itself costs one segment in
// 64 chunks and one group in 60 objects, whatever the number of readers.
func TestFanoutAllocations(t *testing.T) {
	if raceEnabled {
		t.Log("not measured under the race detector, which allocates")
		return
	}
	for _, readers := range []int{1, 10, 1000} {
		f := newFanout(t, readers)
		for range 200 {
			f.step(t)
		}
		if got := testing.AllocsPerRun(600, func() { f.step(t) }); got != 0 {
			t.Errorf("%d readers: %v allocations per object, want 0", readers, got)
		}
	}
}

func BenchmarkFanout(b *testing.B) {
	for _, readers := range []int{1, 10, 1000} {
		b.Run(fmt.Sprintf("readers=%d", readers), func(b *testing.B) {
			f := newFanout(b, readers)
			b.ReportAllocs()
			b.SetBytes(int64(len(f.payload) * readers))
			for b.Loop() {
				f.step(b)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*readers), "ns/object/reader")
		})
	}
}
