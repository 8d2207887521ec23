package backbone

import (
	"testing"
	"time"
)

// fakePath answers what lanes would do on a path.
type fakePath struct {
	perLane, path, offered float64 // Mbit/s: a lane's losses allow, the path carries, there is to send
	queue                  time.Duration
}

func (p fakePath) view(lanes int) laneView {
	can := min(p.perLane*float64(lanes), p.path)
	v := laneView{lanes: lanes, rateBps: min(can, p.offered) * 1e6, path: 150 * time.Millisecond, inFlight: min(p.offered/can, 1)}
	if p.offered > can {
		v.limited = 1
		if can == p.path {
			v.queue = p.queue
		}
	}
	return v
}

func (p fakePath) run(c *laneControl, seconds int) (most int, changes int) {
	for range seconds {
		before := c.want
		c.step(p.view(c.want))
		if c.want != before {
			changes++
		}
		most = max(most, c.want)
	}
	return most, changes
}

func TestLaneControl(t *testing.T) {
	for _, tc := range []struct {
		name        string
		path        fakePath
		least, most int // lanes after three minutes
		changes     int // at most
	}{
		{"losses limit", fakePath{perLane: 1, path: 200, offered: 40}, 7, 7, 3},
		{"losses limit, three are enough", fakePath{perLane: 3, path: 200, offered: 8}, 3, 4, 2},
		{"enough", fakePath{perLane: 50, path: 200, offered: 8}, 1, 1, 0},
		{"the path is full, with a queue", fakePath{perLane: 20, path: 10, offered: 40, queue: 80 * time.Millisecond}, 1, 1, 0},
		{"the path is full, and nothing shows it", fakePath{perLane: 20, path: 10, offered: 40}, 1, 2, 8},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := laneControl{most: 7, want: 1}
			_, changes := tc.path.run(&c, 180)
			if c.want < tc.least || c.want > tc.most || changes > tc.changes {
				t.Errorf("%d lanes after %d changes, want %d to %d after at most %d", c.want, changes, tc.least, tc.most, tc.changes)
			}
		})
	}
}

// TestLaneControlLetsGo: lanes that are no longer needed go, one by one; those
// that were missed right afterwards stay for longer.
func TestLaneControlLetsGo(t *testing.T) {
	c := laneControl{most: 7, want: 1}
	busy, idle := fakePath{perLane: 1, path: 200, offered: 40}, fakePath{perLane: 1, path: 200}
	busy.run(&c, 60)
	if c.want != 7 {
		t.Fatalf("%d lanes", c.want)
	}
	idle.run(&c, 40)
	if c.want != 5 {
		t.Errorf("%d lanes after 40 s, want 5", c.want)
	}
	idle.run(&c, 120)
	if c.want != 1 {
		t.Errorf("%d lanes after 160 s, want 1", c.want)
	}
	// Load that comes and goes every twenty seconds.
	all := 0
	for range 45 {
		_, n := busy.run(&c, 20)
		_, m := idle.run(&c, 20)
		all += n + m
	}
	if all > 60 {
		t.Errorf("%d changes in half an hour", all)
	}
}

// TestLaneControlFullPath: a path that becomes full gets one lane, in which the
// order of what is sent is ours.
func TestLaneControlFullPath(t *testing.T) {
	c := laneControl{most: 7, want: 1}
	fakePath{perLane: 1, path: 200, offered: 40}.run(&c, 60)
	fakePath{perLane: 1, path: 5, offered: 40, queue: 100 * time.Millisecond}.run(&c, 5)
	if c.want != 1 {
		t.Errorf("%d lanes on a path that is full", c.want)
	}
}

// TestWriteMeter: the share of time in which any write waits.
func TestWriteMeter(t *testing.T) {
	var m writeMeter
	now := time.Unix(1000, 0)
	at := func(ms int) time.Time { return now.Add(time.Duration(ms) * time.Millisecond) }
	m.take(at(0))
	m.begin(at(100), 1000)
	m.begin(at(150), 1000)
	m.end(at(200), 1000, 1000)
	m.end(at(300), 1000, 500)
	if rate, share := m.take(at(1000)); rate != 12_000 || share != 0.2 {
		t.Errorf("%v bit/s, %v; want 12000, 0.2", rate, share)
	}
	m.begin(at(1500), 1000)
	if _, share := m.take(at(2000)); share != 0.5 {
		t.Errorf("%v of the time, want half: one waits still", share)
	}
	if _, share := m.take(at(3000)); share != 1 {
		t.Errorf("%v of the time, want all", share)
	}
}
