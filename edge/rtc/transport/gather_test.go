package transport

import "testing"

// TestGather: bursts are waited for; a publisher that paces its packets is asked now and
// then whether it still does.
func TestGather(t *testing.T) {
	waits := func(burst bool) (n int) {
		var g gather
		for i := range 10_000 {
			g.more = i%9 != 8
			if g.expects() {
				n++
				g.found(burst)
			}
			if g.expects() {
				t.Fatal("the same packet is asked about twice")
			}
		}
		return n
	}
	if n := waits(true); n < 8800 {
		t.Errorf("%d packets of bursts are waited for", n)
	}
	if n := waits(false); n > 10_000/gatherDoubt {
		t.Errorf("%d packets that come one by one are waited for", n)
	}
}
