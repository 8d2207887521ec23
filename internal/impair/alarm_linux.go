package impair

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// alarm wakes one goroutine at a time that can be changed. It is a timer of the
// kernel's that the runtime's poller waits for: a time.Timer is late by up to a
// millisecond in an idle process, because the poller sleeps in whole ones.
type alarm struct {
	file *os.File
	fd   int
}

func newAlarm() (*alarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	return &alarm{file: os.NewFile(uintptr(fd), "timer"), fd: fd}, nil
}

// set makes wait return at that time, instead of at the one set before. It must
// not be called after close.
func (a *alarm) set(at time.Time) {
	// A value of zero would disarm the timer.
	value := unix.NsecToTimespec(int64(max(time.Until(at), 1)))
	if err := unix.TimerfdSettime(a.fd, 0, &unix.ItimerSpec{Value: value}, nil); err != nil {
		panic("impair: " + err.Error()) // a bad descriptor or value: ours
	}
}

// wait blocks until the time that was set, and returns false once closed.
func (a *alarm) wait() bool {
	var expirations [8]byte
	_, err := a.file.Read(expirations[:])
	return err == nil
}

// close ends wait.
func (a *alarm) close() { _ = a.file.Close() } // closed once, under the proxy's lock
