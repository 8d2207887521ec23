package rtc

import (
	"encoding/binary"
	"log/slog"
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/sdp/v3"

	"trellis/edge/framing"
	"trellis/edge/rtc/packet"
	"trellis/edge/rtc/receive"
	"trellis/edge/rtc/stream"
)

// reception is what a publisher sends, on its way from the transport to the relay: its packets
// are told apart, put in order and written into the relay's tracks on the goroutine that
// reads the port, without another one in between. Nothing on the way waits. What is due
// at a time is done with the next packet, or by the one timer.
type reception struct {
	// Fixed at construction.
	ingest    *ingest
	accepted  []acceptedMedia
	write     func(compound []byte) error
	capture   uint8 // the numbers of header extensions, zero without
	depends   uint8
	transport uint8
	ssrc      uint32 // that we report as

	mu       sync.Mutex // guards what follows, and is held while frames are written
	over     bool
	router   *receive.Router
	streams  []received            // by the router's numbers
	heard    map[uint32]*heardSSRC // what is reported on
	senders  map[uint32]senderReport
	arrivals *receive.Arrivals // nil: they are not to be reported
	newest   uint32            // SSRC of the last packet

	buf        []byte
	timer      *time.Timer // nil before the first packet
	timerAt    time.Time   // zero: it is not set
	feedbackAt time.Time   // zero: there is nothing to tell
	reportAt   time.Time
}

// received is a stream of the publisher's.
type received struct {
	receive.Stream
	inbound *stream.Inbound // nil before its first packet
	track   *ingestTrack
}

// heardSSRC is one that packets of a stream have come from.
type heardSSRC struct {
	*receive.Report
	stream int
}

// senderReport is the last of an SSRC.
type senderReport struct {
	ntp       uint64
	timestamp uint32
	at        time.Time
}

const (
	// feedbackEvery is how often arrivals are reported: what the senders of
	// transport-wide feedback do on narrow paths.
	feedbackEvery = 100 * time.Millisecond
	// receptionEvery is how often reception is: RFC 3550, Section 6.2, has seconds for
	// sessions with many; a sender learns the round trip by it.
	receptionEvery = time.Second
	// maxSenders bounds the sender reports that are kept: one for each source.
	maxSenders = 64
	// maxBlocks is how many blocks fit a report: RFC 3550, Section 6.4.1.
	maxBlocks = 31
)

func newReception(in *ingest, accepted []acceptedMedia, write func([]byte) error) *reception {
	r := &reception{
		ingest: in, accepted: accepted, write: write, ssrc: randomSSRC(),
		heard: map[uint32]*heardSSRC{}, senders: map[uint32]senderReport{},
	}
	// The sections of a bundle number their extensions alike: RFC 8843, Section 10.
	id := func(uri string) uint8 {
		for i := range accepted {
			if id := accepted[i].extension(uri); id != 0 {
				return id
			}
		}
		return 0
	}
	r.capture, r.depends, r.transport = id(stream.AbsCaptureTimeURI), id(framing.DependencyURI), id(stream.TransportCCURI)
	if r.transport != 0 {
		r.arrivals = receive.NewArrivals(r.ssrc, time.Now())
	}
	sections := make([]receive.Section, len(accepted))
	for i := range accepted {
		sections[i] = accepted[i].section()
	}
	r.router = receive.NewRouter(sections, receive.IDs{
		MID: id(sdp.SDESMidURI), RID: id(sdp.SDESRTPStreamIDURI), RepairedRID: id(sdp.SDESRepairRTPStreamIDURI),
	})
	for _, s := range r.router.Streams() {
		r.streams = append(r.streams, received{Stream: s})
	}
	return r
}

// packet takes a packet of the publisher's.
func (r *reception) packet(p packet.Packet) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return
	}
	now := p.Arrival
	if ext := p.Extension(r.transport); len(ext) >= 2 {
		r.newest = p.SSRC
		r.arrivals.Received(binary.BigEndian.Uint16(ext), now)
		if r.feedbackAt.IsZero() {
			r.feedbackAt = now.Add(feedbackEvery)
			r.arm(r.feedbackAt, now)
		}
	}
	to, why := r.router.Route(&p.Header)
	if why != receive.Taken {
		r.ingest.edge.metrics.skipped[skipOf(why)].Inc()
		return
	}
	st := &r.streams[to.Stream]
	if err := r.take(st, to, &p); err != nil {
		r.ingest.session.end(err)
		return
	}
	r.tell(now)
	if st.inbound == nil {
		return
	}
	if next, ok := st.inbound.Next(); ok {
		r.arm(next, now)
	}
}

func skipOf(why receive.Refusal) skip {
	switch why {
	case receive.NoFormat:
		return skipNoFormat
	case receive.LeftBehind:
		return skipLeftBehind
	case receive.NoStream, receive.TooManySSRCs, receive.Taken:
	}
	return skipNoStream
}

// take gives a packet to its stream, which begins with the first that is no
// retransmission.
func (r *reception) take(st *received, to receive.Route, p *packet.Packet) error {
	format, _ := r.accepted[st.Section].lookup(to.PayloadType) // the router knows no others
	if to.Moved {
		for ssrc, h := range r.heard {
			if h.stream == to.Stream {
				delete(r.heard, ssrc)
			}
		}
	}
	h := r.heard[p.SSRC]
	if h == nil {
		h = &heardSSRC{receive.NewReport(p.SSRC, format.Codec.ClockRate()), to.Stream}
		r.heard[p.SSRC] = h
		if sr, ok := r.senders[p.SSRC]; ok {
			h.Reported(sr.ntp, sr.at)
		}
	}
	h.Received(&p.Header, p.Arrival)
	switch {
	case to.Repair:
		if st.inbound == nil || !p.Unrepair() {
			return nil
		}
		p.PayloadType = to.PayloadType
	case st.inbound == nil:
		if err := r.begin(st, p, format); err != nil {
			return err
		}
	case to.Moved:
		if err := st.inbound.Moved(p.SSRC, format, st.track); err != nil {
			return err
		}
		r.ingest.log.Info("stream has moved", slog.String("track", st.track.base()))
		r.align(st)
	}
	st.inbound.Receive(*p, to.Repair, st.track)
	return nil
}

// begin makes the track of a stream whose first packet is here.
func (r *reception) begin(st *received, p *packet.Packet, format stream.Format) error {
	inbound, err := stream.NewInbound(stream.InboundConfig{
		SSRC: p.SSRC, Format: format, Lookup: r.accepted[st.Section].lookup, Capture: r.capture, Depends: r.depends,
		Timeline: r.ingest.timeline, WriteRTCP: r.writeRTCP, Layers: true, Log: r.ingest.log,
	})
	if err != nil {
		return err
	}
	track, err := r.ingest.add(inbound, st.RID)
	if err != nil {
		return err
	}
	st.inbound, st.track = inbound, track
	if r.reportAt.IsZero() {
		r.reportAt = p.Arrival.Add(receptionEvery)
		r.arm(r.reportAt, p.Arrival)
	}
	r.align(st)
	return nil
}

// align tells a stream what a sender report said that came before its first packet.
func (r *reception) align(st *received) {
	if sr, ok := r.senders[st.inbound.SSRC()]; ok {
		st.inbound.Report(sr.ntp, sr.timestamp, sr.at)
	}
}

// reports takes RTCP of the publisher's: of it, sender reports concern us, and answers to the
// times that ours tell.
func (r *reception) reports(compound []byte, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(compound) > 0 && !r.over {
		size, ok := rtcpSize(compound)
		if !ok {
			r.ingest.edge.metrics.skipped[skipBadFeedback].Inc()
			return
		}
		switch b := compound[:size]; {
		case b[1] == rtcpSenderReport && size >= 8+senderInfo:
			r.report(binary.BigEndian.Uint32(b[4:]), senderReport{
				ntp: binary.BigEndian.Uint64(b[8:]), timestamp: binary.BigEndian.Uint32(b[16:]), at: now,
			})
		case b[1] == receive.ExtendedReport:
			if trip, ok := receive.RoundTrip(b, r.ssrc, stream.NTP(now)); ok {
				r.ingest.timeline.RoundTrip(trip)
			}
		}
		compound = compound[size:]
	}
}

func (r *reception) report(ssrc uint32, sr senderReport) {
	if _, known := r.senders[ssrc]; !known && len(r.senders) == maxSenders {
		r.ingest.edge.metrics.skipped[skipUnknownSSRC].Inc()
		return
	}
	r.senders[ssrc] = sr
	if h := r.heard[ssrc]; h != nil {
		h.Reported(sr.ntp, sr.at)
	}
	for i := range r.streams {
		if in := r.streams[i].inbound; in != nil && in.SSRC() == ssrc {
			in.Report(sr.ntp, sr.timestamp, sr.at)
		}
	}
}

// arm has the timer go off no later than at.
func (r *reception) arm(at, now time.Time) {
	switch {
	case r.timer == nil:
		r.timer = time.AfterFunc(at.Sub(now), r.tick)
	case r.timerAt.IsZero() || at.Before(r.timerAt):
		r.timer.Reset(at.Sub(now))
	default:
		return
	}
	r.timerAt = at
}

// tick does what is due, and sets the timer to what is next.
func (r *reception) tick() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return
	}
	r.timerAt = time.Time{}
	now := time.Now()
	r.tell(now)
	next := r.reportAt
	if !r.feedbackAt.IsZero() && (next.IsZero() || r.feedbackAt.Before(next)) {
		next = r.feedbackAt
	}
	for i := range r.streams {
		st := &r.streams[i]
		if st.inbound == nil {
			continue
		}
		at, waits := st.inbound.Next()
		if waits && !now.Before(at) {
			st.inbound.Tick(now, st.track)
			at, waits = st.inbound.Next()
		}
		if waits && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	if !next.IsZero() {
		r.arm(next, now)
	}
}

// tell sends the publisher what it is to be told by now.
func (r *reception) tell(now time.Time) {
	if !r.feedbackAt.IsZero() && !now.Before(r.feedbackAt) {
		r.feedbackAt = time.Time{}
		for more := true; more; {
			if r.buf, more = r.arrivals.Report(r.buf[:0], r.newest); more {
				r.failed(r.write(r.buf))
			}
		}
	}
	if !r.reportAt.IsZero() && !now.Before(r.reportAt) {
		r.reportAt = now.Add(receptionEvery)
		r.buf = r.receiverReport(r.buf[:0], now)
		r.failed(r.write(r.buf))
	}
}

// receiverReport appends a report on what was heard (RFC 3550, Section 6.4.2), and asks for the
// round trip, by which the publisher's clock is known.
func (r *reception) receiverReport(b []byte, now time.Time) []byte {
	b = append(b, make([]byte, 8)...)
	n, sender := 0, uint32(0)
	for ssrc, h := range r.heard {
		if n == maxBlocks {
			break
		}
		sender = ssrc
		b = h.Append(b, now)
		n++
	}
	b[0], b[1] = 2<<6|byte(n), rtcpReceiverReport
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)/4-1))
	binary.BigEndian.PutUint32(b[4:], r.ssrc)
	return receive.AppendReference(b, r.ssrc, sender, stream.NTP(now))
}

// writeRTCP sends feedback. It may be called from any goroutine.
func (r *reception) writeRTCP(packets []rtcp.Packet) error {
	b, err := rtcp.Marshal(packets)
	if err != nil {
		return err
	}
	return r.write(b)
}

// failed is told how a report went: the next one says the same, and more.
func (r *reception) failed(err error) {
	if err != nil {
		r.ingest.log.Debug("report to publisher", slog.Any("err", err))
	}
}

// close ends the tracks in order.
func (r *reception) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
	if r.timer != nil {
		r.timer.Stop()
	}
	for i := range r.streams {
		if t := r.streams[i].track; t != nil {
			t.close()
		}
	}
}
