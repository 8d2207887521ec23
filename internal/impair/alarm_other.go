//go:build !linux

package impair

import "time"

// alarm wakes one goroutine at a time that can be changed.
type alarm struct {
	timer *time.Timer
	done  chan struct{}
}

func newAlarm() (*alarm, error) {
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	return &alarm{timer: timer, done: make(chan struct{})}, nil
}

// set makes wait return at that time, instead of at the one set before.
func (a *alarm) set(at time.Time) { a.timer.Reset(time.Until(at)) }

// wait blocks until the time that was set, and returns false once closed.
func (a *alarm) wait() bool {
	select {
	case <-a.timer.C:
		return true
	case <-a.done:
		return false
	}
}

// close ends wait.
func (a *alarm) close() { close(a.done) }
