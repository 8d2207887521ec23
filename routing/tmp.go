package routing
import "math/rand/v2"
func Tmp(d *Demand, steps int64) (Score, int64) {
	l, _ := newLoads(d)
	s := solver{g: d.Graph, k: &d.Tracks[0], l: l, rng: rand.New(rand.NewPCG(1, 2)), steps: steps}
	o := s.solve(nil)
	return o.score, o.steps
}
