package rtc

import "fmt"

// ErrDrained is why sessions end that are still there when a node's time to drain
// is over.
var ErrDrained = fmt.Errorf("the node has been drained: %w", ErrClosed)

// EndAll ends all sessions with the cause, and returns how many there were. It
// does not wait for their end, and new ones may come.
func (e *Edge) EndAll(cause error) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range e.sessions {
		s.End(cause)
	}
	return len(e.sessions)
}
