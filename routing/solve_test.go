package routing_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"trellis/routing"
	"trellis/routing/scenario"
)

func TestTmp(t *testing.T) {
	for _, f := range []string{"scen_aws21x300_100k", "scen_azure48x1000_100k"} {
		b, _ := os.ReadFile("/work/shared/data/" + f + ".json")
		d, err := scenario.Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		for _, steps := range []int64{0, 1e7, 1e8} {
			t0 := time.Now()
			s, n := routing.Tmp(d, steps)
			fmt.Println(f, steps, time.Since(t0), s, n)
		}
	}
}
