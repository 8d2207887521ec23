package rtc

import (
	"slices"
	"testing"

	"github.com/pion/rtcp"
)

func marshal(tb testing.TB, p rtcp.Packet) []byte {
	tb.Helper()
	b, err := p.Marshal()
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func requests(tb testing.TB) map[string][]byte {
	tb.Helper()
	return map[string][]byte{
		"nack": marshal(tb, &rtcp.TransportLayerNack{MediaSSRC: 7, Nacks: []rtcp.NackPair{{PacketID: 65_530, LostPackets: 0x8101}, {PacketID: 40}}}),
		"pli":  marshal(tb, &rtcp.PictureLossIndication{SenderSSRC: 1, MediaSSRC: 7}),
		"fir":  marshal(tb, &rtcp.FullIntraRequest{SenderSSRC: 1, FIR: []rtcp.FIREntry{{SSRC: 9}, {SSRC: 7}}}),
		"rr":   marshal(tb, &rtcp.ReceiverReport{SSRC: 1, Reports: []rtcp.ReceptionReport{{SSRC: 7}}}),
		"remb": marshal(tb, &rtcp.ReceiverEstimatedMaximumBitrate{SSRCs: []uint32{7}, Bitrate: 1e6}),
	}
}

// TestParseRequest: what asks for something is told from what does not, and whom it
// asks; nothing that is cut short is taken for it.
func TestParseRequest(t *testing.T) {
	for name, b := range requests(t) {
		a, ok := parseRequest(b)
		want := map[string]commandKind{"nack": commandResend, "pli": commandRestart, "fir": commandRestart}[name]
		if !ok || a.kind != want {
			t.Errorf("%s: kind %d, %v; want %d", name, a.kind, ok, want)
		}
		if want != commandJoin && (!a.of(7) || a.of(8)) {
			t.Errorf("%s is not only of the track that it names", name)
		}
		for i := range len(b) {
			if _, ok := parseRequest(b[:i]); ok {
				t.Errorf("%s: %d bytes of %d were accepted", name, i, len(b))
			}
		}
	}
	a, _ := parseRequest(requests(t)["nack"])
	l := newLostPackets(a.entries)
	defer l.release()
	if got, want := l.seqs[:l.n], []uint16{65_530, 65_531, 3, 10, 40}; !slices.Equal(got, want) {
		t.Errorf("lost are %v, want %v", got, want)
	}
	all := make([]byte, 4*100)
	for i := range all {
		all[i] = 0xff
	}
	if many := newLostPackets(all); many.n != maxLostPackets {
		t.Errorf("%d packets are asked for, at most %d", many.n, maxLostPackets)
	}
}

func TestReport(t *testing.T) {
	packets, err := rtcp.Unmarshal(appendReport(nil, 7, 1<<40|5, 11, 12, 13))
	if err != nil || len(packets) != 2 {
		t.Fatalf("%v, %v", packets, err)
	}
	sr, ok := packets[0].(*rtcp.SenderReport)
	if !ok || sr.SSRC != 7 || sr.NTPTime != 1<<40|5 || sr.RTPTime != 11 || sr.PacketCount != 12 || sr.OctetCount != 13 {
		t.Errorf("the report is %v", packets[0])
	}
	name, ok := packets[1].(*rtcp.SourceDescription)
	if !ok || len(name.Chunks) != 1 || name.Chunks[0].Source != 7 || name.Chunks[0].Items[0].Text != cname {
		t.Errorf("the name is %v", packets[1])
	}
}

// FuzzParseRequest: what we take for a NACK asks for what pion reads in it.
func FuzzParseRequest(f *testing.F) {
	for _, b := range requests(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		a, ok := parseRequest(b)
		if !ok || a.kind == commandJoin {
			return
		}
		a.of(7)
		if a.kind != commandResend || b[0]&0x20 != 0 {
			return
		}
		got := newLostPackets(a.entries)
		defer got.release()
		size, _ := rtcpSize(b)
		var n rtcp.TransportLayerNack
		if err := n.Unmarshal(b[:size]); err != nil {
			t.Fatalf("pion: %v", err)
		}
		var want []uint16
		for i := range n.Nacks {
			want = append(want, n.Nacks[i].PacketList()...)
		}
		if want = want[:min(len(want), maxLostPackets)]; !slices.Equal(got.seqs[:got.n], want) {
			t.Errorf("got %v, want %v", got.seqs[:got.n], want)
		}
	})
}

// TestReportedLoss reads the share of lost packets out of reports, and nothing out of
// what is cut short.
func TestReportedLoss(t *testing.T) {
	blocks := []rtcp.ReceptionReport{{SSRC: 9, FractionLost: 1}, {SSRC: 7, FractionLost: 64}}
	for name, b := range map[string][]byte{
		"receiver": marshal(t, &rtcp.ReceiverReport{SSRC: 1, Reports: blocks}),
		"sender":   marshal(t, &rtcp.SenderReport{SSRC: 1, Reports: blocks}),
	} {
		if loss, ok := reportedLoss(b, 7); !ok || loss != 0.25 {
			t.Errorf("%s: %v, %v", name, loss, ok)
		}
		if _, ok := reportedLoss(b, 8); ok {
			t.Errorf("%s: a report on nobody's track", name)
		}
		for n := range b {
			if loss, ok := reportedLoss(b[:n], 7); ok {
				t.Errorf("%s: %v out of %d bytes", name, loss, n)
			}
		}
	}
}
