package rtc

import "sync"

// tasks are the goroutines of a session that callbacks start. Once the
// session is over no more can begin, and it can wait for those that did.
type tasks struct {
	mu   sync.Mutex
	over bool
	wg   sync.WaitGroup
}

// run calls f on its own goroutine, or not at all if the session is over.
func (t *tasks) run(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.over {
		t.wg.Go(f)
	}
}

// finish lets no more begin and waits for the others.
func (t *tasks) finish() {
	t.mu.Lock()
	t.over = true
	t.mu.Unlock()
	t.wg.Wait()
}
