package fanout

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/srtp/v3"
)

// tally is what the viewers of a soak have seen, all of them together.
type tally struct {
	packets   atomic.Uint64
	unopened  atomic.Uint64 // SRTP: a wrong key, index or roll-over counter
	gaps      atomic.Uint64 // places where sequence numbers never came,
	holes     atomic.Uint64 // and how many those are, but for
	signs     atomic.Uint64 // single ones, by which the node says that a frame has no end
	doubles   atomic.Uint64
	backwards atomic.Uint64 // timestamps before an earlier packet's
	wraps     atomic.Uint64 // of sequence numbers
	most      atomic.Uint64 // of those, in one stream
	lost      atomic.Uint64 // which the viewers made lost
	asked     atomic.Uint64 // of those that were lost by chance, that they asked for again
	repaired  atomic.Uint64 // and that came again
	unasked   atomic.Uint64 // that came again for nothing: they probe the path
	overflow  atomic.Uint64 // messages that the kernel dropped, for a viewer was too slow
	objects   atomic.Uint64 // over MoQ

	mu    sync.Mutex
	first string // what went wrong first
}

func (t *tally) note(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.first == "" {
		t.first = fmt.Sprintf(format, args...)
	}
}

func (t *tally) noted() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.first
}

// inspector opens and checks each packet that a viewer's socket gives, and then makes
// some of them lost: what follows (reports, NACKs) is as if they had not come.
type inspector struct {
	all  *tally
	name string // for messages

	// Owned by the socket's reader.
	rng     *rand.Rand
	loss    float64    // the share that is lost by chance
	narrow  func() int // bit/s that pass now; zero: all. May be nil
	bucket  float64    // bits that may pass
	filled  time.Time  // when it was last filled
	streams map[uint32]*checked
	plain   []byte

	mu      sync.Mutex
	ssrc    uint32 // of the picture
	missing map[uint16]*wanted
}

// checked is one SSRC.
type checked struct {
	seq     uint16
	ts      uint32
	packets uint64
	wraps   uint64
}

// wanted is a packet that was lost.
type wanted struct {
	since time.Time
	asks  int
}

const (
	maxAsks   = 8
	maxWanted = 256
	// narrowBurst is what passes at once, in time at the rate that is.
	narrowBurst = 100 * time.Millisecond
)

// fate is what becomes of a packet.
type fate uint8

const (
	fateMedia  fate = iota
	fateRepair      // of another stream: sent again
	fateLost
)

// packet checks one. Its reader is the only one that calls it.
func (i *inspector) packet(in *srtp.Context, b []byte, now time.Time) fate {
	pt, seq := b[1]&0x7f, binary.BigEndian.Uint16(b[2:])
	ts, ssrc := binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])
	i.all.packets.Add(1)
	plain, err := in.DecryptRTP(i.plain[:0], b, nil)
	if err != nil {
		i.all.unopened.Add(1)
		i.all.note("%s: packet %d of format %d: %v", i.name, seq, pt, err)
		return fateLost
	}
	i.check(ssrc, pt, seq, ts)
	if i.loses(len(b), now) {
		i.all.lost.Add(1)
		if pt == videoType {
			i.want(ssrc, seq, now)
		}
		return fateLost
	}
	if pt != rtxType {
		return fateMedia
	}
	if head := headerSize(plain); len(plain) >= head+2 {
		i.again(binary.BigEndian.Uint16(plain[head:])) // RFC 4588, Section 4
	}
	return fateRepair
}

// check follows sequence numbers and timestamps.
func (i *inspector) check(ssrc uint32, pt byte, seq uint16, ts uint32) {
	s := i.streams[ssrc]
	if s == nil {
		i.streams[ssrc] = &checked{seq: seq, ts: ts, packets: 1}
		return
	}
	s.packets++
	step := seq - s.seq
	switch {
	case step == 0 || step >= 1<<15:
		i.all.doubles.Add(1)
		i.all.note("%s: packet %d of format %d after %d, packet %d of its stream", i.name, seq, pt, s.seq, s.packets)
		return
	case step == 2:
		i.all.signs.Add(1)
	case step > 2:
		i.all.gaps.Add(1)
		i.all.holes.Add(uint64(step - 1))
		i.all.note("%s: packet %d of format %d after %d, packet %d of its stream", i.name, seq, pt, s.seq, s.packets)
	}
	if seq < s.seq {
		s.wraps++
		i.all.wraps.Add(1)
		if s.wraps > i.all.most.Load() { // viewers race for it: a count may be missed, never invented
			i.all.most.Store(s.wraps)
		}
	}
	if pt != rtxType && int32(ts-s.ts) < 0 {
		i.all.backwards.Add(1)
		i.all.note("%s: packet %d of format %d has time %d after %d", i.name, seq, pt, ts, s.ts)
	}
	s.seq, s.ts = seq, ts
}

// loses says whether a packet is made lost: by chance, or for the path is narrow.
func (i *inspector) loses(size int, now time.Time) bool {
	if i.loss > 0 && i.rng.Float64() < i.loss {
		return true
	}
	if i.narrow == nil {
		return false
	}
	rate := i.narrow()
	if rate == 0 {
		return false
	}
	i.bucket = min(i.bucket+now.Sub(i.filled).Seconds()*float64(rate), narrowBurst.Seconds()*float64(rate))
	i.filled = now
	if bits := float64(8 * size); i.bucket >= bits {
		i.bucket -= bits
		return false
	}
	return true
}

func (i *inspector) want(ssrc uint32, seq uint16, now time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.ssrc = ssrc
	if len(i.missing) < maxWanted {
		i.missing[seq] = &wanted{since: now}
	}
}

func (i *inspector) again(seq uint16) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.missing[seq] == nil {
		i.all.unasked.Add(1)
		return
	}
	delete(i.missing, seq)
	if i.narrow == nil {
		i.all.repaired.Add(1)
	}
}

// nack asks again for what is missing: nil for nothing.
func (i *inspector) nack() *rtcp.TransportLayerNack {
	i.mu.Lock()
	defer i.mu.Unlock()
	var seqs []uint16
	for seq, w := range i.missing {
		if w.asks == 0 && i.narrow == nil { // a path that is full has no room for repairs either
			i.all.asked.Add(1)
		}
		if w.asks++; w.asks > maxAsks {
			delete(i.missing, seq)
			continue
		}
		seqs = append(seqs, seq)
	}
	if len(seqs) == 0 {
		return nil
	}
	slices.Sort(seqs) // those that are near each other share a pair
	return &rtcp.TransportLayerNack{SenderSSRC: 1, MediaSSRC: i.ssrc, Nacks: rtcp.NackPairsFromSequenceNumbers(seqs)}
}

// headerSize of an RTP packet: RFC 3550, Sections 5.1 and 5.3.1.
func headerSize(b []byte) int {
	n := 12 + 4*int(b[0]&0x0f)
	if b[0]&0x10 != 0 && len(b) >= n+4 {
		n += 4 + 4*int(binary.BigEndian.Uint16(b[n+2:]))
	}
	return n
}
