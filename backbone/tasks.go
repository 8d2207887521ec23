package backbone

import (
	"context"
	"sync"
)

// tasks are the goroutines of a link that come and go: groups being received
// and sent, subscriptions being served. Whoever ends the link waits for them.
type tasks struct {
	ctx context.Context // what tasks are started with; set once

	mu     sync.Mutex
	closed bool
	wg     sync.WaitGroup
}

// start runs f on a goroutine of its own. False: the link has ended.
func (t *tasks) start(f func(context.Context)) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	t.wg.Go(func() { f(t.ctx) })
	return true
}

// wait lets no more tasks start and returns when all have ended.
func (t *tasks) wait() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.wg.Wait()
}
