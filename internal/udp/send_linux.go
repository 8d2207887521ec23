package udp

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Sender makes the calls of one goroutine that write to a Conn. Its function value is made
// once, so that a call allocates nothing. Make it with Conn.NewSender.
type Sender struct {
	conn *Conn
	call func(fd uintptr)
	own  Addr // of those who have none

	// Of the call being made.
	msg unix.Msghdr
	iov unix.Iovec
	err error
}

// NewSender returns a Sender that never waits: what the kernel has no room for is
// an error.
func (c *Conn) NewSender() *Sender {
	s := &Sender{conn: c}
	s.msg.Iov = &s.iov
	s.msg.SetIovlen(1)
	s.call = func(fd uintptr) {
		for {
			_, _, errno := unix.RawSyscall(unix.SYS_SENDMSG, fd, uintptr(unsafe.Pointer(&s.msg)), unix.MSG_DONTWAIT)
			if errno != unix.EINTR {
				s.err = errnoOf(errno)
				return
			}
		}
	}
	return s
}

// Send writes one packet.
func (s *Sender) Send(to *Addr, p []byte) error { return s.do(to, p, nil) }

func (s *Sender) do(to *Addr, p, oob []byte) error {
	s.msg.Name, s.msg.Namelen = (*byte)(unsafe.Pointer(&to.raw)), to.size
	s.iov.Base = unsafe.SliceData(p)
	s.iov.SetLen(len(p))
	s.msg.Control = nil
	if len(oob) > 0 {
		s.msg.Control = unsafe.SliceData(oob)
	}
	s.msg.SetControllen(len(oob))
	err := s.conn.socket(s.call)
	if err == nil {
		err = s.err
	}
	s.msg.Name, s.msg.Control, s.iov.Base, s.err = nil, nil, nil, nil
	return err
}
