package rtc

import (
	"encoding/binary"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtcp"
	"github.com/prometheus/client_golang/prometheus"

	"trellis/edge/rtc/packet"
	"trellis/internal/relay"
)

// publisherRig is a reception whose publisher is the test.
type publisherRig struct {
	t    testing.TB
	r    *reception
	in   *ingest
	told []rtcp.Packet

	metrics *prometheus.Registry
}

func newPublisherRig(tb testing.TB, text string) *publisherRig {
	tb.Helper()
	table, err := relay.NewTable(relay.Config{})
	if err != nil {
		tb.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	m, err := newMetrics(reg, func(Role) int { return 0 })
	if err != nil {
		tb.Fatal(err)
	}
	e := &Edge{
		cfg: Config{Table: table, Origin: "here", AudioGroup: 5, MaxGroup: 4 * time.Second, CatalogWait: time.Second},
		log: slog.New(slog.DiscardHandler), metrics: m,
	}
	o, err := parseOffer(text)
	if err != nil {
		tb.Fatal(err)
	}
	accepted := make([]acceptedMedia, len(o.media))
	for i, m := range o.media {
		accepted[i], _ = m.accept()
	}
	p := &publisherRig{t: tb, metrics: reg}
	s := e.newSession(RolePublisher, Request{Broadcast: "room/alice"})
	p.in = newIngest(e, s, false, true, 1, nil)
	s.ingest = p.in
	p.r = newReception(p.in, accepted, func(b []byte) error {
		all, err := rtcp.Unmarshal(b)
		if err != nil {
			tb.Errorf("%v in %x", err, b)
		}
		p.told = append(p.told, all...)
		return nil
	})
	p.in.from = p.r
	return p
}

// dropped returns what was dropped for a reason.
func (p *publisherRig) dropped(why skip) (n float64) {
	p.t.Helper()
	families, err := p.metrics.Gather()
	if err != nil {
		p.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "trellis_rtc_dropped_total" && m.GetLabel()[0].GetValue() == why.String() {
				n += m.GetCounter().GetValue()
			}
		}
	}
	return n
}

// end ends the session, as Session.connect does.
func (p *publisherRig) end() {
	p.r.close()
	p.in.session.end(ErrHungUp)
	p.in.finish(ErrHungUp)
}

// rtp has a packet arrive now. arrival is its number among all, in extension 3.
func (p *publisherRig) rtp(ssrc uint32, pt uint8, seq uint16, timestamp uint32, arrival int, payload []byte) {
	b := []byte{0x90, pt | 0x80, byte(seq >> 8), byte(seq)}
	b = binary.BigEndian.AppendUint32(b, timestamp)
	b = binary.BigEndian.AppendUint32(b, ssrc)
	b = append(b, 0xbe, 0xde, 0, 1, 0x31, byte(arrival>>8), byte(arrival), 0)
	h, err := packet.ParseHeader(b)
	if err != nil {
		p.t.Fatal(err)
	}
	p.r.packet(packet.Packet{Header: h, Payload: payload, Arrival: time.Now()})
}

// vp8 is a picture in one packet.
func vp8(key bool) []byte {
	if key {
		return []byte{0x10, 0x10, 2, 0, 0x9d, 1, 0x2a, 64, 1, 180, 0, 0, 0, 0}
	}
	return []byte{0x10, 0x11, 2, 0, 1, 2, 3}
}

// told returns what of a kind the publisher was told, and forgets all.
func told[T rtcp.Packet](p *publisherRig) (all []T) {
	p.r.mu.Lock()
	defer p.r.mu.Unlock()
	for _, q := range p.told {
		if q, ok := q.(T); ok {
			all = append(all, q)
		}
	}
	p.told = nil
	return all
}

const vp8Offer = sessionLines + "m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=sendonly\r\na=ice-ufrag:abcd\r\n" +
	"a=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n" +
	"a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack\r\na=rtcp-fb:96 transport-cc\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n"

// TestReceptionRepairs: what is missing is asked for, though nothing else comes; the
// retransmission fills its place; what does not come is given up in time.
func TestReceptionRepairs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPublisherRig(t, vp8Offer)
		p.rtp(9, 97, 0, 0, 0, nil) // it only probes its path
		if s := p.in.status(); len(s) != 0 {
			t.Errorf("%+v before there is media", s)
		}
		for i := range 10 {
			if i != 5 {
				p.rtp(1, 96, 65_530+uint16(i), uint32(i)*3000, i, vp8(i == 0))
			}
		}
		time.Sleep(8 * time.Millisecond)
		synctest.Wait()
		asked := told[*rtcp.TransportLayerNack](p)
		if len(asked) != 1 || asked[0].MediaSSRC != 1 || asked[0].Nacks[0].PacketID != 65_535 || asked[0].Nacks[0].LostPackets != 0 {
			t.Errorf("asked for %v", asked)
		}
		p.rtp(2, 97, 1, 5*3000, 10, append([]byte{0xff, 0xff}, vp8(false)...))
		s := p.in.status()[0].InboundStats
		if s.Frames != 10 || s.Recovered != 1 || s.Lost != 0 || s.NACKs != 1 {
			t.Errorf("%+v", s)
		}
		p.rtp(1, 96, 5, 11*3000, 11, vp8(false)) // number 4 is not there
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if s := p.in.status()[0].InboundStats; s.Lost != 1 || s.Frames != 11 {
			t.Errorf("%+v: the second one never came", s)
		}
		p.end()
	})
}

// TestReceptionReports: arrivals within 100 ms, once; reception every second, with the
// sender report that came before the first packet.
func TestReceptionReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPublisherRig(t, vp8Offer)
		sr, err := rtcp.Marshal([]rtcp.Packet{
			&rtcp.SenderReport{SSRC: 1, NTPTime: 0x0123456789abcdef, RTPTime: 0}, &rtcp.SourceDescription{}, &rtcp.Goodbye{Sources: []uint32{1}},
		})
		if err != nil {
			t.Fatal(err)
		}
		p.r.reports(sr, time.Now())
		for i := range 8 {
			if i != 3 {
				p.rtp(1, 96, uint16(i), uint32(i)*900, 100+i, vp8(i == 0))
			}
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(25 * time.Millisecond)
		synctest.Wait()
		arrived := told[*rtcp.TransportLayerCC](p)
		if len(arrived) != 1 || arrived[0].BaseSequenceNumber != 100 || arrived[0].PacketStatusCount != 8 || len(arrived[0].RecvDeltas) != 7 {
			t.Errorf("arrivals %v", arrived)
		}
		time.Sleep(900 * time.Millisecond)
		synctest.Wait()
		p.r.mu.Lock()
		for _, q := range p.told {
			if _, ok := q.(*rtcp.TransportLayerCC); ok {
				t.Errorf("%v again, though nothing came", q)
			}
		}
		p.r.mu.Unlock()
		reports := told[*rtcp.ReceiverReport](p)
		if len(reports) != 1 || len(reports[0].Reports) != 1 {
			t.Fatalf("%v", reports)
		}
		b := reports[0].Reports[0]
		if b.SSRC != 1 || b.LastSequenceNumber != 7 || b.TotalLost != 1 || b.FractionLost != 32 || b.LastSenderReport != 0x456789ab || b.Delay != 1<<16 {
			t.Errorf("%+v", b)
		}
		time.Sleep(5 * time.Second)
		p.end()
		if n := len(told[*rtcp.ReceiverReport](p)); n != 5 {
			t.Errorf("%d reports in 5 s", n)
		}
		p.rtp(1, 96, 9, 9*900, 120, vp8(false))
		p.r.reports(sr, time.Now())
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if len(p.told) != 0 {
			t.Errorf("told %v after the end", p.told)
		}
	})
}

// TestStreamMoves to another SSRC, with numbers and times of its own: the same track goes
// on with its next key frame, in time.
func TestStreamMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPublisherRig(t, vp8Offer)
		for i := range 30 {
			p.rtp(1, 96, 100+uint16(i), uint32(i)*900, i, vp8(i == 0))
			time.Sleep(10 * time.Millisecond)
		}
		p.rtp(1, 96, 200, 40*900, 30, vp8(false)) // and what is between is lost
		for i := range 30 {
			p.rtp(5, 96, 50_000+uint16(i), 1<<31+uint32(i)*900, 40+i, vp8(i == 10))
			p.rtp(1, 96, 201+uint16(i), 40*900, 80+i, vp8(true)) // nobody listens to it any more
			time.Sleep(10 * time.Millisecond)
		}
		s := p.in.status()
		if len(s) != 1 || s[0].Track != "video/hd" || len(s[0].Layers) != 1 || s[0].Frames != 60 || s[0].Missed > 100 {
			t.Errorf("%+v", s)
		}
		if n := p.dropped(skipLeftBehind); n != 30 {
			t.Errorf("%v packets of the old SSRC are counted", n)
		}
		var last time.Time
		l := p.in.tracks[0].layers[0]
		if last = time.UnixMicro(l.began); time.Since(last) > 500*time.Millisecond || time.Since(last) < 0 {
			t.Errorf("the newest group is of %v ago", time.Since(last))
		}
		if l.seq != 2 {
			t.Errorf("%d groups", l.seq)
		}
		reports := told[*rtcp.PictureLossIndication](p)
		if len(reports) == 0 || reports[len(reports)-1].MediaSSRC != 5 {
			t.Errorf("asked for key frames with %v", reports)
		}
		p.end()
	})
}

// FuzzReception: a publisher sends what it likes, protected by its own keys.
func FuzzReception(f *testing.F) {
	f.Add([]byte{0x90, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0xbe, 0xde, 0, 1, 0x31, 0, 1, 0, 0x10, 0x10, 2, 0, 0x9d, 1, 0x2a, 64, 1, 180, 0, 0},
		[]byte{0x80, 97, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 9, 0x10, 1, 2}, []byte{0x80, 200, 0, 6, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, a, b, report []byte) {
		p := newPublisherRig(t, browserOffer)
		defer p.end()
		now := time.Now()
		for i := range 20 {
			for _, raw := range [][]byte{a, b} {
				h, err := packet.ParseHeader(raw)
				if err != nil {
					continue
				}
				h.Seq += uint16(i * i)
				h.Timestamp += uint32(i) * 3000
				p.r.packet(packet.Packet{Header: h, Payload: append([]byte(nil), raw[h.Size:]...), Arrival: now})
			}
			p.r.reports(report, now)
			now = now.Add(30 * time.Millisecond)
		}
	})
}

// BenchmarkReception is what a packet takes from its opening to the relay's log: of
// pictures of nine packets as they come, and of what a hostile publisher can make of them.
func BenchmarkReception(b *testing.B) {
	body := make([]byte, 1160)
	for name, c := range map[string]struct {
		step    int // from one sequence number to the next
		arrival int // and of the arrivals
		payload []byte
	}{
		"plain":              {1, 1, body},
		"numbers jump":       {500, 1, body},
		"numbers jump far":   {5000, 1, body},
		"arrivals jump":      {1, 30_000, body},
		"arrivals are apart": {1, 2000, body},
	} {
		b.Run(name, func(b *testing.B) {
			p := newPublisherRig(b, vp8Offer)
			defer p.end()
			p.r.write = func([]byte) error { return nil }
			now, n := time.Now(), 0
			b.ReportAllocs()
			for b.Loop() {
				first, key := n%9 == 0, n%(9*300) == 0
				payload := c.payload
				payload[0] = 0
				if first {
					copy(payload, vp8(key))
				}
				h := packet.Header{
					SSRC: 1, PayloadType: 96, Seq: uint16(n * c.step), Timestamp: uint32(n/9) * 3000, Marker: n%9 == 8, Size: 12,
				}
				p.r.packet(packet.Packet{Header: h, Payload: payload, Arrival: now})
				p.r.arrivals.Received(uint16(n*c.arrival), now)
				now = now.Add(3700 * time.Microsecond)
				n++
			}
		})
	}
}
