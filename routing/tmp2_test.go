package routing_test

import (
	"trellis/routing"
	"trellis/routing/scenario"
)

func init() { routing.TmpParse = scenario.Parse }
