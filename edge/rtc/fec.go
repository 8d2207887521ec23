package rtc

import (
	"math"
	"time"

	"trellis/edge/allocate"
	"trellis/edge/rtc/bwe"
	"trellis/internal/telemetry"
)

const (
	// fecRTT is the round trip from which on a packet that was lost comes late when it
	// is asked for: a player that shows pictures a tenth of a second after they were
	// sent has not even been heard by then. Below fecRTTUntil it is no longer so.
	fecRTT, fecRTTUntil = 100 * time.Millisecond, 80 * time.Millisecond
	// fecFrom is the loss from which on what a path carries is better spent on repairs,
	// fecUntil the loss below which it no longer is, once that has lasted for fecCalm.
	fecFrom, fecUntil = 0.01, 0.005
	fecCalm           = 15 * time.Second
	// fecPerLoss is how many repair packets are sent for each that is lost: of groups
	// as small as they are, so many are needed until hardly any stays lost.
	fecPerLoss = 6
	// fecStep is in what steps the share of repair packets changes, fecMost the largest.
	fecStep, fecMost = 0.1, 0.5
	// fecPatience is for how long a path must be long: single reports come late.
	fecPatience = time.Second
	// fecMemory is over how long loss is averaged.
	fecMemory = 5 * time.Second
	// fecRaise is the least time between a share that did not fit and a larger one.
	fecRaise = 2 * time.Second
	// fecSpare is how much more room there must be to begin: estimates of narrow paths
	// are off by a tenth now and then.
	fecSpare = 0.1
	// fecBytes is how much more a share of packets is of bytes: a repair packet is as
	// long as the longest that it covers, with a header.
	fecBytes = 1.1
	// fecSpanLeast and fecSpanMost bound how long a group may take that repair packets
	// are made for: half a round trip, so that they are there well before what is sent again.
	fecSpanLeast, fecSpanMost = 50 * time.Millisecond, 150 * time.Millisecond
)

// fecPlan is how a viewer's picture is protected: how many repair packets there are
// for each packet, zero for none, and how long a group may take.
type fecPlan struct {
	share float64
	span  time.Duration
}

// fecReason says why a viewer is sent repair packets, or other ones than before.
type fecReason uint8

const (
	fecStays  fecReason = iota
	fecLoss             // so much is lost, on so long a path
	fecCalmed           // less is lost
	fecNear             // the path is so short that packets can be sent again in time
	fecRoom             // there is not more room
	numFECReasons
)

func (r fecReason) String() string {
	switch r {
	case fecStays:
		return "stays"
	case fecLoss:
		return "loss"
	case fecCalmed:
		return "calm"
	case fecNear:
		return "near"
	case fecRoom:
		return "room"
	case numFECReasons:
	}
	return "unknown"
}

// fec decides whether lost packets of a viewer's pictures are mended without being
// asked for, and how many. Time is an argument. The zero fec sends no repairs.
type fec struct {
	loss   float64 // share, over about fecMemory, while no queue stands
	seen   time.Time
	far    time.Time // since when the path is as long as fecRTT, zero if it is not
	rough  time.Time // when loss was last at fecUntil or above
	want   float64   // share of repair packets that the loss asks for
	plan   fecPlan   // what is sent
	raised time.Time // share is not raised before
	told   float64   // share that was remembered last
}

// observe takes an estimate, and works out what share of repair packets is wanted.
func (f *fec) observe(now time.Time, e bwe.Estimate) {
	if f.seen.IsZero() {
		f.seen = now
	}
	weight := min(1, now.Sub(f.seen).Seconds()/fecMemory.Seconds())
	f.seen = now
	switch {
	case e.RTT < fecRTT:
		f.far = time.Time{}
	case f.far.IsZero():
		f.far = now
	}
	if e.State == bwe.Decrease || e.State == bwe.Outage || e.QueueDelay > e.Threshold {
		return // repairs would only add to the queue that packets are lost in
	}
	f.loss += (e.Loss - f.loss) * weight
	if f.loss >= fecUntil {
		f.rough = now
	}
	share := min(fecMost, math.Ceil(fecPerLoss*f.loss/fecStep)*fecStep)
	switch {
	case e.RTT < fecRTTUntil, now.Sub(f.rough) >= fecCalm:
		f.want = 0
	case f.want == 0:
		if !f.far.IsZero() && now.Sub(f.far) >= fecPatience && f.loss >= fecFrom {
			f.want = share
		}
	case share > f.want || share <= f.want-2*fecStep && share > 0:
		f.want = share
	}
	f.plan.span = min(max((e.RTT/2).Truncate(10*time.Millisecond), fecSpanLeast), fecSpanMost)
}

// fit makes the plan: as much as is wanted of what there is room for, which is a share
// of what the pictures take without repairs.
func (f *fec) fit(now time.Time, e bwe.Estimate, room float64) (fecPlan, fecReason) {
	share, why := f.want, fecStays
	if f.plan.share == 0 {
		room -= fecSpare
	}
	if most := max(0, math.Floor(room/fecBytes/fecStep+1e-9)*fecStep); most < share {
		share, why = most, fecRoom
	}
	switch {
	case share < f.plan.share && why == fecRoom:
		f.raised = now.Add(fecRaise)
	case share > f.plan.share && now.Before(f.raised):
		share = f.plan.share
	}
	f.plan.share = share
	switch {
	case share == f.told:
		return f.plan, fecStays
	case why == fecRoom:
	case e.RTT < fecRTTUntil && share == 0:
		why = fecNear
	case share < f.told:
		why = fecCalmed
	default:
		why = fecLoss
	}
	f.told = share
	return f.plan, why
}

// fecCost is by what factor pictures take more with repairs where there is room
// for at least the smallest layer of each: that is rather protected than a larger one sent,
// and rather sent without repairs than not at all.
func (st *steering) fecCost(bps float64) float64 {
	if st.fec.want == 0 || !st.repairs() {
		return 1
	}
	least := 0.0
	for i := range st.pictures {
		if l := st.pictures[i].Layers; len(l) > 0 {
			least += float64(l[0])
		}
	}
	return max(1, min(1+st.fec.want*fecBytes, bps/max(1, least)))
}

// repairs reports whether the viewer understands repair packets.
func (st *steering) repairs() bool {
	for _, s := range st.tracks {
		if s.cfg.fecPT != 0 {
			return true
		}
	}
	return false
}

// protectPictures makes the plan for the layers that were chosen, and remembers it where it is another.
func (st *steering) protectPictures(now time.Time, e bwe.Estimate) {
	if !st.repairs() {
		return
	}
	sum := 0.0
	for i, s := range st.videos() {
		c := st.choices[i]
		if c.Layer < 0 {
			continue
		}
		rate := s.rungs[c.Layer].bps.Load()
		if s.leaving != nil && now.Before(s.leavingUntil) {
			rate = max(rate, s.leaving.bps.Load())
		}
		sum += float64(rate)
	}
	room := 0.0
	if sum > 0 {
		room = st.left/sum - 1
	}
	before := st.fec.plan.share
	plan, why := st.fec.fit(now, e, room)
	if why == fecStays {
		return
	}
	st.metrics.fecChoices[why].Inc()
	if before == 0 && plan.share > 0 {
		st.metrics.fecViewers.Inc()
	}
	st.events.Add(telemetry.Event{
		At: now, Kind: telemetry.FECChosen, Reason: why.String(), Viewer: st.session.id[:logIDLen],
		Numbers: map[string]float64{
			"share": plan.share, "wanted_share": st.fec.want, "span_ms": float64(plan.span.Milliseconds()), "loss": st.fec.loss,
			"rtt_ms": float64(e.RTT.Microseconds()) / 1e3, "estimate_bps": float64(e.Bps), "layers_bps": sum, "room": room,
		},
	})
}

// tight reports whether what the viewer is sent now does not fit, even without repairs.
func (st *steering) tight() bool {
	sum := uint64(0)
	for i, s := range st.videos() {
		if c := st.pictures[i].Current; c >= 0 && c < len(s.rungs) {
			sum += s.rungs[c].bps.Load()
		}
	}
	return float64(sum) > allocate.Tolerance*max(st.left, 0)
}
