package rtc

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"trellis/edge/rtc/bwe"
	"trellis/edge/rtc/flexfec/flexfectest"
	"trellis/edge/rtc/transport"
)

func TestFECFollowsLossAndRoundTrip(t *testing.T) {
	var f fec
	now := time.Unix(1_700_000_000, 0)
	const far, near = 300 * time.Millisecond, 40 * time.Millisecond
	for i, step := range []struct {
		during time.Duration
		loss   float64
		rtt    time.Duration
		queue  time.Duration
		room   float64
		share  float64
		why    fecReason // of the last change
	}{
		{10 * time.Second, 0, far, 0, 9, 0, fecStays},
		{10 * time.Second, 0.004, far, 0, 9, 0, fecStays},
		{10 * time.Second, 0.10, near, 0, 9, 0, fecStays},   // it can be sent again in time
		{20 * time.Second, 0, near, 0, 9, 0, fecStays},      // long enough to be forgotten
		{20 * time.Second, 0.10, far, 1e9, 9, 0, fecStays},  // the path is full
		{30 * time.Second, 0.02, far, 0, 9, 0.2, fecLoss},   // six times as much as is lost, rounded up
		{30 * time.Second, 0.05, far, 0, 9, 0.3, fecLoss},   // and more
		{30 * time.Second, 0.20, far, 0, 9, 0.5, fecLoss},   // but not more than that
		{5 * time.Second, 0.20, far, 0, 0.25, 0.2, fecRoom}, // that fits, and is a little more in bytes
		{5 * time.Second, 0.20, far, 0, 0.05, 0, fecRoom},   // nothing does
		{5 * time.Second, 0.20, far, 0, 9, 0.5, fecLoss},    // again
		{40 * time.Second, 0.02, far, 0, 9, 0.2, fecCalmed}, // less by steps
		{10 * time.Second, 0.002, far, 0, 9, 0.2, fecStays}, // it may come again
		{30 * time.Second, 0.002, far, 0, 9, 0, fecCalmed},  // it does not
		{10 * time.Second, 0.05, far, 0, 9, 0.3, fecLoss},   // it did
		{time.Second, 0.05, near, 0, 9, 0, fecNear},         // another path
	} {
		why := fecStays
		for range step.during / steerEvery {
			e := bwe.Estimate{Loss: step.loss, RTT: step.rtt, QueueDelay: step.queue, Threshold: 30 * time.Millisecond}
			f.observe(now, e)
			if _, w := f.fit(now, e, step.room); w != fecStays {
				why = w
			}
			now = now.Add(steerEvery)
		}
		if d := f.plan.share - step.share; d > 1e-6 || d < -1e-6 || why != step.why {
			t.Errorf("step %d: share %.2f because of %v, want %.2f because of %v (loss %.4f)", i, f.plan.share, why, step.share, step.why, f.loss)
		}
	}
}

// wires keeps packets as they are on the wire but for their protection.
type wires struct {
	packets [][]byte
	at      []uint64
}

func (w *wires) Send(_ *transport.Batch, header, payload []byte, _ uint32, index uint64) error {
	w.packets, w.at = append(w.packets, slices.Concat(header, payload)), append(w.at, index)
	return nil
}

func (w *wires) SendRTCP(*transport.Batch, []byte) error { return nil }

const (
	testFECSSRC = 77
	testFECPT   = 49
)

// protectedLane returns a lane whose viewers are sent repair packets.
func protectedLane(tb testing.TB, viewers int, out packetOut, share float64) *lane {
	tb.Helper()
	l := newTestLane(tb, viewers, out)
	for _, v := range l.viewers {
		v.cfg.sent, v.cfg.transport, v.cfg.playout = bwe.NewLog(time.Unix(1_700_000_000, 0)), 4, 5
		v.cfg.fecPT, v.cfg.fecSSRC = testFECPT, testFECSSRC
		v.protectPicture(fecPlan{share: share, span: 100 * time.Millisecond})
	}
	return l
}

// TestLaneSendsRepairs: what a viewer loses of a picture it finds out from the rest, to the last
// byte but for the transport-wide number.
func TestLaneSendsRepairs(t *testing.T) {
	for _, c := range []struct {
		name        string
		frame       int // bytes
		share, left float64
	}{
		{"one packet a frame", 700, 0.5, 0.01},
		{"some", 3000, 0.3, 0.012},
		{"many", 30_000, 0.3, 0.004},
		{"more than a group", 80_000, 0.2, 0.01},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := &wires{}
			l := protectedLane(t, 1, out, c.share)
			next := feed(l, c.frame)
			for i := range 1000 {
				if next(); i%50 == 49 { // again from the group's beginning
					v, la := l.viewers[0], l.layers[0]
					v.begin(la.packets, la.packets.groupStart, 0)
					l.send(v, 1<<20, time.Unix(1_700_000_000, 0).Add(time.Duration(i)*33_333*time.Microsecond))
					v.state = viewerLive
				}
			}
			// Always the same losses: a share of them is compared with a bound.
			seed := uint64(c.frame) //nolint:gosec // small
			rng := rand.New(rand.NewPCG(seed, 1))
			d := flexfectest.Decoder{SSRC: 1}
			missing := map[string]bool{}
			find := func(found [][]byte) {
				for _, f := range found {
					if !missing[string(f)] {
						t.Fatalf("seed %d: found %x, which was not lost", seed, f[:20])
					}
					delete(missing, string(f))
				}
			}
			media, repairs, transportWide := 0, 0, uint16(0)
			for i, p := range out.packets {
				if n := binary.BigEndian.Uint16(p[17:]); n != transportWide {
					t.Fatalf("packet %d has the transport-wide number %d, want %d", i, n, transportWide)
				}
				transportWide++
				lost := rng.Float64() < 0.05
				if p[1]&0x7f == testFECPT {
					repairs++
					if ssrc := binary.BigEndian.Uint32(p[8:]); ssrc != testFECSSRC {
						t.Fatalf("a repair packet of %d", ssrc)
					}
					if len(p) > 1300 {
						t.Fatalf("a repair packet of %d bytes", len(p))
					}
					if !lost {
						found, err := d.Repair(p[20:])
						if err != nil {
							t.Fatal(err)
						}
						find(found)
					}
					continue
				}
				media++
				p = bytes.Clone(p)
				p[17], p[18] = 0, 0
				if lost {
					missing[string(p)] = true
				} else {
					find(d.Media(p))
				}
			}
			share, left := float64(repairs)/float64(media), float64(len(missing))/float64(media)
			t.Logf("%d packets, %.3f repairs for each, %.2f %% left of 5 %%", media, share, 100*left)
			if share > c.share+0.01 || share < 0.8*c.share {
				t.Errorf("%.3f repair packets for a packet, want %.2f", share, c.share)
			}
			if left > c.left {
				t.Errorf("seed %d: %.2f %% of the packets are still missing, want at most %.2f %%", seed, 100*left, 100*c.left)
			}
			for i, at := range out.at[1:] {
				if last := out.packets[i]; last[1]&0x7f == out.packets[i+1][1]&0x7f && at != out.at[i]+1 {
					t.Errorf("index %d follows %d", at, out.at[i])
				}
			}
		})
	}
}

// TestLoneFrameIsProtected has a picture stop: its last packets do not wait for more.
func TestLoneFrameIsProtected(t *testing.T) {
	out := &wires{}
	l := protectedLane(t, 1, out, 0.3)
	feed(l, 10_000)()
	if n := len(out.packets); n != 9 {
		t.Fatalf("%d packets of a frame", n)
	}
	now := time.Unix(1_700_000_000, 0)
	l.viewers[0].reportDue = now.Add(time.Hour)
	for range 10 {
		l.advance(now)
		if len(out.packets) > 9 {
			break
		}
		now = l.due
	}
	if n, late := len(out.packets)-9, now.Sub(time.Unix(1_700_000_000, 0)); n != 3 || late > 250*time.Millisecond {
		t.Errorf("%d repair packets, %v after the frame", n, late)
	}
}

// TestUnprotectedViewer: who did not negotiate repairs is not sent any, and the
// answer to its offer does not speak of them.
func TestUnprotectedViewer(t *testing.T) {
	plain := sessionLines + section("video", "recvonly", "VP8/90000") + "a=rtcp-fb:100 transport-cc\r\n"
	browser := strings.Replace(plain, "SAVPF 100\r\n", "SAVPF 100 49\r\n", 1) +
		"a=rtpmap:49 flexfec-03/90000\r\na=fmtp:49 repair-window=10000000\r\n"
	for offered, sdp := range map[bool]string{true: browser, false: plain} {
		o, err := parseOffer(sdp)
		if err != nil {
			t.Fatal(err)
		}
		m := o.section(false)
		track := newViewerTrack(m, m.codecs[0], bwe.NewLog(time.Now()))
		if got := track.cfg.fecPT != 0 && track.cfg.fecSSRC != 0; got != offered {
			t.Errorf("offered %v: payload type %d, SSRC %d", offered, track.cfg.fecPT, track.cfg.fecSSRC)
		}
		answer, err := writeAnswer(o, []answered{{media: m, codec: m.codecs[0], track: track}}, transport.Local{}, "sha-256 00")
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{"a=rtpmap:49 flexfec-03/90000", "a=fmtp:49 repair-window=10000000", "a=ssrc-group:FEC-FR "} {
			if strings.Contains(answer, part) != offered {
				t.Errorf("offered %v: %q in\n%s", offered, part, answer)
			}
		}
		blind := newViewerTrack(m, m.codecs[0], nil)
		if blind.cfg.fecPT != 0 {
			t.Error("repairs for a viewer that does not report what arrives")
		}
	}
}
