package sim

import (
	"errors"
	"io"
	"math"
	"testing"
	"time"

	"trellis/edge/whip/whipclient"
	"trellis/internal/node"
)

// capturedFrame is a frame as a viewer got it, with what it ought to have been told.
type capturedFrame struct {
	whipclient.Received
	media Media
	due   time.Time // true time of capture
}

// captured watches a publication by WHEP until end, and returns what it was told of each frame.
func (tb *testBackbone) captured(name, node string, p *Publication, end time.Duration) (frames []capturedFrame) {
	tb.Helper()
	player, err := whipclient.Play(tb.within(10*time.Second), whipclient.PlayConfig{Config: tb.client(name, node).webRTC("whep", p.Broadcast)})
	tb.must(err)
	ctx := tb.within(end)
	for {
		f, err := player.Next(ctx)
		if ctx.Err() != nil || errors.Is(err, io.EOF) {
			break
		}
		tb.must(err)
		m := Video
		if f.Codec.Audio() {
			m = Audio
		}
		i, err := p.Clip.identify(m, f.Data)
		tb.must(err)
		frames = append(frames, capturedFrame{f, m, p.Due(m, i)})
	}
	tb.must(player.Close(tb.within(10 * time.Second)))
	return frames
}

// wantCaptured checks what viewers were told of frames that arrived in a time: the time of
// capture on a clock that was ahead of the true time, and how long ago that was.
func (tb *testBackbone) wantCaptured(frames []capturedFrame, from, to time.Time, ahead, within time.Duration) {
	tb.Helper()
	var count [mediaKinds]int
	var worst, worstAge time.Duration
	for _, f := range frames {
		if f.Arrival.Before(from) || f.Arrival.After(to) {
			continue
		}
		count[f.media]++
		off := f.Captured.Sub(f.due.Add(ahead)).Abs()
		age := (f.Age - f.Arrival.Sub(f.due)).Abs()
		worst, worstAge = max(worst, off), max(worstAge, age)
		if off > oneTick || !f.Aged || age > within {
			tb.Errorf("%v of %v, %v after the first: captured is off by %v, the age (%v) of %v by %v", f.media,
				f.due.Sub(from), f.Arrival.Sub(from), f.Captured.Sub(f.due.Add(ahead)), f.Aged, f.Age, f.Age-f.Arrival.Sub(f.due))
			return
		}
	}
	if count[Video] < 20 || count[Audio] < 40 {
		tb.Errorf("%d pictures and %d packets of sound", count[Video], count[Audio])
	}
	tb.Logf("simulated: capture times of %v are off by at most %v, ages by %v", count, worst, worstAge)
}

// oneTick is what a presentation time may be rounded by on its way: one unit of the video
// clock on each of two ways, and microseconds.
const oneTick = 25 * time.Microsecond

// TestCaptureTimesCrossNodes: the publisher's clock is 10 s ahead, those of its node and of the
// viewer's by others. Viewers are told when it captured by its own clock, and how old that is on
// no clock at all; also after it was set.
func TestCaptureTimesCrossNodes(t *testing.T) {
	nodes := Chain("a", "b")
	nodes[0].ClockOffset, nodes[1].ClockOffset = 3*time.Second, -2*time.Second
	onBackbone(t, 21, nodes, link, func(tb *testBackbone) {
		tb.sleep(10 * time.Second) // until the link has been measured
		camera := tb.client("camera", "a")
		camera.StepClock(10 * time.Second)
		p, err := camera.PublishWHIP(tb.within(10*time.Second), "room/camera", Clip{})
		tb.must(err)
		begun := time.Now()
		var status node.Status
		time.AfterFunc(9*time.Second, func() {
			if status, err = tb.Node("b").Status(tb.Context()); err != nil {
				tb.Error(err)
			}
		})
		time.AfterFunc(10*time.Second, func() { camera.StepClock(-7 * time.Second) })
		tb.sleep(time.Second)
		frames := tb.captured("viewer", "b", p, 19*time.Second)
		const within = 2 * time.Millisecond
		tb.wantCaptured(frames, begun.Add(4*time.Second), begun.Add(10*time.Second), 10*time.Second, within)
		tb.wantCaptured(frames, begun.Add(13*time.Second), begun.Add(20*time.Second), 3*time.Second, within)
		if len(status.WebRTC.Lanes) != 2 {
			tb.Errorf("%d lanes", len(status.WebRTC.Lanes))
		}
		for _, l := range status.WebRTC.Lanes {
			way := float64(access.Delay / ms) // and the same back
			if l.Capture != "publisher" || math.Abs(l.FirstMileMs-way) > 0.1 || math.Abs(l.FirstMileErrorMs-way) > 0.1 {
				tb.Errorf("the lane of %s says %s, first mile %v ms within %v", l.Track, l.Capture, l.FirstMileMs, l.FirstMileErrorMs)
			}
		}
		tb.must(p.Stop())
	})
}

// TestIngressTimesCrossNodes: a publisher by MoQ has no clock that anybody knows. Viewers are told
// when its frames came in, on the clock of their node.
func TestIngressTimesCrossNodes(t *testing.T) {
	nodes := Chain("a", "b")
	nodes[0].ClockOffset, nodes[1].ClockOffset = 3*time.Second, -2*time.Second
	onBackbone(t, 22, nodes, link, func(tb *testBackbone) {
		tb.sleep(10 * time.Second) // until the link has been measured
		p := tb.publishMoQ("camera", "a", "room/camera", Clip{})
		tb.sleep(time.Second)
		frames := tb.captured("viewer", "b", p, 3*time.Second)
		for _, f := range frames {
			ingress := f.due.Add(access.Delay - 2*time.Second)
			off := f.Captured.Sub(ingress)
			if f.Arrival.Sub(frames[0].Arrival) < time.Second {
				continue // the publisher was asked for what it had kept
			}
			if f.Aged || off < -ms || off > 5*ms {
				tb.Errorf("%v of %v: captured %v after ingress, aged %v", f.media, f.due, off, f.Aged)
				break
			}
		}
		if len(frames) < 200 {
			tb.Errorf("%d frames", len(frames))
		}
		tb.must(p.Stop())
	})
}
