package allowance

import (
	"testing"
	"time"
)

// start is some time.
var start = time.Unix(1_700_000_000, 0)

// TestTake: a burst, then what has come back since, and never more than a burst.
func TestTake(t *testing.T) {
	b := New(10, 20)
	for _, c := range []struct {
		at   time.Duration
		want int
	}{
		{0, 20},
		{50 * time.Millisecond, 0},
		{100 * time.Millisecond, 1},
		{time.Second, 9},
		{500 * time.Millisecond, 0}, // from a clock that was read before
		{1100 * time.Millisecond, 1},
		{time.Hour, 20},
	} {
		got := 0
		for range 100 {
			if b.Take(start.Add(c.at)) {
				got++
			}
		}
		if got != c.want {
			t.Errorf("after %v: %d tokens, want %d", c.at, got, c.want)
		}
	}
}

// TestTakeN: all or nothing.
func TestTakeN(t *testing.T) {
	b := New(1, 10)
	for _, c := range []struct {
		n    int
		want bool
	}{{11, false}, {7, true}, {4, false}, {3, true}, {1, false}, {0, true}} {
		if has, got := b.Has(start, c.n), b.TakeN(start, c.n); got != c.want || has != c.want {
			t.Errorf("%d tokens: has %v, took %v, want %v", c.n, has, got, c.want)
		}
	}
}

func TestZero(t *testing.T) {
	var b Bucket
	if b.Take(start) || b.Take(start.Add(time.Hour)) {
		t.Error("a Bucket that nobody made has a token")
	}
}

func BenchmarkTake(b *testing.B) {
	bucket, now := New(1000, 2000), start
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(time.Millisecond)
		if !bucket.Take(now) {
			b.Fatal("there is one each millisecond")
		}
	}
}
