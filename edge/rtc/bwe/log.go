package bwe

import (
	"sync/atomic"
	"time"
)

// LogEntries is how many sent packets a Log remembers: a second of 20 Mbit/s, or
// of 2 Mbit/s on a path with 8 seconds of queue.
const LogEntries = 1 << logBits

const logBits = 11

// MaxPacket is the largest size that a Log remembers, in bytes; above it counts
// as this.
const MaxPacket = 1<<sizeBits - 1

// Kind says why a packet is sent.
type Kind uint8

// What a packet is sent for. Those of a probing train have Probe.Kind.
const (
	Media  Kind = iota
	Resend      // a retransmission that the viewer asked for
	Padding
	Repair                // forward error correction
	probeKind Kind = 0x80 // with the id of the probe in the other bits
)

// Probe returns the id of the probing train that a packet is part of.
func (k Kind) Probe() (id uint8, ok bool) { return uint8(k &^ probeKind), k&probeKind != 0 }

// Log is what was sent to one viewer, and when. It gives out the transport-wide
// sequence numbers, one sequence for all SSRCs of the connection.
//
// Any number of goroutines may Add while another one reads: there is no lock. A
// Log takes 16 KiB and does not grow. An entry that was overwritten before its
// feedback came is recognised, and not mistaken for its successor.
type Log struct {
	epoch   time.Time
	next    atomic.Uint64
	entries [LogEntries]atomic.Uint64
}

// An entry is one word, so that it is written and read whole:
//
//	time 40 bits | size 11 bits | kind 8 bits | turn 5 bits
//
// time is in microseconds since the epoch, and wraps after 12 days. turn is which
// of the 32 turns of the ring within the 16 bits of the sequence this is. A size
// of zero is an entry never written.
const (
	turnBits = 16 - logBits
	kindBits = 8
	sizeBits = 11
	timeBits = 64 - turnBits - kindBits - sizeBits
)

type entry uint64

func newEntry(at time.Duration, size int, kind Kind, seq uint16) entry {
	return entry(uint64(at.Microseconds())<<(turnBits+kindBits+sizeBits) |
		uint64(min(max(size, 1), MaxPacket))<<(turnBits+kindBits) |
		uint64(kind)<<turnBits | uint64(seq>>logBits))
}

// is says whether the entry is that of a sequence number, which tells its slot.
func (e entry) is(seq uint16) bool {
	return e.size() != 0 && uint16(e&(1<<turnBits-1)) == seq>>logBits
}

func (e entry) size() int  { return int(e >> (turnBits + kindBits) & MaxPacket) }
func (e entry) kind() Kind { return Kind(e >> turnBits & (1<<kindBits - 1)) }

// at is the time of sending nearest to now.
func (e entry) at(now time.Duration) time.Duration {
	// The clock of the lane that sent it may be a little ahead of the reader's.
	latest := uint64((now + time.Second).Microseconds())
	back := (latest - uint64(e>>(turnBits+kindBits+sizeBits))) & (1<<timeBits - 1)
	return time.Duration(latest-back) * time.Microsecond
}

// NewLog returns an empty Log. Times in results count from epoch, which is about
// now: no packet was sent before it.
func NewLog(epoch time.Time) *Log { return &Log{epoch: epoch} }

// Add remembers that a packet of size bytes leaves now and returns its
// transport-wide sequence number. The size is what the path sees, or at least the
// same part of it for all packets. It is safe for concurrent use and allocates
// nothing.
func (l *Log) Add(now time.Time, size int, kind Kind) uint16 {
	index := l.next.Add(1) - 1
	seq := uint16(index)
	l.entries[index%LogEntries].Store(uint64(newEntry(l.since(now), size, kind, seq)))
	return seq
}

// Next returns how many packets were added: the extended sequence number of the
// next one.
func (l *Log) Next() uint64 { return l.next.Load() }

// since converts to time since the epoch; nothing is before it.
func (l *Log) since(now time.Time) time.Duration { return max(0, now.Sub(l.epoch)) }

// at returns the entry with an extended sequence number, if it is there still,
// and already.
func (l *Log) at(index uint64) (entry, bool) {
	e := entry(l.entries[index%LogEntries].Load())
	// An entry of 32 turns before has the same mark, but that one is always
	// overwritten by now: a lane is not suspended for 65,536 packets of its viewer
	// between the two lines of Add.
	return e, e.is(uint16(index))
}

// find extends a sequence number to the packet added last under it.
func (l *Log) find(seq uint16) (index uint64, e entry, ok bool) {
	next := l.next.Load()
	back := uint64(uint16(next-1) - seq)
	if back >= min(next, LogEntries) {
		return 0, 0, false
	}
	index = next - 1 - back
	e, ok = l.at(index)
	return index, e, ok
}
