package receive

import (
	"encoding/binary"
	"math"
	"testing"
	"time"

	"github.com/pion/rtcp"

	"trellis/edge/rtc/packet"
)

var start = time.Unix(1_700_000_000, 0)

// block reads what a Report writes, as pion does.
func block(t *testing.T, r *Report, now time.Time) rtcp.ReceptionReport {
	t.Helper()
	b := r.Append(nil, now)
	if len(b) != ReportBytes {
		t.Fatalf("%d bytes", len(b))
	}
	var p rtcp.ReceptionReport
	if err := p.Unmarshal(b); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestReport counts through a wrap of the numbers, with losses, a late packet, and
// arrivals that vary by 5 ms.
func TestReport(t *testing.T) {
	r := NewReport(7, 90_000)
	r.Reported(0x0123456789abcdef, start.Add(-500*time.Millisecond))
	first := uint16(65_500)
	for i := range 100 {
		if i%10 == 5 {
			continue
		}
		now := start.Add(time.Duration(i)*20*time.Millisecond + time.Duration(i%2)*5*time.Millisecond)
		r.Received(&packet.Header{Seq: first + uint16(i), Timestamp: math.MaxUint32 - 10_000 + uint32(i)*1800}, now)
	}
	p := block(t, r, start)
	if p.SSRC != 7 || p.LastSequenceNumber != 65_599 || p.TotalLost != 10 || p.FractionLost != 256*10/100 {
		t.Errorf("%+v", p)
	}
	if p.LastSenderReport != 0x456789ab || p.Delay != 1<<15 {
		t.Errorf("%+v: the sender report was half a second ago", p)
	}
	if p.Jitter < 300 || p.Jitter > 450 { // 5 ms are 450
		t.Errorf("jitter is %d", p.Jitter)
	}
	r.Received(&packet.Header{Seq: first + 95}, start) // late
	for i := range 10 {
		r.Received(&packet.Header{Seq: first + 100 + uint16(i)}, start)
	}
	if p := block(t, r, start); p.TotalLost != 9 || p.FractionLost != 0 {
		t.Errorf("%+v: one came late, and all since", p)
	}
	if p := block(t, r, start); p.FractionLost != 0 || p.LastSequenceNumber != 65_609 {
		t.Errorf("%+v: nothing since", p)
	}
}

// TestReportBeginsAnew where numbers jump; one odd packet changes nothing.
func TestReportBeginsAnew(t *testing.T) {
	r := NewReport(7, 48_000)
	for i := range uint16(10) {
		r.Received(&packet.Header{Seq: i}, start)
	}
	r.Received(&packet.Header{Seq: 30_000}, start)
	r.Received(&packet.Header{Seq: 10}, start)
	if p := block(t, r, start); p.LastSequenceNumber != 10 || p.TotalLost != 0 {
		t.Errorf("%+v", p)
	}
	for i := range uint16(10) {
		r.Received(&packet.Header{Seq: 40_000 + i}, start)
	}
	if p := block(t, r, start); p.LastSequenceNumber != 40_009 || p.TotalLost != 0 || p.FractionLost != 0 {
		t.Errorf("%+v", p)
	}
}

// FuzzReport: whatever numbers come, a block can be written.
func FuzzReport(f *testing.F) {
	f.Add([]byte{0, 1, 0, 2, 0xff, 0xff, 0, 0, 0x80, 0, 0x80, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := NewReport(7, 90_000)
		now := start
		for ; len(b) >= 2; b = b[2:] {
			now = now.Add(time.Duration(b[0]) * time.Millisecond)
			r.Received(&packet.Header{Seq: binary.BigEndian.Uint16(b), Timestamp: uint32(b[1]) << 24}, now)
			if b[0]%8 == 0 {
				block(t, r, now)
			}
		}
	})
}
