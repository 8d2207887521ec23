package bwe

import (
	"slices"
	"testing"
	"time"

	"github.com/pion/rtcp"
)

// receiver makes feedback as browsers do: each message goes on where the one
// before it ended, or begins again at a packet that came late.
type receiver struct {
	offset  time.Duration // of its clock
	drift   float64       // by which its clock is fast
	arrived map[uint64]time.Duration
	next    uint64 // to report on
	newest  uint64 // after the last packet that arrived
	number  uint8
}

// clock is the receiver's time.
func (r *receiver) clock(at time.Duration) time.Duration {
	return r.offset + at + time.Duration(float64(at)*r.drift)
}

func (r *receiver) receive(seq uint64, at time.Duration) {
	if _, again := r.arrived[seq]; again {
		return
	}
	r.arrived[seq] = r.clock(at)
	if seq < r.next {
		r.next = seq
	}
	r.newest = max(r.newest, seq+1)
	delete(r.arrived, seq-4*LogEntries)
}

// message is the feedback that is due, nil if there is none.
func (r *receiver) message(tb testing.TB) []byte {
	tb.Helper()
	if r.next == r.newest {
		return nil
	}
	for r.arrived[r.next] == 0 && r.newest-r.next > LogEntries {
		r.next++
	}
	statuses := make([]Status, 0, r.newest-r.next)
	reference := time.Duration(-1)
	for ; r.next < r.newest; r.next++ {
		at, ok := r.arrived[r.next]
		if ok && reference < 0 {
			reference = at.Truncate(referenceTick)
		}
		statuses = append(statuses, Status{Seq: uint16(r.next), Received: ok, Arrived: at})
	}
	for i := range statuses {
		statuses[i].Arrived -= reference
	}
	b := encodeTransport(tb, uint32(reference/referenceTick)&0xffffff, r.number, statuses)
	r.number++
	return b
}

// encodeTransport writes a message with pion's encoder. It takes runs of equal
// statuses into run length chunks, others into vectors of two bits, or of one bit
// where they fit.
func encodeTransport(tb testing.TB, reference uint32, number uint8, statuses []Status) []byte {
	tb.Helper()
	m := rtcp.TransportLayerCC{
		SenderSSRC: 1, MediaSSRC: 2, BaseSequenceNumber: statuses[0].Seq, PacketStatusCount: uint16(len(statuses)),
		ReferenceTime: reference, FbPktCount: number,
	}
	var last time.Duration
	symbols := make([]uint16, len(statuses))
	for i, s := range statuses {
		if !s.Received {
			continue
		}
		ticks := int64(s.Arrived/deltaTick) - int64(last/deltaTick)
		last = s.Arrived
		symbols[i] = uint16(symbolSmall)
		if ticks < 0 || ticks > 255 {
			symbols[i] = uint16(symbolLarge)
		}
		m.RecvDeltas = append(m.RecvDeltas, &rtcp.RecvDelta{Type: symbols[i], Delta: ticks * deltaTick.Microseconds()})
	}
	for len(symbols) > 0 {
		run := slices.IndexFunc(symbols, func(s uint16) bool { return s != symbols[0] })
		if run < 0 {
			run = len(symbols)
		}
		run = min(run, 0x1fff)
		bits := 14
		if slices.Contains(symbols[:min(bits, len(symbols))], uint16(symbolLarge)) {
			bits = 7
		}
		if run > bits {
			m.PacketChunks = append(m.PacketChunks, &rtcp.RunLengthChunk{PacketStatusSymbol: symbols[0], RunLength: uint16(run)})
			symbols = symbols[run:]
			continue
		}
		v := &rtcp.StatusVectorChunk{SymbolSize: rtcp.TypeTCCSymbolSizeTwoBit, SymbolList: make([]uint16, bits)}
		if bits == 14 {
			v.SymbolSize = rtcp.TypeTCCSymbolSizeOneBit
		}
		symbols = symbols[copy(v.SymbolList, symbols):]
		m.PacketChunks = append(m.PacketChunks, v)
	}
	size := m.MarshalSize()
	m.Header = rtcp.Header{
		Padding: unpadded(&m)%4 != 0, Count: rtcp.FormatTCC, Type: rtcp.TypeTransportSpecificFeedback,
		Length: uint16(size/4 - 1),
	}
	b, err := m.Marshal()
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// unpadded is the size of a message before it is padded to 32 bits.
func unpadded(m *rtcp.TransportLayerCC) int {
	n := 20 + 2*len(m.PacketChunks)
	for _, d := range m.RecvDeltas {
		n++
		if d.Type == uint16(symbolLarge) {
			n++
		}
	}
	return n
}
