package backbone_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"trellis/wire"
)

// TestOneWayLoss: one direction of a path carries nothing. Both ends know within
// a second, whichever direction it is and whichever way the media flows.
func TestOneWayLoss(t *testing.T) {
	for _, rtt := range []time.Duration{20 * time.Millisecond, 150 * time.Millisecond} {
		for _, forward := range []bool{true, false} {
			t.Run(fmt.Sprintf("%v/%v", rtt, forward), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { oneWayLoss(t, rtt, forward) })
			})
		}
	}
}

func oneWayLoss(t *testing.T, rtt time.Duration, forward bool) {
	t.Helper()
	c := newCluster(t)
	defer c.close()
	path := pathSpec{delay: rtt / 2}
	nodes := c.chain(2, path, nil)
	from, to := nodes[0], nodes[1]
	_, tr := from.publish("room/alice", "video", wire.KindVideo)
	c.start()
	to.waitFor("room/alice")
	v := to.view("room/alice", "video")
	stop := make(chan struct{})
	done := make(chan uint64)
	go func() { done <- from.stream(tr, 30, 5_000, 33*time.Millisecond, stop) }()
	time.Sleep(5 * time.Second)

	gone := pathSpec{delay: rtt / 2, loss: 1}
	began := time.Now()
	if forward {
		c.net.set(from.addr, to.addr, gone)
	} else {
		c.net.set(to.addr, from.addr, gone)
	}
	down := map[*node]time.Duration{}
	for time.Since(began) < 5*time.Second && len(down) < 2 {
		for _, n := range nodes {
			if _, known := down[n]; !known && len(n.status().Links) == 0 {
				down[n] = time.Since(began)
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Logf("down after %v at the sender, %v at the receiver", down[from], down[to])
	for _, n := range nodes {
		if d, known := down[n]; !known || d > time.Second {
			t.Errorf("%s: down after %v\n%s", n.id, d, n.log)
		}
	}
	close(stop)
	<-done
	v.stop()
}
