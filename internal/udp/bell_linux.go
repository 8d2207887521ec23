package udp

import (
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// bell rings when something has come for a socket, and only then. Go's poller asks of each
// socket that it knows whether it can be written to as well, and then the kernel wakes it
// with each packet that has left (sock_wfree): whoever sends wakes a thread of its own process for
// nothing. So the poller does not know the socket, but an epoll(7) instance that looks for
// what has come.
type bell struct {
	file *os.File // the instance, which Go's poller knows
	raw  syscall.RawConn
}

// newBell returns the bell of a socket, which is open for as long as it is used.
func newBell(socket int) (*bell, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	in := unix.EpollEvent{Events: unix.EPOLLIN}
	if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, socket, &in); err != nil {
		_ = unix.Close(epoll)
		return nil, os.NewSyscallError("epoll_ctl", err)
	}
	// What does not block is for Go's poller: os.NewFile.
	if err := unix.SetNonblock(epoll, true); err != nil {
		_ = unix.Close(epoll)
		return nil, os.NewSyscallError("fcntl", err)
	}
	b := &bell{file: os.NewFile(uintptr(epoll), "bell")}
	if b.raw, err = b.file.SyscallConn(); err == nil {
		err = b.file.SetReadDeadline(time.Time{}) // an error where it is not in the poller
	}
	if err != nil {
		_ = b.file.Close()
		return nil, fmt.Errorf("bell of a socket: %w", err)
	}
	return b, nil
}

// wait calls try until that is done, and sleeps between until something has come.
func (b *bell) wait(try func(uintptr) (done bool)) error { return b.raw.Read(try) }

// receiver makes calls that read from a socket and return at once. Its function values are
// made once, so that a call allocates nothing.
type receiver struct {
	conn *Conn
	call func(fd uintptr)        // one, or another where a signal came between
	try  func(uintptr) (is bool) // the call, for the bell

	// Of the call being made.
	n    int
	err  error
	done bool // false where nothing has come
}

func (r *receiver) init(c *Conn, recv func(fd uintptr) (uintptr, unix.Errno)) {
	r.conn = c
	r.call = func(fd uintptr) {
		for {
			n, errno := recv(fd)
			if errno == unix.EINTR {
				continue
			}
			r.n, r.err, r.done = int(n), errnoOf(errno), errno != unix.EAGAIN
			return
		}
	}
	r.try = func(uintptr) bool {
		if err := c.socket(r.call); err != nil {
			r.err, r.done = err, true
		}
		return r.done
	}
}

// receive waits until a call has read something, or fails.
func (r *receiver) receive() (n int, err error) {
	if err := r.conn.bell.wait(r.try); err != nil {
		return 0, err
	}
	return r.n, r.err
}
