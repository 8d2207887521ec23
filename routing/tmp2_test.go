package routing_test

import (
	"math/rand/v2"
	"os"
	"testing"

	"trellis/routing"
	"trellis/routing/routingtest"
	"trellis/routing/scenario"
)

func wideCase(name string) *routing.Demand {
	r := rand.New(rand.NewPCG(1, 1))
	switch name {
	case "mesh200":
		return routingtest.Wide(r, routingtest.WideConfig{Cities: 200, Share: 0.5, MaxChildren: -1, BoundMs: 80})
	case "mesh300tight":
		return routingtest.Wide(r, routingtest.WideConfig{Cities: 300, Share: 0.4, MaxChildren: -1, BoundMs: 80, Factor: 1.15})
	case "mesh300fan4":
		return routingtest.Wide(r, routingtest.WideConfig{Cities: 300, Share: 0.4, MaxChildren: 4, BoundMs: 80})
	case "sparse400":
		return routingtest.Wide(r, routingtest.WideConfig{Cities: 400, Neighbours: 24, Share: 0.3, MaxChildren: -1, BoundMs: 100})
	case "mesh300fan2":
		return routingtest.Wide(r, routingtest.WideConfig{Cities: 300, Share: 0.6, MaxChildren: 2, BoundMs: 80})
	}
	return nil
}

func init() { routing.TmpParse = scenario.Parse }

func load(n string) *routing.Demand {
	b, _ := os.ReadFile("/work/shared/data/scen_" + n + "_100k.json")
	d, _ := scenario.Parse(b)
	return d
}

func TestTmpWide(t *testing.T) {
	routing.TmpRun("aws", load("aws21x300"), 1)
	routing.TmpRun("azure", load("azure48x1000"), 1)
	for _, n := range []string{"mesh200", "mesh300tight", "mesh300fan4", "sparse400", "mesh300fan2"} {
		routing.TmpRun(n, wideCase(n), 3)
	}
}
