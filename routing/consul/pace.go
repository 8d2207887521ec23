package consul

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// Times between requests.
const (
	// minGap is the least time from one query to the next of the same kind, however
	// often the catalog changes.
	minGap = time.Second
	// minBackoff doubles with each failure in a row up to maxBackoff, which bounds
	// how late we notice that Consul is back.
	minBackoff = time.Second
	maxBackoff = 15 * time.Second
)

// pace says how long to wait. Its random numbers keep a thousand nodes from
// asking at once. It is safe for concurrent use.
type pace struct {
	mu  sync.Mutex
	rnd *rand.Rand
}

func newPace(rnd *rand.Rand) *pace { return &pace{rnd: rnd} }

// spread returns d times 0.75 to 1.25.
func (p *pace) spread(d time.Duration) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Duration(float64(d) * (0.75 + p.rnd.Float64()/2))
}

// backoff is the wait after so many failures in a row, at least one.
func backoff(failures int) time.Duration {
	return min(minBackoff<<min(failures-1, 10), maxBackoff)
}

// gap is the wait before the next query, when the last took so long.
func gap(took time.Duration) time.Duration { return max(0, minGap-took) }

// nextIndex is what the next blocking query waits for, after one for asked was
// answered with got.
func nextIndex(asked, got uint64) uint64 {
	switch {
	case got < asked:
		return 0 // Consul began anew: waiting for the old index would last for ever
	case got == 0:
		return 1 // 0 would not block
	default:
		return got
	}
}

// pause waits, or ends with ctx.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
