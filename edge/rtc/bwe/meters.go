package bwe

import "time"

// sentMeter measures what leaves, by following the Log: also what is not
// acknowledged, or never will be.
type sentMeter struct {
	cursor uint64 // of the next packet to count
	begun  bool
	first  time.Duration // when the first one left
	slots  [sentSlots]struct{ id, bytes int64 }
}

const (
	sentSlots  = 12
	sentSlot   = 50 * time.Millisecond
	sentWindow = sentSlots * sentSlot
)

// read counts what was added since.
func (m *sentMeter) read(l *Log, now time.Duration) {
	next := l.Next()
	if next > LogEntries {
		m.cursor = max(m.cursor, next-LogEntries)
	}
	for ; m.cursor < next; m.cursor++ {
		e, ok := l.at(m.cursor)
		if !ok {
			return // it is about to be written
		}
		at := e.at(now)
		if !m.begun {
			m.begun, m.first = true, at
		}
		id := int64(at / sentSlot)
		s := &m.slots[uint64(id)%sentSlots]
		if s.id < id {
			s.id, s.bytes = id, 0
		}
		if s.id == id {
			s.bytes += int64(e.size())
		}
	}
}

// bps is the rate of the last 600 ms, or of the time since the first packet.
func (m *sentMeter) bps(now time.Duration) float64 {
	if !m.begun {
		return 0
	}
	newest := int64(now / sentSlot)
	var bytes int64
	for _, s := range m.slots {
		if s.id > newest-sentSlots && s.id <= newest {
			bytes += s.bytes
		}
	}
	// The newest slot is not over.
	span := time.Duration(sentSlots-1)*sentSlot + now%sentSlot
	return rate(bytes, max(min(span, now-m.first), 2*sentSlot))
}

// rate is bytes over time in bits per second.
func rate(bytes int64, span time.Duration) float64 { return float64(bytes) * 8 / span.Seconds() }

// lossMeter counts what was received and what was not, by the time it was sent.
type lossMeter struct {
	newest int64         // the latest slot
	from   time.Duration // nothing sent before counts
	slots  [lossSlots]lossSlot
	// chance is the share lost without regard to the queue: what the path loses
	// anyway.
	chance float64
	// idle is the share lost of packets at times when the queue was short, of so many.
	idle    float64
	idlings int
}

type lossSlot struct {
	id             int64
	received, lost int32
	full           int32 // lost when the queue was about full
}

const (
	lossSlots    = 8
	lossSlotSpan = 250 * time.Millisecond
	// chancePackets is how many packets chance is the mean of, about.
	chancePackets = 512
	// fullShare of the losses, of at least fullPackets, come from a full queue if they
	// have one reason.
	fullShare   = 0.6
	fullPackets = 4
	// chanceLeast is the chance from which on a packet that is lost while the queue is long
	// is no sign that there was no place in it.
	chanceLeast = 0.008
)

// add counts packets sent at a time; one that was taken for lost and arrives after
// all is counted off again.
func (m *lossMeter) add(sent time.Duration, received, lost int32, full bool) {
	id := int64(sent / lossSlotSpan)
	if sent < m.from || id <= m.newest-lossSlots {
		return
	}
	s := &m.slots[uint64(id)%lossSlots]
	if s.id != id {
		*s = lossSlot{id: id}
	}
	m.newest = max(m.newest, id)
	s.received += received
	s.lost += lost
	if full {
		s.full += lost
	}
}

// share returns the share lost of the packets sent in the last 2 s, and how many
// they are; full says that most of them were lost when the queue was full. With
// reordering, those of the latest quarter to half a second do
// not count, for they may come yet.
func (m *lossMeter) share(reordering bool) (share float64, packets int, full bool) {
	newest := m.newest
	if reordering {
		newest -= 2
	}
	var received, lost, whenFull int32
	for _, s := range m.slots {
		if s.id > m.newest-lossSlots && s.id <= newest {
			received += s.received
			lost += s.lost
			whenFull += s.full
		}
	}
	total := received + lost
	if total <= 0 || lost <= 0 {
		return 0, int(max(total, 0)), false
	}
	full = lost >= fullPackets && float64(whenFull) >= fullShare*float64(lost)
	return min(1, float64(lost)/float64(total)), int(total), full
}

// calm learns from a share of losses at a time without a queue.
func (m *lossMeter) calm(share float64, packets int) {
	m.chance += (share - m.chance) * min(1, float64(packets)/chancePackets)
}

// idling takes a packet at a time when the queue is short.
func (m *lossMeter) idling(lost bool) {
	share := 0.0
	if lost {
		share = 1
	}
	m.idlings = min(m.idlings+1, chancePackets)
	m.idle += (share - m.idle) / float64(m.idlings)
}

// byChance says whether the path loses packets whatever its queue.
func (m *lossMeter) byChance() bool {
	_, _, full := m.share(false)
	return m.idle > chanceLeast && m.idlings >= chancePackets/4 && !full
}

// reset forgets what was sent before a time.
func (m *lossMeter) reset(from time.Duration) {
	*m = lossMeter{from: from, chance: m.chance, idle: m.idle, idlings: m.idlings}
}

// seen remembers which packets were reported on, as far back as the Log goes.
type seen struct {
	next           uint64 // after the newest one reported on
	received, lost [LogEntries / 64]uint64
}

// sight is what is new in a report on a packet.
type sight uint8

const (
	sightOld  sight = iota // it was said before, or is too old to tell
	sightNew               // the first report on it
	sightLate              // it was taken for lost, and has arrived
)

func (s *seen) report(seq uint64, received bool) sight {
	if seq+LogEntries < s.next {
		return sightOld
	}
	if seq >= s.next {
		if seq-s.next >= LogEntries {
			s.received, s.lost = [LogEntries / 64]uint64{}, [LogEntries / 64]uint64{}
		} else {
			for i := s.next; i <= seq; i++ {
				s.received[i%LogEntries/64] &^= 1 << (i % 64)
				s.lost[i%LogEntries/64] &^= 1 << (i % 64)
			}
		}
		s.next = seq + 1
	}
	word, bit := seq%LogEntries/64, uint64(1)<<(seq%64)
	switch {
	case s.received[word]&bit != 0 || !received && s.lost[word]&bit != 0:
		return sightOld
	case !received:
		s.lost[word] |= bit
		return sightNew
	case s.lost[word]&bit != 0:
		s.received[word] |= bit
		return sightLate
	}
	s.received[word] |= bit
	return sightNew
}
