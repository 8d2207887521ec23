package impair

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestQueueOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		delays := rapid.SliceOf(rapid.IntRange(0, 5)).Draw(t, "delays")
		var q Queue[int]
		for i, d := range delays {
			at := t0.Add(time.Duration(d) * ms)
			next, some := q.Next()
			if first := q.Push(at, i); first != (!some || at.Before(next)) {
				t.Fatalf("Push of %v says first=%v, before it the first was %v", at, first, next)
			}
		}
		want := make([]int, len(delays))
		for i := range want {
			want[i] = i
		}
		slices.SortStableFunc(want, func(a, b int) int { return delays[a] - delays[b] })
		var got []int
		for d := range 6 {
			for {
				i, ok := q.Pop(t0.Add(time.Duration(d) * ms))
				if !ok {
					break
				}
				if delays[i] != d {
					t.Fatalf("value due at %d ms came at %d ms", delays[i], d)
				}
				got = append(got, i)
			}
		}
		if !slices.Equal(got, want) || q.Len() != 0 {
			t.Fatalf("got %v, want %v; %d left", got, want, q.Len())
		}
	})
}

func BenchmarkQueue(b *testing.B) {
	var q Queue[int]
	for i := range 1000 {
		q.Push(t0.Add(time.Duration(i)), i)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		q.Push(t0.Add(time.Duration(1000+i)), i)
		q.Pop(t0.Add(time.Hour))
	}
}
