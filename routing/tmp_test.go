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
		for _, x := range []time.Duration{1e8, 5e8, 1e9, 4e9} {
			t0 = time.Now()
			b := p.Bounds(x)
			fmt.Println(x, time.Since(t0), b, b.Gap(p.solvers[0].r.bestScore.CostUSD))
		}
		t0 = time.Now()
		p.Improve(1e9)
		fmt.Println("improve 1s", time.Since(t0))
	}
}
