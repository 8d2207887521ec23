package receive

import (
	"encoding/binary"
	"time"
)

// Arrivals remembers when the packets of a transport came, and tells their sender
// (draft-holmer-rmcat-transport-wide-cc-extensions-01). It takes the time as an argument,
// has bounded memory, and belongs to one goroutine at a time.
type Arrivals struct {
	ssrc   uint32 // that reports
	began  time.Time
	count  uint8 // of reports
	known  bool
	next   int64                // the first number to report on
	end    int64                // one beyond the newest
	at     [arrivalsKept]uint64 // by number: microseconds since began, plus one; zero: it has not come
	status [reportedAtOnce]byte
}

const (
	// arrivalsKept is a power of two: 200 ms at what a publisher may send.
	arrivalsKept = 2048
	// reportedAtOnce bounds a report to 20 bytes, and for each packet 2 and a seventh of 2.
	reportedAtOnce = 400

	// Of the draft, Section 3.1: deltas are in units of 250 us, the reference time in 64 ms.
	deltaUnit     = 250
	referenceUnit = 64_000
	// What is said of a packet: Section 3.1.1.
	notReceived = 0
	smallDelta  = 1
	largeDelta  = 2
)

// NewArrivals returns an empty Arrivals, that reports as ssrc.
func NewArrivals(ssrc uint32, now time.Time) *Arrivals { return &Arrivals{ssrc: ssrc, began: now} }

// Received notes a packet with its number in the transport.
func (a *Arrivals) Received(number uint16, now time.Time) {
	if !a.known {
		a.known, a.next, a.end = true, int64(number), int64(number)
	}
	n := a.end + int64(int16(number-uint16(a.end)))
	slot := &a.at[n&(arrivalsKept-1)]
	switch {
	case n >= a.end+arrivalsKept: // so far off that nothing before it is of use
		clear(a.at[:])
		a.next, a.end = n, n+1
	case n >= a.end:
		for ; a.end <= n; a.end++ {
			a.at[a.end&(arrivalsKept-1)] = 0
		}
		a.next = max(a.next, a.end-arrivalsKept)
	case n < a.end-arrivalsKept || *slot != 0:
		return
	default: // it is late: it and what came after it are reported on again
		a.next = min(a.next, n)
	}
	*slot = uint64(max(now.Sub(a.began).Microseconds(), 0)) + 1
}

// Report appends a report on what has come since the last, or as much of that as fits.
// False: there is nothing more.
func (a *Arrivals) Report(b []byte, media uint32) ([]byte, bool) {
	first := a.next
	for first < a.end && a.at[first&(arrivalsKept-1)] == 0 {
		first++
	}
	if first >= a.end {
		a.next = a.end
		return b, false
	}
	a.next = max(a.next, first-reportedAtOnce+1)
	base, reference := a.next, (a.at[first&(arrivalsKept-1)]-1)/referenceUnit
	begin := len(b)
	b = append(b, 0x8f, 205, 0, 0)
	b = binary.BigEndian.AppendUint32(b, a.ssrc)
	b = binary.BigEndian.AppendUint32(b, media)
	b = binary.BigEndian.AppendUint16(b, uint16(base))
	b = append(b, 0, 0, byte(reference>>16), byte(reference>>8), byte(reference), a.count)
	a.count++
	n := a.fill(int64(reference * referenceUnit))
	binary.BigEndian.PutUint16(b[begin+14:], uint16(n))
	b = appendChunks(b, a.status[:n])
	b = a.appendDeltas(b, base, n, int64(reference*referenceUnit))
	if pad := (4 - (len(b)-begin)%4) % 4; pad > 0 { // RFC 3550, Section 6.4.1
		for range pad - 1 {
			b = append(b, 0)
		}
		b = append(b, byte(pad))
		b[begin] |= 0x20
	}
	binary.BigEndian.PutUint16(b[begin+2:], uint16((len(b)-begin)/4-1))
	return b, true
}

// fill decides what is said of each packet from next on, and returns of how many. A delta
// that does not fit begins another report.
func (a *Arrivals) fill(last int64) (n int) {
	for ; n < reportedAtOnce && a.next < a.end; n, a.next = n+1, a.next+1 {
		delta, came := a.delta(a.next, last)
		switch {
		case !came:
			a.status[n] = notReceived
			continue
		case delta < -1<<15 || delta >= 1<<15:
			return n
		case delta >= 0 && delta < 1<<8:
			a.status[n] = smallDelta
		default:
			a.status[n] = largeDelta
		}
		last += delta * deltaUnit
	}
	return n
}

// delta is the time from one that was told to a packet's arrival.
func (a *Arrivals) delta(n, last int64) (delta int64, came bool) {
	at := a.at[n&(arrivalsKept-1)]
	if at == 0 {
		return 0, false
	}
	us := int64(at-1) - last
	if us < 0 {
		return (us - deltaUnit/2) / deltaUnit, true
	}
	return (us + deltaUnit/2) / deltaUnit, true
}

func (a *Arrivals) appendDeltas(b []byte, base int64, n int, last int64) []byte {
	for i := range n {
		delta, came := a.delta(base+int64(i), last)
		if !came {
			continue
		}
		if a.status[i] == smallDelta {
			b = append(b, byte(delta))
		} else {
			b = binary.BigEndian.AppendUint16(b, uint16(int16(delta)))
		}
		last += delta * deltaUnit
	}
	return b
}

// appendChunks writes what is said of packets: Section 3.1.2 to 3.1.4.
func appendChunks(b, status []byte) []byte {
	for len(status) > 0 {
		run := 1
		for run < len(status) && status[run] == status[0] {
			run++
		}
		two := status[:min(7, len(status))]
		one, narrow := status[:min(14, len(status))], true
		for _, s := range one {
			narrow = narrow && s != largeDelta
		}
		var word uint16
		var n int
		switch {
		case run >= len(two) && (run >= len(one) || !narrow): // a run: 0, symbol, 13 bits of length
			word, n = uint16(status[0])<<13|uint16(run), run
		case narrow: // 14 symbols of a bit
			word, n = 1<<15, len(one)
			for i, s := range one {
				word |= uint16(s) << (13 - i)
			}
		default: // 7 symbols of two
			word, n = 1<<15|1<<14, len(two)
			for i, s := range two {
				word |= uint16(s) << (12 - 2*i)
			}
		}
		b = binary.BigEndian.AppendUint16(b, word)
		status = status[n:]
	}
	return b
}
