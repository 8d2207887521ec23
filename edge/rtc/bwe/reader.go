package bwe

import "time"

// Result is what became of one packet.
type Result struct {
	// Seq is its transport-wide sequence number, extended.
	Seq uint64
	// Sent is when it left, since the Log's epoch.
	Sent time.Duration
	// Arrived is when it arrived, on the receiver's clock, whose zero can be any
	// time. It means nothing unless Received.
	Arrived  time.Duration
	Size     uint16 // bytes, as they were added to the Log
	Kind     Kind
	Received bool
}

// Reader maps feedback to what was sent. It belongs to the goroutine that reads
// the viewer's RTCP.
type Reader struct {
	log       *Log
	reference int64 // of the last message, extended beyond its 24 bits
	number    uint8 // of the last message
	begun     bool
	counts    ReaderCounts
}

// ReaderCounts says what feedback came to.
type ReaderCounts struct {
	Messages  uint64
	Malformed uint64
	Missing   uint64 // messages that were skipped in their numbering
	// Stale are packets that the Log has forgotten, or that were never sent.
	Stale uint64
}

// NewReader returns a Reader of feedback on what is added to log.
func NewReader(log *Log) *Reader { return &Reader{log: log} }

// Counts returns the counts so far.
func (r *Reader) Counts() ReaderCounts { return r.counts }

// Read parses a transport-wide feedback message, that is, one RTCP packet, and
// appends to dst what it says of packets that the Log still knows: at most
// LogEntries, in the order of their sequence numbers. Other than by growing dst
// it allocates nothing.
func (r *Reader) Read(dst []Result, now time.Time, b []byte) ([]Result, error) {
	f, err := ParseTransportFeedback(b)
	if err != nil {
		r.counts.Malformed++
		return dst, err
	}
	r.counts.Messages++
	if skipped := f.Number - r.number - 1; r.begun && skipped < 128 { // else it is one that was overtaken
		r.counts.Missing += uint64(skipped)
	}
	r.number = f.Number
	base := time.Duration(r.extend(f.Reference)) * referenceTick
	t := r.log.since(now)
	for statuses := f.Statuses(); ; {
		s, ok := statuses.Next()
		if !ok {
			return dst, nil
		}
		index, e, ok := r.log.find(s.Seq)
		if !ok {
			r.counts.Stale++
			continue
		}
		dst = append(dst, result(index, e, t, s.Received, base+s.Arrived))
	}
}

// extend unwraps a reference time of 24 bits: it is the one nearest to the last.
func (r *Reader) extend(reference uint32) int64 {
	if !r.begun {
		r.begun = true
		r.reference = int64(reference)
		return r.reference
	}
	step := int32((reference-uint32(r.reference))<<8) >> 8
	r.reference += int64(step)
	return r.reference
}

// Result returns what became of the packet with a transport-wide sequence number,
// for feedback of another form. It is false if the Log does not know it.
func (l *Log) Result(now time.Time, seq uint16, received bool, arrived time.Duration) (Result, bool) {
	index, e, ok := l.find(seq)
	if !ok {
		return Result{}, false
	}
	return result(index, e, l.since(now), received, arrived), true
}

func result(index uint64, e entry, now time.Duration, received bool, arrived time.Duration) Result {
	return Result{
		Seq: index, Sent: e.at(now), Arrived: arrived, Size: uint16(e.size()), Kind: e.kind(), Received: received,
	}
}
