package quality

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// Report is the outcome of a comparison.
type Report struct {
	Began       time.Time `json:"began"`
	Config      Config    `json:"config"`
	Machine     string    `json:"machine"`
	LoadAverage string    `json:"load_average"`
	Outcomes    []Outcome `json:"outcomes"`
	Goals       []Goal    `json:"goals"`
}

// Outcome is one profile with one server.
type Outcome struct {
	Server  string `json:"server"`
	Profile string `json:"profile"`
	Round   int    `json:"round"`
	// Published is how many layers the publisher's browser sent at the end.
	Published int      `json:"layers_published"`
	Problems  []string `json:"problems,omitempty"`
	Score
}

// Goal is a figure with what it should be.
type Goal struct {
	Name  string  `json:"name"`
	Got   float64 `json:"got"`
	Want  float64 `json:"want"`
	Least bool    `json:"at_least"` // else at most
	Met   bool    `json:"met"`
}

func newReport(cfg Config) *Report {
	load, _ := os.ReadFile("/proc/loadavg") // nowhere but on Linux
	return &Report{
		Began: time.Now().UTC().Truncate(time.Second), Config: cfg, LoadAverage: strings.TrimSpace(string(load)),
		Machine: fmt.Sprintf("%d processors, %s/%s, %s", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version()),
	}
}

// mean is that of a figure over the rounds.
func (r *Report) mean(server, profile string, of func(*Outcome) float64) (float64, bool) {
	sum, n := 0.0, 0
	for i := range r.Outcomes {
		if o := &r.Outcomes[i]; o.Server == server && o.Profile == profile {
			sum += of(o)
			n++
		}
	}
	return sum / float64(max(n, 1)), n > 0
}

// conclude works out the goals.
func (r *Report) conclude() {
	goal := func(name string, got, want float64, least bool) {
		r.Goals = append(r.Goals, Goal{name, got, want, least, least && got >= want || !least && got <= want})
	}
	figures := []struct {
		name  string
		of    func(*Outcome) float64
		more  bool    // is better
		slack float64 // that is no difference
	}{
		{"frames per second", func(o *Outcome) float64 { return o.FPS }, true, 1},
		{"mean height", func(o *Outcome) float64 { return o.Height }, true, 10},
		{"seconds frozen", func(o *Outcome) float64 { return o.Frozen }, false, 0.3},
	}
	for _, p := range r.Config.Profiles {
		if r.Config.PeersOnly {
			break
		}
		for _, f := range figures {
			us, ok := r.mean(Ours, p.Name, f.of)
			for _, peer := range r.Config.Peers {
				them, there := r.mean(peer, p.Name, f.of)
				if !ok || !there {
					continue
				}
				if f.more {
					goal(fmt.Sprintf("%s: %s, beside %s", p.Title, f.name, peer), us, them-f.slack, true)
				} else {
					goal(fmt.Sprintf("%s: %s, beside %s", p.Title, f.name, peer), us, them+f.slack, false)
				}
			}
		}
		used, _ := r.mean(Ours, p.Name, func(o *Outcome) float64 { return o.Used })
		goal(p.Title+": use of what fits", used, 0.85, true)
		if p.Drop == 0 {
			continue
		}
		if p.rate(p.Drop) > 0 {
			v, _ := r.mean(Ours, p.Name, func(o *Outcome) float64 { return o.React })
			goal(p.Title+": seconds to react", v, 1, false)
			v, _ = r.mean(Ours, p.Name, func(o *Outcome) float64 { return o.DropFreeze })
			goal(p.Title+": longest freeze at the drop, s", v, 0.5, false)
		}
		v, _ := r.mean(Ours, p.Name, func(o *Outcome) float64 {
			if o.Recover < 0 {
				return p.Length.Seconds()
			}
			return o.Recover
		})
		goal(p.Title+": seconds to recover", v, 5, false)
	}
}

// Text is for terminals.
func (r *Report) Text() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("MEASURED with real browsers (%s): %s; load before: %s; picture of %dx%d at %d/s in %d layers",
		r.Config.Browser, r.Machine, r.LoadAverage, cameraWidth, cameraHeight, cameraRate, len(layers))
	line("%-10s %-16s %5s %7s %8s %8s %8s %6s %6s %7s %7s %7s %6s", "profile", "server", "fps", "height", "freezes", "frozen s", "longest",
		"used", "link", "react", "recover", "concl.", "PLIs")
	for _, o := range r.Outcomes {
		line("%-10s %-16s %5.1f %7.0f %8d %8.2f %8.2f %5.0f%% %5.0f%% %7.2f %7.2f %6.2f%% %6.0f", o.Profile, o.Server, o.FPS, o.Height, o.Freezes,
			o.Frozen, o.LongestFreeze, 100*o.Used, 100*o.UsedOfLink, o.React, o.Recover, 100*o.Concealed, o.PLIs)
		line("  kept back for %.0f ms; %.0f packets asked for again, %.0f came; %.0f repair packets came, %.0f were of no use", 1e3*o.Buffer,
			o.NACKs, o.Repeated, o.Repairs, o.Discarded)
		for _, p := range o.Problems {
			line("  problem: %s", p)
		}
	}
	for _, g := range r.Goals {
		verdict, bound := "SHORT", "at most"
		if g.Met {
			verdict = "met  "
		}
		if g.Least {
			bound = "at least"
		}
		line("%s %s: %.2f, want %s %.2f", verdict, g.Name, g.Got, bound, g.Want)
	}
	return b.String()
}
