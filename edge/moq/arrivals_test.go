package moq

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Groups that come in out of order begin in order; a missing one holds up its
// successor for reorderWait and no more.
func TestArrivalsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := arrivals{news: make(chan struct{}, 1)}
		start := time.Now()
		var mu sync.Mutex
		var order []uint64
		var late []time.Duration
		var tasks sync.WaitGroup
		come := func(seq uint64, after time.Duration) {
			tasks.Go(func() {
				time.Sleep(after)
				a.begin()
				a.awaitTurn(t.Context(), seq)
				mu.Lock()
				order = append(order, seq)
				late = append(late, time.Since(start)-after)
				mu.Unlock()
				a.passed(seq)
				a.done()
			})
		}
		come(10, 0)
		// A burst, the wrong way round.
		come(13, 100*time.Millisecond)
		come(12, 101*time.Millisecond)
		come(11, 102*time.Millisecond)
		// 14 is missing, and 9 is older than what there is.
		come(15, 200*time.Millisecond)
		come(9, 300*time.Millisecond)
		come(16, 301*time.Millisecond)
		tasks.Wait()
		if diff := cmp.Diff([]uint64{10, 11, 12, 13, 15, 9, 16}, order); diff != "" {
			t.Errorf("order (-want +got):\n%s", diff)
		}
		want := []time.Duration{0, 0, time.Millisecond, 2 * time.Millisecond, reorderWait, 0, 0}
		if diff := cmp.Diff(want, late); diff != "" {
			t.Errorf("delays (-want +got):\n%s", diff)
		}
	})
}

func TestArrivalsComplete(t *testing.T) {
	a := arrivals{news: make(chan struct{}, 1)}
	a.expect(7)
	for range 2 {
		a.begin()
	}
	a.skip(1)
	a.end(10)
	if a.complete() {
		t.Error("complete while groups are coming in")
	}
	a.done()
	a.done()
	if !a.complete() {
		t.Error("not complete with all groups from 7 to 9")
	}
}
