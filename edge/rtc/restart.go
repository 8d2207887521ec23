package rtc

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A client restarts ICE when its network changes. Each takes a new agent's work.
const (
	iceRestartRate  = 0.2
	iceRestartBurst = 5
)

// Restart begins a new ICE session with new credentials of the client, over
// which media goes on: RFC 8445, Section 2.4. It returns the new answer, whose
// credentials and candidates the client needs.
func (s *Session) Restart(ctx context.Context, ufrag, pwd string) (answer string, err error) {
	s.negotiation.Lock()
	defer s.negotiation.Unlock()
	if s.ctx.Err() != nil {
		return "", ErrClosed
	}
	if err := s.allowRestart(time.Now()); err != nil {
		return "", err
	}
	if answer, err = s.conn.restart(ctx, ufrag, pwd); err != nil {
		return "", err
	}
	s.mu.Lock()
	s.etag = newETag()
	s.mu.Unlock()
	return answer, nil
}

// allowRestart says why ICE may not be restarted now, nil if it may.
func (s *Session) allowRestart(now time.Time) error {
	if !s.isConnected() {
		return errors.New("the first ICE session is not complete")
	}
	if !s.iceRestarts.Take(now) {
		s.edge.metrics.skipped[skipICERestart].Inc()
		return fmt.Errorf("%w: ICE restarts", ErrTooMany)
	}
	return nil
}
