package rtc

import (
	"time"

	"trellis/edge/rtc/bwe"
	"trellis/edge/rtc/flexfec"
)

const (
	// fecEnough packets make a group with repairs as good as they become: it is not
	// waited for more.
	fecEnough = 24
	// fecLate is how much longer than planned a group is left open where no frame ends.
	fecLate = 20 * time.Millisecond
)

// fecGroup is the packets that a viewer was sent of late, for which repair packets
// are made together. Their payloads stay in the lane's log; if they are gone from
// there, so is the group. It belongs to the lane's goroutine.
type fecGroup struct {
	plan   fecPlan
	seq    uint64  // of the next repair packet, extended
	credit float64 // repair packets that are owed, less those that were sent
	began  time.Time
	first  uint64 // sequence number of the first packet
	ready  bool   // it is as large as it should become

	n       int
	packets [flexfec.MaxPackets]fecPacket
	group   [flexfec.MaxPackets]flexfec.Packet // while repairs are made
	payload []byte
}

// fecPacket is where a packet is, and the header that it was sent with.
type fecPacket struct {
	log    *laneLog
	object uint64
	index  int
	header [maxHeader]byte
	size   int // of the header
}

// protectPicture begins or ends to make repair packets for a viewer.
func (v *viewer) protectPicture(p fecPlan) {
	if v.fec == nil {
		if p.share == 0 {
			return
		}
		v.fec = &fecGroup{seq: firstSequence()}
	}
	v.fec.plan = p
	if p.share == 0 {
		v.fec.clear()
		v.fec.credit = 0
	}
}

func (g *fecGroup) clear() { g.n, g.ready = 0, false }

// cover adds the packet to the group that is being written with header h: packet i
// of object n.
func (v *viewer) cover(h []byte, n uint64, i int, seq uint64, now time.Time) {
	g := v.fec
	if g.n > 0 && (g.n == flexfec.MaxPackets || seq-g.first >= flexfec.MaxSpan) {
		g.clear() // nobody has taken it
	}
	if g.n == 0 {
		g.first, g.began = seq, now
	}
	p := &g.packets[g.n]
	p.log, p.object, p.index = v.run.log, n, i
	p.size = copy(p.header[:], h)
	if v.cfg.transport != 0 {
		// Decoders take the packet without its transport-wide number, which is the first
		// extension: libwebrtc's sender writes it after it has made the repairs.
		p.header[17], p.header[18] = 0, 0
	}
	g.n++
	g.credit += g.plan.share
	last := i == v.run.log.at(n).payloads.Len()-1
	age := now.Sub(g.began)
	g.ready = g.n == flexfec.MaxPackets || last &&
		(g.n >= fecEnough || age >= g.plan.span && g.credit >= 1 || age >= 2*g.plan.span)
}

// write writes the next packet to a viewer, and repair packets after it where they are due.
func (l *lane) write(v *viewer, o *laneObject, now time.Time) error {
	err := v.write(l.batch, o, v.next, v.packet, now)
	if v.fec != nil && v.fec.ready {
		l.mend(v, now)
	}
	return err
}

// mendLate makes repair packets for a group that has waited for more in vain, or
// sees to it that this is looked at in time.
func (l *lane) mendLate(v *viewer, now time.Time) {
	due := v.fec.began.Add(2*v.fec.plan.span + fecLate)
	if now.Before(due) {
		l.at(due)
		return
	}
	l.mend(v, now)
}

// mend sends the repair packets of a group, and begins another.
func (l *lane) mend(v *viewer, now time.Time) {
	g := v.fec
	defer g.clear()
	for i := range g.n {
		p := &g.packets[i]
		if p.object < p.log.tail {
			l.metrics.skipped[skipUnprotected].Inc()
			return
		}
		g.group[i] = flexfec.Packet{Header: p.header[:p.size], Payload: p.log.at(p.object).payloads.At(p.index)}
	}
	// What is owed, but no more than one for two packets: less is too little to be
	// worth it later.
	m := min(int(g.credit+0.5), g.n/2, flexfec.MaxRepairs)
	g.credit = min(g.credit-float64(m), 1)
	for r := range m {
		g.payload = flexfec.Append(g.payload[:0], g.group[:g.n], r, m)
		if err := v.writeRepair(l, now); err != nil {
			l.metrics.skipped[skipWriteFailed].Inc()
		}
	}
	clear(g.group[:g.n]) // the payloads are the log's
	l.metrics.fecPackets.Add(float64(m))
}

// writeRepair sends the repair packet that was made.
func (v *viewer) writeRepair(l *lane, now time.Time) error {
	g := v.fec
	seq := g.seq
	g.seq++
	v.rtpHeader(v.cfg.fecPT, false, uint16(seq), v.tsBase+uint32(v.ticks), v.cfg.fecSSRC)
	h := v.extend(nil, len(g.payload), bwe.Repair, now)
	l.metrics.fecBytes.Add(float64(len(g.payload)))
	return v.cfg.out.Send(l.batch, h, g.payload, v.cfg.fecSSRC, seq)
}
