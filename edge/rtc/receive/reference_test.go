package receive

import (
	"testing"
	"time"

	"github.com/pion/rtcp"
)

// TestReferenceIsAnswered: what we ask is what others read, and what they answer is read.
func TestReferenceIsAnswered(t *testing.T) {
	const ours, sent = 7, 0x0123_4567_89ab_cdef
	packets, err := rtcp.Unmarshal(AppendReference(nil, ours, 8, sent))
	if err != nil {
		t.Fatal(err)
	}
	xr, ok := packets[0].(*rtcp.ExtendedReport)
	if !ok || xr.SenderSSRC != ours || len(xr.Reports) != 2 {
		t.Fatalf("%+v", packets)
	}
	if r, ok := xr.Reports[0].(*rtcp.ReceiverReferenceTimeReportBlock); !ok || r.NTPTimestamp != sent {
		t.Fatalf("%+v", xr.Reports[0])
	}
	if a, ok := xr.Reports[1].(*rtcp.DLRRReportBlock); !ok || len(a.Reports) != 1 || a.Reports[0] != (rtcp.DLRRReport{SSRC: 8}) {
		t.Fatalf("%+v", xr.Reports[1])
	}
	const reference = sent >> 16 & 0xffff_ffff
	after := func(d time.Duration) uint64 { return sent + uint64(d.Milliseconds())<<32/1000 }
	for name, c := range map[string]struct {
		answer rtcp.DLRRReport
		at     uint64
		want   time.Duration
		ok     bool
	}{
		"after 80 ms":                 {rtcp.DLRRReport{SSRC: ours, LastRR: reference, DLRR: 1 << 16}, after(1080 * time.Millisecond), 80 * time.Millisecond, true},
		"at once":                     {rtcp.DLRRReport{SSRC: ours, LastRR: reference, DLRR: 1 << 16}, after(time.Second), 0, true},
		"before, by rounding":         {rtcp.DLRRReport{SSRC: ours, LastRR: reference, DLRR: 1<<16 + 10}, after(time.Second), 0, true},
		"before it can be":            {rtcp.DLRRReport{SSRC: ours, LastRR: reference, DLRR: 1<<16 + 1000}, after(time.Second), 0, false},
		"too late":                    {rtcp.DLRRReport{SSRC: ours, LastRR: reference}, after(11 * time.Second), 0, false},
		"of a reference it never had": {rtcp.DLRRReport{SSRC: ours}, after(time.Second), 0, false},
		"to another":                  {rtcp.DLRRReport{SSRC: 8, LastRR: reference}, after(time.Second), 0, false},
	} {
		b, err := (&rtcp.ExtendedReport{SenderSSRC: 1, Reports: []rtcp.ReportBlock{
			&rtcp.ReceiverReferenceTimeReportBlock{}, &rtcp.DLRRReportBlock{Reports: []rtcp.DLRRReport{{SSRC: 99, LastRR: 5}, c.answer}},
		}}).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		got, ok := RoundTrip(b, ours, c.at)
		if d := got - c.want; ok != c.ok || ok && (d > 100*time.Microsecond || -d > 100*time.Microsecond) {
			t.Errorf("%s: %v, %v, want %v, %v", name, got, ok, c.want, c.ok)
		}
		for n := range b {
			RoundTrip(b[:n], ours, c.at) // whatever is cut off
		}
	}
}

func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte{0x80, 207, 0, 5, 0, 0, 0, 1, 5, 0, 0, 3, 0, 0, 0, 7, 0, 1, 0, 0, 0, 0, 0, 9}, uint64(0x2_0000_0000))
	f.Fuzz(func(t *testing.T, b []byte, at uint64) {
		d, ok := RoundTrip(b, 7, at)
		if ok && (d < 0 || d > maxTrip) {
			t.Errorf("%v of %x at %x", d, b, at)
		}
		if ok && len(b) < 8+4+answerBytes {
			t.Errorf("%v of %d bytes", d, len(b))
		}
	})
}
