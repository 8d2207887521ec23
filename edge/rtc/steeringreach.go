package rtc

import (
	"time"

	"trellis/edge/allocate"
	"trellis/edge/rtc/bwe"
	"trellis/wire"
)

const (
	// reachEvery is how often a viewer says anew what it could take.
	reachEvery = 500 * time.Millisecond
	// reachRaise is by what share a reach rises at most each time: estimates swing.
	reachRaise = 0.1
	// reachShare is what a layer may take of what there is for it, by its publisher's count:
	// encoders swing, and viewers' packets have longer headers.
	reachShare = 0.9
)

// reached is what a viewer has said last that it could take of a layer.
type reached struct {
	track wire.TrackName
	most  float64
	at    time.Time
	held  bool // the layer is held down to what its viewers can take
}

// reach says what a viewer could take of the layer that it is on, or would go up to. Where
// that enters at this node, the publisher may be told.
func (st *steering) reach(now time.Time, i int, s *steered, e bwe.Estimate) {
	if now.Sub(s.reached.at) < reachEvery {
		return
	}
	c, p := st.choices[i], &st.pictures[i]
	w := &s.reached
	layer := min(c.Layer+1, len(p.Layers)-1)
	if p.Asked > 0 {
		layer = min(layer, p.Asked-1)
	}
	if c.Layer < 0 || layer < max(c.Layer, 1) {
		return // what was said before is forgotten in time
	}
	most := reachShare * min(st.room(i), bearableMost(st.playout.loss, e.RTT, st.fec.plan.share))
	track := s.hold().trackName(s.rungs[layer].name)
	if track != w.track {
		st.session.edge.reaches.forget(s.viewerTrack, w.track)
		*w = reached{track: track}
	}
	switch {
	case e.State == bwe.Outage || e.State == bwe.Decrease && w.most > 0:
		most = min(w.most, float64(e.SustainedBps)) // until the queue is gone
	case w.held:
		most = min(most, w.most*(1+reachRaise))
	}
	w.most, w.at = most, now
	w.held = st.session.edge.reaches.tell(s.viewerTrack, track, reach{most: uint64(max(most, 0)), on: layer == c.Layer, at: now})
}

// room is what there is for picture i beside the others, without what its repairs take.
func (st *steering) room(i int) float64 {
	left := allocate.Headroom * max(st.left, 0)
	for j, c := range st.choices {
		if j != i && c.Layer >= 0 {
			left -= float64(st.pictures[j].Layers[c.Layer])
		}
	}
	return left / st.cost
}

// wantsMore returns what to look for where a layer is held down to what viewers can
// take, zero if there is none: nothing else would show that a path has become wider.
func (st *steering) wantsMore() uint64 {
	sum, held := 0.0, false
	for i, s := range st.videos() {
		if c := st.choices[i]; c.Layer >= 0 {
			sum += float64(st.pictures[i].Layers[c.Layer])
			held = held || s.reached.held && c.Layer == len(s.rungs)-1
		}
	}
	if !held {
		return 0
	}
	return uint64(sum * (1 + reachRaise) / allocate.Headroom)
}
