package control_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"trellis/routing/control"
)

// wide is a mesh of 250 nodes and about 5,000 links.
func wide() control.Snapshot { return meshOf(rand.New(rand.NewPCG(1, 4)), 250, 22) }

// attached is the snapshot after everybody went where plans say.
func attached(s control.Snapshot, plans []control.Plan) control.Snapshot {
	parents := map[string]map[string]string{}
	for _, p := range plans {
		of := map[string]string{}
		for _, r := range p.Routes {
			of[r.Node] = r.Path[len(r.Path)-1]
		}
		parents[p.Track] = of
	}
	s.Tracks = slices.Clone(s.Tracks)
	for i := range s.Tracks {
		k := &s.Tracks[i]
		if i > 0 && k.Demand != nil && &k.Demand[0] == &s.Tracks[0].Demand[0] {
			continue
		}
		old := k.Demand
		k.Demand = slices.Clone(old)
		for j := range k.Demand {
			k.Demand[j].Parent = parents[k.Name][k.Demand[j].Node]
		}
	}
	return s
}

func BenchmarkFirstPlan(b *testing.B) {
	s := wide()
	b.ReportMetric(float64(len(s.Links)), "links")
	b.ReportAllocs()
	for b.Loop() {
		control.New(control.Config{Origin: s.Nodes[0].ID}).Decide(s)
	}
}

func BenchmarkNothingNew(b *testing.B) {
	s := wide()
	c := control.New(control.Config{Origin: s.Nodes[0].ID})
	s = attached(s, c.Decide(s))
	b.ReportAllocs()
	for b.Loop() {
		s.Now = s.Now.Add(100 * time.Millisecond)
		c.Decide(s)
	}
}

func BenchmarkJoinAndLeave(b *testing.B) {
	s := wide()
	c := control.New(control.Config{Origin: s.Nodes[0].ID})
	s = attached(s, c.Decide(s))
	without := s
	without.Tracks = slices.Clone(s.Tracks)
	without.Tracks[0].Demand = slices.Delete(slices.Clone(s.Tracks[0].Demand), 50, 51)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		x := s
		if i%2 == 0 {
			x = without
		}
		x.Now = start.Add(time.Duration(i) * 100 * time.Millisecond)
		if len(c.Decide(x)) != 1 {
			b.Fatal("nothing changed")
		}
	}
}

// thousand gives the mesh a thousand tracks: of ten broadcasts with their own
// viewers, or of as many as tracks.
func thousand(s control.Snapshot, broadcasts int) control.Snapshot {
	r := rand.New(rand.NewPCG(1, 5))
	s.Tracks = nil
	for i := range 1000 {
		k := control.Track{Name: fmt.Sprintf("room%04d/track%04d", i%broadcasts, i), RateMbps: []float64{0.1, 1, 2.5}[i%3], Protect: control.ProtectWarm}
		if i < broadcasts {
			for j := 1; j < len(s.Nodes); j++ {
				if r.IntN(12) == 0 {
					k.Demand = append(k.Demand, control.Demand{Node: s.Nodes[j].ID, Viewers: 1 + r.IntN(30)})
				}
			}
		} else {
			k.Demand = s.Tracks[i%broadcasts].Demand
		}
		s.Tracks = append(s.Tracks, k)
	}
	slices.SortFunc(s.Tracks, func(a, b control.Track) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return s
}

func BenchmarkDeadRegion1000Tracks(b *testing.B) {
	for _, broadcasts := range []int{10, 330, 1000} {
		b.Run(fmt.Sprintf("broadcasts=%d", broadcasts), func(b *testing.B) {
			s := thousand(wide(), broadcasts)
			dead := s
			dead.Nodes = slices.DeleteFunc(slices.Clone(s.Nodes), func(n control.Node) bool { return n.Region == "region3" })
			lost := func(id string) bool {
				return !slices.ContainsFunc(dead.Nodes, func(n control.Node) bool { return n.ID == id })
			}
			dead.Links = slices.DeleteFunc(slices.Clone(s.Links), func(l control.Link) bool { return lost(l.From) || lost(l.To) })
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				c := control.New(control.Config{Origin: s.Nodes[0].ID, FullPlans: 1})
				c.Decide(s)
				dead.Now = s.Now.Add(time.Second)
				b.StartTimer()
				if len(c.Decide(dead)) < 500 {
					b.Fatal("too few plans changed")
				}
			}
		})
	}
}
