package bwe

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"pgregory.net/rapid"
)

func collectReports(f CongestionFeedback) []Report {
	var out []Report
	for it := f.Reports(); ; {
		r, ok := it.Next()
		if !ok {
			return out
		}
		out = append(out, r)
	}
}

// drawCongestion draws feedback, as pion has it and as we read it.
func drawCongestion(t *rapid.T) (rtcp.CCFeedbackReport, []Report) {
	m := rtcp.CCFeedbackReport{SenderSSRC: rapid.Uint32().Draw(t, "sender"), ReportTimestamp: rapid.Uint32().Draw(t, "timestamp")}
	var want []Report
	for range rapid.IntRange(0, 4).Draw(t, "blocks") {
		block := rtcp.CCFeedbackReportBlock{MediaSSRC: rapid.Uint32().Draw(t, "ssrc"), BeginSequence: rapid.Uint16().Draw(t, "begin")}
		for i := range rapid.IntRange(1, 30).Draw(t, "reports") {
			r := Report{SSRC: block.MediaSSRC, Seq: block.BeginSequence + uint16(i)}
			metric := rtcp.CCFeedbackMetricBlock{Received: rapid.Bool().Draw(t, "received")}
			if metric.Received {
				metric.ECN = rtcp.ECN(rapid.IntRange(0, 3).Draw(t, "ecn"))
				metric.ArrivalTimeOffset = rapid.Uint16Range(0, 0x1fff).Draw(t, "offset")
				r.Received, r.ECN, r.Known = true, ECN(metric.ECN), metric.ArrivalTimeOffset < 0x1ffe
				if r.Known {
					r.Before = time.Duration(metric.ArrivalTimeOffset) * time.Second / 1024
				}
			}
			want = append(want, r)
			block.MetricBlocks = append(block.MetricBlocks, metric)
		}
		m.ReportBlocks = append(m.ReportBlocks, block)
	}
	return m, want
}

func TestCongestionAgainstPion(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, want := drawCongestion(t)
		b, err := m.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		f, err := ParseCongestionFeedback(b)
		if err != nil {
			t.Fatal(err)
		}
		if f.SenderSSRC != m.SenderSSRC || f.Timestamp != m.ReportTimestamp || f.Count != len(want) {
			t.Fatalf("got %+v, want %+v", f, m)
		}
		if got := collectReports(f); !slices.Equal(got, want) {
			t.Fatalf("got %v\nwant %v", got, want)
		}
		for n := range b {
			if _, err := ParseCongestionFeedback(b[:n]); err == nil {
				t.Fatalf("a prefix of %d of %d bytes is accepted", n, len(b))
			}
		}
	})
}

func TestCongestionIsRefused(t *testing.T) {
	head := func(words byte) []byte { return []byte{0x8b, 205, 0, words, 0, 0, 0, 1} }
	for _, c := range []struct {
		what string
		b    []byte
		want error
	}{
		{"no timestamp", head(1), ErrMalformed},
		{"half a block head", append(head(3), 0, 0, 0, 2, 0, 0, 0, 0), ErrMalformed},
		{"reports beyond the end", append(head(4), 0, 0, 0, 2, 0, 1, 0, 9, 0, 0, 0, 0), ErrMalformed},
		{"too many reports", append(head(4), 0, 0, 0, 2, 0, 1, 0x40, 1, 0, 0, 0, 0), ErrTooMany},
		{"transport feedback", []byte{0x8f, 205, 0, 0}, ErrNotFeedback},
	} {
		if _, err := ParseCongestionFeedback(c.b); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.what, err, c.want)
		}
	}
	// A block without reports is no mistake.
	f, err := ParseCongestionFeedback(append(head(4), 0, 0, 0, 2, 0, 1, 0, 0, 0, 0, 0, 7))
	if err != nil || f.Count != 0 || f.Timestamp != 7 || len(collectReports(f)) != 0 {
		t.Errorf("an empty block: %+v, %v", f, err)
	}
}

func FuzzParseCongestionFeedback(f *testing.F) {
	f.Add([]byte{0x8b, 205, 0, 5, 0, 0, 0, 1, 0, 0, 0, 2, 0, 1, 0, 1, 0x80, 9, 0, 0, 0, 0, 0, 7})
	f.Add([]byte{0x8b, 205, 0, 2, 0, 0, 0, 1, 0, 0, 0, 7})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseCongestionFeedback(b)
		if err != nil {
			return
		}
		reports := collectReports(m)
		if len(reports) != m.Count {
			t.Fatalf("%d reports of %d", len(reports), m.Count)
		}
		if len(reports) > 10_000 {
			return // in blocks of one that is more than fits
		}
		again, err := ParseCongestionFeedback(appendCongestion(m.SenderSSRC, m.Timestamp, reports))
		if err != nil {
			t.Fatal(err)
		}
		if got := collectReports(again); !slices.Equal(got, reports) {
			t.Fatalf("got %v\nwant %v", got, reports)
		}
	})
}

// appendCongestion writes feedback with a block for each report, which is the
// least that says the same.
func appendCongestion(sender, timestamp uint32, reports []Report) []byte {
	word := func(b []byte, v uint32) []byte { return append(b, byte(v>>24), byte(v>>16), byte(v>>8), byte(v)) }
	b := word([]byte{0x8b, rtpfb, 0, 0}, sender)
	for _, r := range reports {
		b = word(b, r.SSRC)
		b = word(b, uint32(r.Seq)<<16|1)
		var v uint32
		if r.Received {
			offset := uint32(offsetUnknown)
			if r.Known {
				offset = uint32((r.Before*1024 + time.Second - 1) / time.Second)
			}
			v = 0x8000 | uint32(r.ECN)<<13 | offset
		}
		b = word(b, v<<16)
	}
	b = word(b, timestamp)
	b[2], b[3] = byte((len(b)/4-1)>>8), byte(len(b)/4-1)
	return b
}
