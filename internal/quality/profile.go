package quality

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"trellis/internal/impair"
)

// Profile is how the path to the viewer is, and how it changes.
type Profile struct {
	Name string `json:"name"`
	// Title is for readers.
	Title string `json:"title"`
	// Steps begin with one at zero.
	Steps []Step `json:"steps"`
	// Length is how long the profile takes.
	Length time.Duration `json:"length_ns"`
	// Steady is when the picture should have settled: from then on to the next
	// change it is scored for how much of the path it uses.
	Steady time.Duration `json:"steady_ns"`
	// Drop and Rise are when the path becomes narrow or fails, and when it is good
	// again; zero if it does not.
	Drop time.Duration `json:"drop_ns,omitempty"`
	Rise time.Duration `json:"rise_ns,omitempty"`
}

// Step is what the path is like from a time on.
type Step struct {
	At   time.Duration `json:"at_ns"`
	Path impair.Config `json:"path"`
	// Rebind has the viewer come from another address from now on.
	Rebind bool `json:"rebind,omitempty"`
}

// oneWay is the delay of the path in each direction, without queues.
const oneWay = 20 * time.Millisecond

const (
	kbit = 1_000
	mbit = 1_000_000
)

func path(c impair.Config) impair.Config {
	c.Delay = oneWay
	return c
}

// Profiles returns all there are.
func Profiles() []Profile {
	return []Profile{
		{
			Name: "steady300", Title: "steady 300 kbit/s", Length: 30 * time.Second, Steady: 8 * time.Second,
			Steps: []Step{{Path: path(impair.Config{RateBps: 300 * kbit})}},
		},
		{
			Name: "loss1m", Title: "1 Mbit/s with 2 % loss", Length: 30 * time.Second, Steady: 8 * time.Second,
			Steps: []Step{{Path: path(impair.Config{RateBps: mbit, Loss: impair.Independent(0.02)})}},
		},
		{
			Name: "drop", Title: "4, then 0.5, then 4 Mbit/s", Length: 55 * time.Second, Steady: 25 * time.Second,
			Drop: 15 * time.Second, Rise: 35 * time.Second,
			Steps: []Step{
				{Path: path(impair.Config{RateBps: 4 * mbit})},
				{At: 15 * time.Second, Path: path(impair.Config{RateBps: 500 * kbit})},
				{At: 35 * time.Second, Path: path(impair.Config{RateBps: 4 * mbit})},
			},
		},
		{
			Name: "jitter", Title: "4 Mbit/s with 200 ms of jitter, out of order", Length: 30 * time.Second, Steady: 10 * time.Second,
			Steps: []Step{{Path: path(impair.Config{RateBps: 4 * mbit, Jitter: 200 * time.Millisecond, Reorder: true})}},
		},
		{
			Name: "outage", Title: "4 Mbit/s that fails for 3 s", Length: 35 * time.Second, Steady: 25 * time.Second,
			Drop: 15 * time.Second, Rise: 18 * time.Second,
			Steps: []Step{
				{Path: path(impair.Config{RateBps: 4 * mbit})},
				{At: 15 * time.Second, Path: path(impair.Config{RateBps: 4 * mbit, Down: true})},
				{At: 18 * time.Second, Path: path(impair.Config{RateBps: 4 * mbit})},
			},
		},
		{
			Name: "rebind", Title: "4 Mbit/s through a NAT that forgets its bindings", Length: 35 * time.Second, Steady: 25 * time.Second,
			// For a tenth of a second what is under way arrives nowhere, so that a picture after it
			// came by the new address.
			Drop: 15 * time.Second, Rise: 15100 * time.Millisecond,
			Steps: []Step{
				{Path: path(impair.Config{RateBps: 4 * mbit})},
				{At: 15 * time.Second, Path: path(impair.Config{RateBps: 4 * mbit, Down: true})},
				{At: 15100 * time.Millisecond, Path: path(impair.Config{RateBps: 4 * mbit}), Rebind: true},
			},
		},
		{
			Name: "far", Title: "2 Mbit/s with 300 ms round trip and 5 % loss", Length: 30 * time.Second, Steady: 10 * time.Second,
			Steps: []Step{{Path: impair.Config{RateBps: 2 * mbit, Delay: 150 * time.Millisecond, Loss: impair.Independent(0.05)}}},
		},
	}
}

// Pick returns the profiles with those names, all of them for "all".
func Pick(names []string) ([]Profile, error) {
	var picked []Profile
	all := Profiles()
	known := make([]string, 1, len(all)+1)
	known[0] = "all"
	for _, p := range all {
		known = append(known, p.Name)
		if slices.Contains(names, p.Name) || slices.Contains(names, "all") {
			picked = append(picked, p)
		}
	}
	for _, n := range names {
		if !slices.Contains(known, n) {
			return nil, fmt.Errorf("no profile %q: there are %s", n, strings.Join(known, ", "))
		}
	}
	return picked, nil
}

// rate is the path's rate at a time, in bit/s, zero while it is down.
func (p *Profile) rate(at time.Duration) float64 {
	rate := 0.0
	for _, s := range p.Steps {
		if at < s.At {
			break
		}
		if rate = float64(s.Path.RateBps); s.Path.Down {
			rate = 0
		}
	}
	return rate
}

// loss is the share of packets that the path loses at a time.
func (p *Profile) loss(at time.Duration) float64 {
	loss := 0.0
	for _, s := range p.Steps {
		if at >= s.At {
			loss = s.Path.Loss.Mean()
		}
	}
	return loss
}

// until is when the path changes next after a time, or the profile ends.
func (p *Profile) until(at time.Duration) time.Duration {
	for _, s := range p.Steps {
		if s.At > at {
			return s.At
		}
	}
	return p.Length
}
