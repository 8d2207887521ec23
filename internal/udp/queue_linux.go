package udp

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// MaxQueued is how many messages a Queue holds.
const MaxQueued = 32

// Queue holds messages of one goroutine until they leave in one call, to whomever they are:
// entering the kernel is a quarter of what a small packet costs. It allocates nothing.
// Make it with Conn.NewQueue.
type Queue struct {
	conn *Conn
	call func(fd uintptr)
	n    int // messages
	next int // the first that has not been sent

	err error // of the call being made

	msgs     [MaxQueued]mmsghdr
	iovs     [MaxQueued]unix.Iovec
	controls [MaxQueued]segmentControl
}

// segmentControl is the control message that has the kernel cut what is sent into packets
// of a size: udp(7).
type segmentControl struct {
	hdr  unix.Cmsghdr
	size uint16
	_    [6]byte // CMSG_SPACE
}

// NewQueue returns an empty Queue.
func (c *Conn) NewQueue() *Queue {
	q := &Queue{conn: c}
	for i := range q.msgs {
		h := &q.msgs[i].hdr
		h.Iov = &q.iovs[i]
		h.SetIovlen(1)
		c := &q.controls[i].hdr
		c.Level, c.Type = unix.SOL_UDP, unix.UDP_SEGMENT
		c.SetLen(unix.CmsgLen(2))
	}
	q.call = func(fd uintptr) {
		for {
			n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&q.msgs[q.next])),
				uintptr(q.n-q.next), unix.MSG_DONTWAIT, 0, 0)
			switch errno {
			case 0:
				q.next += int(n)
			case unix.EINTR:
				continue
			default:
				q.err = errno
			}
			return
		}
	}
	return q
}

// Len returns how many messages there are.
func (q *Queue) Len() int { return q.n }

// Add puts a message behind the others, of which there must be fewer than MaxQueued. It is
// one packet, or with a size above zero as many of that size as there are in p, the last one
// perhaps shorter. to and p must stay as they are until Send.
func (q *Queue) Add(to *Addr, p []byte, size int) {
	h := &q.msgs[q.n].hdr
	h.Name, h.Namelen = (*byte)(unsafe.Pointer(&to.raw)), to.size
	q.iovs[q.n].Base = unsafe.SliceData(p)
	q.iovs[q.n].SetLen(len(p))
	h.Control = nil
	h.SetControllen(0)
	if size > 0 {
		c := &q.controls[q.n]
		c.size = uint16(size)
		h.Control = (*byte)(unsafe.Pointer(c))
		h.SetControllen(unix.CmsgSpace(2))
	}
	q.n++
}

// Send sends the messages and empties the Queue. It does not wait for room. One that
// the kernel does not take is lost, and failed is told which it was; calls is how many calls
// it took.
func (q *Queue) Send(failed func(i int, err error)) (calls int) {
	for q.next = 0; q.next < q.n; {
		calls++
		err := q.conn.socket(q.call)
		if err == nil {
			err = q.err
		}
		if q.err = nil; err != nil {
			failed(q.next, err)
			q.next++
		}
	}
	for i := range q.n {
		q.msgs[i].hdr.Name, q.iovs[i].Base = nil, nil // the caller's again
	}
	q.n = 0
	return calls
}
