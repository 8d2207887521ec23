package quality

import (
	"strings"
	"testing"
	"time"

	"trellis/internal/impair"
)

// played is a recording of a viewer that shows a frame each 40 ms but for a gap,
// while the path carries half of its rate.
func played(p *Profile, gapFrom, gapTo time.Duration, height func(time.Duration) int) *recording {
	r := &recording{}
	began := time.UnixMilli(1_795_000_000_000)
	r.begin(began)
	for at := time.Duration(0); at < p.Length; at += time.Second / cameraRate {
		if at < gapFrom || at >= gapTo {
			r.addSeen(seen{Frames: []frame{{At: float64(began.Add(at).UnixMicro()) / 1e3, Height: height(at)}}})
		}
	}
	var bytes float64
	for at := time.Duration(0); at <= p.Length; at += sampleEvery {
		bytes += p.rate(at) / 2 / 8 * sampleEvery.Seconds()
		r.carry(carried{at: at, bytes: uint64(bytes)})
	}
	return r
}

var testProfile = Profile{
	Name: "test", Title: "a test", Length: 20 * time.Second, Steady: 12 * time.Second, Drop: 5 * time.Second, Rise: 10 * time.Second,
	Steps: []Step{
		{Path: impair.Config{RateBps: mbit}}, {At: 5 * time.Second, Path: impair.Config{RateBps: mbit / 4}}, {At: 10 * time.Second, Path: impair.Config{RateBps: mbit}},
	},
}

// TestScore: a freeze right after the drop, a picture that is smaller until two
// seconds after the rise.
func TestScore(t *testing.T) {
	p := testProfile
	s := played(&p, 5*time.Second, 5600*time.Millisecond, func(at time.Duration) int {
		if at >= p.Drop && at < p.Rise+2*time.Second {
			return 270
		}
		return 540
	}).score(&p)
	near := func(name string, got, want, by float64) {
		t.Helper()
		if got < want-by || got > want+by {
			t.Errorf("%s: %.3f, want %.3f within %.3f", name, got, want, by)
		}
	}
	near("frames per second", s.FPS, 25*19.4/20, 0.1)
	near("frozen", s.Frozen, 0.64, 0.01)
	near("react", s.React, 0.6, 0.05)
	near("freeze at the drop", s.DropFreeze, 0.64, 0.01)
	near("recover", s.Recover, 2, 0.05)
	near("of the link", s.UsedOfLink, 0.5, 0.02)
	near("height", s.Height, (540*13+270*7)/20.0, 12)
	if s.Freezes != 1 || len(s.Spans) != 1 {
		t.Errorf("%d freezes at %v, want 1", s.Freezes, s.Spans)
	}
}

// TestReport: all servers are in all plots, and a peer alone is not judged.
func TestReport(t *testing.T) {
	p := testProfile
	steady := func(time.Duration) int { return 540 }
	outcome := func(server string) Outcome {
		return Outcome{Server: server, Profile: p.Name, Score: played(&p, 5*time.Second, 6*time.Second, steady).score(&p)}
	}
	r := newReport(Config{Profiles: []Profile{p}, Peers: []string{LiveKit}})
	r.Outcomes = []Outcome{outcome(Ours), outcome(LiveKit)}
	r.conclude()
	page := string(r.HTML())
	for _, server := range []string{Ours, LiveKit} {
		if n := strings.Count(page, `stroke="`+r.color(server)+`"`); n != 3 {
			t.Errorf("%s is in %d plots, want 3", server, n)
		}
		if !strings.Contains(page, `fill="`+r.color(server)+`"`) {
			t.Errorf("the freezes of %s are not marked", server)
		}
	}
	if strings.Contains(page, "http") || strings.Contains(page, "NaN") {
		t.Error("the page wants something from elsewhere, or a figure is none")
	}
	if !strings.Contains(r.Text(), "beside livekit") {
		t.Errorf("no goal beside the peer:\n%s", r.Text())
	}
	alone := newReport(Config{Profiles: []Profile{p}, Peers: []string{LiveKit}, PeersOnly: true})
	alone.Outcomes = []Outcome{outcome(LiveKit)}
	alone.conclude()
	if len(alone.Goals) > 0 {
		t.Errorf("goals without our node: %+v", alone.Goals)
	}
}

// TestSound: what is concealed counts, silence does not, and no sound is a problem.
func TestSound(t *testing.T) {
	p := testProfile
	r := played(&p, 0, 0, func(time.Duration) int { return 540 })
	r.addSeen(seen{Audio: &audioStats{Samples: 48_000, Concealed: 1000, Silent: 1000}})
	if s := r.score(&p); s.Concealed != 0 || len(r.problems) != 1 {
		t.Errorf("%.3f concealed, problems %q of a sound that stood still", s.Concealed, r.problems)
	}
	r.problems = nil
	r.addSeen(seen{Audio: &audioStats{Samples: 148_000, Concealed: 7000, Silent: 2000}})
	if s := r.score(&p); s.Concealed != 0.05 || len(r.problems) != 0 {
		t.Errorf("%.3f concealed, problems %q, want 0.05 and none", s.Concealed, r.problems)
	}
}

// TestAround: a viewer that knows the server at another port is found out.
func TestAround(t *testing.T) {
	r := &recording{path: 4000}
	r.addSeen(seen{Ports: []uint16{4000}})
	if port := r.around(); port != 0 {
		t.Errorf("the path's own port %d is no way around it", port)
	}
	r.addSeen(seen{Ports: []uint16{4000, 4001}})
	if port := r.around(); port != 4001 {
		t.Errorf("found %d, want 4001", port)
	}
}
