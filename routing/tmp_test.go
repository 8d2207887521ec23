package routing

import (
	"fmt"
	"syscall"
	"testing"
	"time"
)

func TmpRun(name string, d *Demand, secs int) {
	p, err := New(d, Config{})
	if err != nil {
		panic(err)
	}
	t0 := cpu()
	p.Plan(nil)
	t1 := (cpu() - t0)
	t0 = cpu()
	b := p.Bounds(4e9)
	s := p.solvers[0].r.bestScore
	fmt.Printf("%s n=%d arcs=%d terms=%d plan %v bound %v %+v\n", name, p.solvers[0].r.p.n, len(p.solvers[0].r.p.from), len(d.Tracks[0].Terminals), t1, (cpu() - t0), b)
	fmt.Printf("   first  %+v gap %.4f\n", s, b.Gap(s.CostUSD))
	for i := range secs {
		t0 = cpu()
		p.Improve(1e9)
		s = p.solvers[0].r.bestScore
		fmt.Printf("   +%d %v  %+v gap %.4f\n", i+1, (cpu() - t0), s, b.Gap(s.CostUSD))
	}
}

var _ = testing.Short

func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(0, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

var TmpParse func([]byte) (*Demand, error)
