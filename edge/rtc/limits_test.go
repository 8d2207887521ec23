package rtc

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"trellis/edge/rtc/bwe"
)

// TestOfferLimits: offers that would make us look at too much, or make of us what a
// client should not, are refused.
func TestOfferLimits(t *testing.T) {
	video := section("video", "sendonly", "VP8/90000")
	many := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format+"\r\n", i)
		}
		return b.String()
	}
	for name, text := range map[string]string{
		"size":       sessionLines + video + strings.Repeat("a=x\r\n", maxOfferBytes/5+1),
		"attributes": sessionLines + video + many(maxAttributes+1, "a=x%d"),
		"rids":       sessionLines + video + many(maxRIDs+1, "a=rid:r%d send"),
		"SSRCs":      sessionLines + video + many(maxSSRCs+1, "a=ssrc:%d cname:x"),
		"lite":       sessionLines + "a=ice-lite\r\n" + video,
	} {
		if _, err := parseOffer(text); !errors.Is(err, ErrBadOffer) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestFormatCountsOnce, however often an offer describes it.
func TestFormatCountsOnce(t *testing.T) {
	o, err := parseOffer(sessionLines + section("video", "sendonly", "VP8/90000") +
		strings.Repeat("a=rtpmap:100 H264/90000\r\n", 500))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(o.section(false).codecs); n != 1 {
		t.Errorf("%d codecs of one payload type", n)
	}
}

// fuzzedConn is a viewer on a lane that nobody runs.
func fuzzedConn(tb testing.TB) *viewerConn {
	tb.Helper()
	l := newTestLane(tb, 1, &discard{})
	l.commands = make(chan laneCommand, laneCommands)
	next := feed(l, 3000)
	for range 40 {
		next()
	}
	e := &Edge{metrics: l.metrics, log: slog.New(slog.DiscardHandler)}
	s := &Session{id: strings.Repeat("x", 22), edge: e, log: e.log, connected: make(chan struct{})}
	log := bwe.NewLog(time.Unix(1_700_000_000, 0))
	for i := range 100 {
		log.Add(time.Unix(1_700_000_000, int64(i)*1e6), 1000, bwe.Media)
	}
	c := &viewerConn{session: s, steering: newSteering(s, log), asks: newAsks()}
	track := &viewerTrack{viewer: l.viewers[0], cfg: l.viewers[0].cfg}
	track.swap(&laneHold{lane: l})
	c.steering.steer(track)
	track.joined.Store(true)
	c.sections.Store(&[]answered{{track: track}})
	return c
}

// FuzzFeedback reads compound packets as a viewer's keys open them, and does what
// they ask: whatever is in them, it is bounded and never a panic.
func FuzzFeedback(f *testing.F) {
	f.Add([]byte{0x81, 206, 0, 2, 0, 0, 0, 9, 0, 0, 0, 1})                                                               // PLI
	f.Add([]byte{0x81, 205, 0, 3, 0, 0, 0, 9, 0, 0, 0, 1, 0, 7, 0xff, 0xff})                                             // NACK
	f.Add([]byte{0x84, 206, 0, 4, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0})                                       // FIR
	f.Add([]byte{0x80, 201, 0, 1, 0, 0, 0, 9, 0x81, 202, 0, 3, 0, 0, 0, 9, 1, 1, 'x', 0, 0, 0, 0, 0})                    // RR, SDES
	f.Add([]byte{0x8f, 205, 0, 5, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 1, 0, 0x20, 3, 4, 4})                        // arrivals
	f.Add([]byte{0x8f, 205, 0, 5, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 3, 0xff, 0xff, 0xff, 0xff, 0x40, 1, 0x80, 0})         // at odd times
	f.Add([]byte{0x8f, 206, 0, 5, 0, 0, 0, 9, 0, 0, 0, 0, 'R', 'E', 'M', 'B', 1, 0xff, 0xff, 0xff, 0, 0, 0, 1, 0x81, 1}) // REMB, cut
	c := fuzzedConn(f)
	track := (*c.sections.Load())[0].track
	now := time.Unix(1_700_000_001, 0)
	f.Fuzz(func(t *testing.T, b []byte) {
		now = now.Add(time.Second)
		c.read(b, now)
		l := track.hold().lane
		asked := 0
		for len(l.commands) > 0 {
			cmd := <-l.commands
			asked++
			if err := l.command(cmd, now); err != nil {
				t.Fatal(err)
			}
		}
		if most := askBurst + pictureBurst + 8; asked > most {
			t.Fatalf("%d commands, at most %d", asked, most)
		}
		e := c.steering.control.Estimate()
		if e.Bps < 0 || e.SustainedBps < 0 || e.Loss < 0 || e.Loss > 1 || e.RTT < 0 {
			t.Fatalf("estimate %+v", e)
		}
	})
}

// FuzzCandidate reads candidates as clients trickle them.
func FuzzCandidate(f *testing.F) {
	f.Add("candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1")
	f.Add("candidate:1 1 tcp 1 192.0.2.1 9 typ host tcptype passive")
	f.Add("candidate:1 1 udp 1 foo.local 9 typ srflx raddr 0.0.0.0 rport 0")
	f.Add("candidate:")
	f.Fuzz(func(t *testing.T, s string) {
		if err := checkCandidate(s); err != nil && !strings.Contains(err.Error(), "candidate") {
			t.Errorf("%v does not say what it is about", err)
		}
	})
}
