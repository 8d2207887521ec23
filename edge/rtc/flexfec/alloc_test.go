//go:build !race

package flexfec_test

import (
	"math/rand/v2"
	"testing"

	"trellis/edge/rtc/flexfec"
)

func TestAppendAllocatesNothing(t *testing.T) {
	packets, _ := group(t, rand.New(rand.NewPCG(5, 6)), flexfec.MaxPackets, 1)
	buf := make([]byte, 0, 2000)
	if n := testing.AllocsPerRun(100, func() {
		for r := range 4 {
			buf = flexfec.Append(buf[:0], packets, r, 4)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
