package routing

import (
	"fmt"
	"os"
	"testing"
	"time"
)

var TmpParse func([]byte) (*Demand, error)

func TestTmpBound(t *testing.T) {
	for _, f := range []string{"scen_aws21x300_100k", "scen_azure48x1000_100k"} {
		raw, _ := os.ReadFile("/work/shared/data/" + f + ".json")
		d, _ := TmpParse(raw)
		p, _ := New(d, Config{})
		t0 := time.Now()
		p.Plan(nil)
		fmt.Println(f, time.Since(t0), p.solvers[0].r.bestScore)
		s := p.solvers[0]
		pr, tr := s.r.p, s.r.best
		targets, deadline := tr.targets(tr.lateSpare())
		for _, q := range quanta {
			for _, rounds := range []int{1, 4, 16, 64} {
				t0 = time.Now()
				g := newLayered(pr, deadline, targets, q, 60e6)
				if g == nil {
					break
				}
				b := time.Since(t0)
				g.ascend(rounds, 1e12)
				fmt.Println(q, rounds, b, time.Since(t0), g.bound, len(g.reduced), g.steps)
			}
		}
	}
}
