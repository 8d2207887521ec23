package framing

import (
	"fmt"
	"time"
)

// ReorderConfig has the settings of a Reorder.
type ReorderConfig struct {
	// Capacity is how many packets beyond a missing one are kept, a power of two.
	// Zero means 1024: 250 ms at 40 Mbit/s.
	Capacity int
	// MaxWait is how long a missing packet holds up those behind it. Zero means 250 ms.
	MaxWait time.Duration
}

// Reorder puts the packets of one RTP stream in order. A missing packet is waited
// for until its successors have waited MaxWait, or there is no more room for them;
// then it is given up, and the next packet says so in Lost.
type Reorder struct {
	cfg    ReorderConfig
	unwrap Unwrapper[uint16]

	ring []reorderSlot
	next int64 // sequence number of the packet to deliver next
	held int   // packets in ring, all of them at next or later
	lost int   // given up before next and not told yet

	// The packet just pushed, still in the caller's memory.
	fresh    Packet
	freshSeq int64
	pending  bool
	begun    bool
}

type reorderSlot struct {
	full bool
	p    Packet
	buf  []byte // memory of p.Payload and p.Dependency, kept
}

const (
	defaultReorderCapacity = 1024
	defaultReorderWait     = 250 * time.Millisecond
)

// NewReorder returns an empty Reorder.
func NewReorder(cfg ReorderConfig) (*Reorder, error) {
	if cfg.Capacity == 0 {
		cfg.Capacity = defaultReorderCapacity
	}
	if cfg.MaxWait == 0 {
		cfg.MaxWait = defaultReorderWait
	}
	if cfg.Capacity < 2 || cfg.Capacity > 1<<14 || cfg.Capacity&(cfg.Capacity-1) != 0 {
		return nil, fmt.Errorf("reorder: capacity %d is not a power of two from 2 to 16384", cfg.Capacity)
	}
	return &Reorder{cfg: cfg, ring: make([]reorderSlot, cfg.Capacity)}, nil
}

// SetMaxWait changes how long a missing packet is waited for, as the round trip
// time changes what a retransmission takes.
func (r *Reorder) SetMaxWait(d time.Duration) { r.cfg.MaxWait = d }

// Push takes a packet in order of arrival and reports whether it is of use: false
// for a duplicate, or one that was given up already. Until the next Push, Pop must
// be called until it has nothing more: it may hand out the caller's memory. What
// has to wait is copied.
func (r *Reorder) Push(p Packet) bool {
	p.Lost = 0
	seq := r.unwrap.Unwrap(p.Seq)
	size := int64(len(r.ring))
	switch {
	case !r.begun:
		r.begun, r.next = true, seq
	case seq < r.next-size, seq >= r.next+2*size:
		// So far off: another sender took over, or we missed seconds. Begin anew.
		r.clear()
		r.next = seq
	case seq < r.next, seq < r.next+size && r.slot(seq).full:
		return false
	}
	r.fresh, r.freshSeq, r.pending = p, seq, true
	return true
}

// Pop returns the next packet in order, if it is there or its predecessors are
// given up at now. Its payload is valid until the next call of Pop or Push.
func (r *Reorder) Pop(now time.Time) (Packet, bool) {
	if r.pending {
		switch {
		case r.freshSeq == r.next:
			r.pending = false
			return r.deliver(r.fresh), true
		case r.freshSeq < r.next+int64(len(r.ring)):
			r.keep()
		case r.held == 0 || !r.slot(r.next).full:
			// No room: what is missing is given up, up to what is there.
			r.skip()
			return r.Pop(now)
		}
	}
	if r.held == 0 {
		return Packet{}, false
	}
	if !r.slot(r.next).full {
		if deadline, _ := r.Deadline(); now.Before(deadline) {
			return Packet{}, false
		}
		r.skip()
	}
	s := r.slot(r.next)
	s.full = false
	r.held--
	return r.deliver(s.p), true
}

// Deadline returns when Pop will give up what is missing now, and whether
// anything waits for it.
func (r *Reorder) Deadline() (time.Time, bool) {
	if r.held == 0 {
		return time.Time{}, false
	}
	return r.slot(r.first()).p.Arrival.Add(r.cfg.MaxWait), true
}

func (r *Reorder) slot(seq int64) *reorderSlot {
	return &r.ring[seq&int64(len(r.ring)-1)]
}

// first returns the sequence number of the first packet held; there is one.
func (r *Reorder) first() int64 {
	seq := r.next
	for !r.slot(seq).full {
		seq++
	}
	return seq
}

// skip gives up the packets before the first that is there.
func (r *Reorder) skip() {
	to := r.freshSeq
	if r.held > 0 {
		to = r.first()
	}
	r.lost += int(to - r.next)
	r.next = to
}

func (r *Reorder) deliver(p Packet) Packet {
	p.Lost, r.lost = r.lost, 0
	r.next++
	return p
}

// keep copies the pushed packet into the ring.
func (r *Reorder) keep() {
	s := r.slot(r.freshSeq)
	n := len(r.fresh.Payload)
	s.buf = append(append(s.buf[:0], r.fresh.Payload...), r.fresh.Dependency...)
	s.full, s.p = true, r.fresh
	s.p.Payload, s.p.Dependency = s.buf[:n:n], s.buf[n:]
	r.held++
	r.pending = false
}

// clear gives up everything.
func (r *Reorder) clear() {
	for i := range r.ring {
		r.ring[i].full = false
	}
	r.lost += r.held + 1
	r.held, r.pending = 0, false
}
