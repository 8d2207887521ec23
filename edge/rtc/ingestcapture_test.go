package rtc

import (
	"encoding/binary"
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtcp"

	"trellis/edge/framing"
	"trellis/edge/rtc/packet"
	"trellis/edge/rtc/stream"
	"trellis/wire/hang"
)

// report has a sender report arrive now: the publisher's clock is ahead by so much.
func (p *publisherRig) report(ssrc, timestamp uint32, ahead time.Duration) {
	b, err := rtcp.Marshal([]rtcp.Packet{&rtcp.SenderReport{
		SSRC: ssrc, NTPTime: stream.NTP(time.Now().Add(ahead)), RTPTime: timestamp,
	}})
	if err != nil {
		p.t.Fatal(err)
	}
	p.r.reports(b, time.Now())
}

// captures returns what the catalog says of the capture of each picture.
func (p *publisherRig) captures() map[string]hang.Capture {
	c := p.in.catalog
	c.mu.Lock()
	defer c.mu.Unlock()
	var doc hang.Catalog
	if err := json.Unmarshal(c.document, &doc); err != nil {
		p.t.Fatalf("%v in %s", err, c.document)
	}
	all := map[string]hang.Capture{}
	for name, v := range doc.Video.Renditions {
		all[name] = v.Capture
	}
	return all
}

// TestCaptureFollowsTheClock of a publisher without the extension: nothing is said before its first
// report; then its capture times, at once when the clock is set, and otherwise seldom.
func TestCaptureFollowsTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPublisherRig(t, vp8Offer)
		defer p.end()
		n, said, last := 0, 0, hang.Capture{}
		ahead := -time.Hour
		// send sends pictures for some time, and every second a report. What is captured takes
		// 30 ms to be sent, and nothing to arrive.
		const late = 30 * time.Millisecond
		send := func(d time.Duration, reports bool) {
			for end := time.Now().Add(d); time.Now().Before(end); n++ {
				ticks := uint32(n) * 3600
				if reports && n%25 == 0 {
					p.report(1, ticks+uint32(late.Milliseconds()*90), ahead)
				}
				p.rtp(1, 96, uint16(n), ticks, n, vp8(n%100 == 0))
				if is := p.captures()["video/hd"]; is != last {
					last = is
					said++
				}
				time.Sleep(40 * time.Millisecond)
			}
		}
		want := func(when string, times int) {
			t.Helper()
			// Of the latest picture: its presentation time is that of its arrival.
			captured := last.OffsetUs - (ahead - late).Microseconds()
			ingress := last.IngressUs - ahead.Microseconds()
			if !last.Known() || captured < -20 || captured > 20 || ingress < -20 || ingress > 20 || last.ErrorUs != 0 || said != times {
				t.Errorf("%s: %+v after %d times: off by %d and %d µs", when, last, said, captured, ingress)
			}
		}
		send(2*time.Second, false)
		if last.Known() {
			t.Errorf("%+v is said before any report", last)
		}
		send(5*time.Second, true)
		want("after reports", 1)
		ahead += 5 * time.Second
		send(3*time.Second, true)
		want("after the clock was set", 2)
		ahead -= 400 * time.Millisecond
		send(3*time.Second, true)
		want("after it was set back a little", 3)
		ahead += time.Millisecond
		send(20*time.Second, true)
		if said != 3 {
			t.Errorf("said %d times, for a millisecond", said)
		}
	})
}

// TestCaptureErrorIsHalfTheRoundTrip: a publisher that answers references is known to within that.
func TestCaptureErrorIsHalfTheRoundTrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPublisherRig(t, vp8Offer)
		defer p.end()
		const there, back = 20 * time.Millisecond, 60 * time.Millisecond // to the publisher, and from it
		for n := range 100 {
			// Who sends this sent it a while ago.
			ticks := uint32(n) * 3600
			if n%25 == 0 {
				p.report(1, ticks, -back)
			}
			p.rtp(1, 96, uint16(n), ticks, n, vp8(n%100 == 0))
			for _, xr := range told[*rtcp.ExtendedReport](p) {
				asked, ok := xr.Reports[0].(*rtcp.ReceiverReferenceTimeReportBlock)
				if !ok {
					t.Fatalf("%+v", xr)
				}
				time.AfterFunc(there+back+100*time.Millisecond, func() {
					b, err := rtcp.Marshal([]rtcp.Packet{&rtcp.ReceiverReport{}, &rtcp.ExtendedReport{SenderSSRC: 1, Reports: []rtcp.ReportBlock{
						&rtcp.DLRRReportBlock{Reports: []rtcp.DLRRReport{{SSRC: xr.SenderSSRC, LastRR: uint32(asked.NTPTimestamp >> 16), DLRR: 6554}}},
					}}})
					if err != nil {
						t.Error(err)
					}
					p.r.reports(b, time.Now())
				})
			}
			time.Sleep(40 * time.Millisecond)
		}
		is := p.captures()["video/hd"]
		mile, bound := time.Duration(is.IngressUs-is.OffsetUs)*time.Microsecond, time.Duration(is.ErrorUs)*time.Microsecond
		if off := mile - back; bound < 39*time.Millisecond || bound > 41*time.Millisecond || off.Abs() > bound {
			t.Errorf("the first mile is %v within %v, and is %v", mile, bound, back)
		}
	})
}

// TestCaptureOfEachLayer: layers of simulcast are streams with reports of their own, those of SVC are
// of one; the catalog says the same of each.
func TestCaptureOfEachLayer(t *testing.T) {
	want := func(t *testing.T, p *publisherRig, ahead time.Duration, names ...string) {
		t.Helper()
		all := p.captures()
		if len(all) != len(names) {
			t.Errorf("the catalog is %s", p.in.catalog.document)
		}
		for _, name := range names {
			is := all[name]
			captured, now := is.OffsetUs-ahead.Microseconds(), is.IngressUs-ahead.Microseconds()
			if captured < -20 || captured > 20 || now < -20 || now > 20 {
				t.Errorf("%s: %+v in %s", name, is, p.in.catalog.document)
			}
		}
	}
	t.Run("simulcast", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := newPublisherRig(t, browserOffer)
			defer p.end()
			const ahead = 10 * time.Second
			for n := range 60 {
				for i, rid := range []string{"q", "h", "f"} {
					ssrc, ticks := uint32(i+11), uint32(i)<<30+uint32(n)*3600
					if n%25 == 0 {
						p.report(ssrc, ticks, ahead)
					}
					b := []byte{0x90, 96 | 0x80, 0, byte(n)}
					b = binary.BigEndian.AppendUint32(b, ticks)
					b = binary.BigEndian.AppendUint32(b, ssrc)
					b = append(b, 0xbe, 0xde, 0, 1, 0xa0, rid[0], 0, 0)
					h, err := packet.ParseHeader(b)
					if err != nil {
						t.Fatal(err)
					}
					p.r.packet(packet.Packet{Header: h, Payload: vp8(n%50 == 0), Arrival: time.Now()})
				}
				time.Sleep(40 * time.Millisecond)
			}
			want(t, p, ahead, "video/q", "video/h", "video/f")
		})
	})
	t.Run("SVC", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := newPublisherRig(t, browserOffer)
			defer p.end()
			in, err := stream.NewInbound(stream.InboundConfig{
				SSRC: 1, Format: stream.Format{PayloadType: 98, Codec: framing.VP9}, Timeline: p.in.timeline, Layers: true,
			})
			if err != nil {
				t.Fatal(err)
			}
			track, err := p.in.add(in, "")
			if err != nil {
				t.Fatal(err)
			}
			key := []byte{0x82, 0x49, 0x83, 0x42, 0x00, 0x0b, 0xf0, 0x06, 0xb0, 0x00} // a key frame's beginning
			for n := range 60 {
				now := time.Now()
				for s := range uint8(2) {
					track.Begin(stream.FrameInfo{
						PTS: now.UnixMicro(), Arrival: now, Key: n%25 == 0 && s == 0,
						Capture: stream.Capture{At: now.Add(-time.Hour), Now: now.Add(-time.Hour)},
						Layer:   framing.Layer{Spatial: s, Spatials: 2, Temporals: 1, Below: s > 0, Before: n%25 > 0, Width: 192, Height: 108},
					})
					track.Data(key, true)
				}
				time.Sleep(40 * time.Millisecond)
			}
			want(t, p, -time.Hour, "video/hd-s0", "video/hd-s1")
		})
	})
}
