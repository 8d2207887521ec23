package backbone

import (
	"math"
	"math/rand/v2"
	"time"
)

// coordinate places a node in a space in which distances are round trips, in
// milliseconds (Dabek, Cox, Kaashoek, Morris: "Vivaldi: A Decentralized Network
// Coordinate System", 2004). Height is what every packet takes to leave the
// node, whatever its way then is. It guesses the distance of nodes between which
// there is no link, and nothing else.
type coordinate struct {
	at     [coordinateDims]float64
	height float64
	err    float64 // share of a distance by which it is thought to be wrong; 1: no idea
	n      int     // samples taken
}

const (
	// On latencies of the whole world, four to eight dimensions and a height find
	// near nodes equally well.
	coordinateDims = 5
	// Vivaldi's c_c and c_e: how far a sample may move the node, and its error. The
	// first falls as samples come in, because distances on the Internet fit no space
	// and would keep a node moving for ever; see settledAfter.
	coordinateGain = 0.25
	settledGain    = 0.02
	settledAfter   = 200 // samples
	errorGain      = 0.25
	minHeight      = 0.05
	maxPlaceMs     = 1e5 // beyond is not of this world
	// Errors count as shares of a distance, but of this many milliseconds at the
	// least: nobody needs to know a near node's distance better, and five milliseconds
	// off on a link of one would be five times wrong and say that nothing is known of the
	// nodes at the other end of the world (Ledlie, Gardner, Seltzer: "Network Coordinates
	// in the Wild", 2007, found the same).
	errorFloorMs = 20
	// A place that is thought to be wrong by more is not used.
	vague          = 0.5
	coordinateUnit = 100 // per millisecond, on the wire
	errorUnit      = 1000
)

func newCoordinate() coordinate { return coordinate{height: minHeight, err: 1} }

// rtt is the expected round trip between two places, in milliseconds.
func (c *coordinate) rtt(o *coordinate) float64 {
	return c.apart(o) + c.height + o.height
}

func (c *coordinate) apart(o *coordinate) float64 {
	sum := 0.0
	for i := range c.at {
		d := c.at[i] - o.at[i]
		sum += d * d
	}
	return math.Sqrt(sum)
}

// update moves the place by what has been measured to another one. The dice
// decide which way to leave a place where both stand.
func (c *coordinate) update(o *coordinate, measured time.Duration, dice *rand.Rand) {
	rtt := float64(measured) / float64(time.Millisecond)
	if rtt <= 0 || rtt > maxPlaceMs {
		return
	}
	expected := c.rtt(o)
	wrong := math.Abs(expected-rtt) / max(rtt, errorFloorMs)
	weight := c.err / (c.err + max(o.err, 0.01))
	c.err = min(max(wrong*errorGain*weight+c.err*(1-errorGain*weight), 0.01), 1)
	c.n++
	gain := max(coordinateGain*settledAfter/float64(settledAfter+c.n), settledGain)
	force := gain * weight * (rtt - expected)
	var away [coordinateDims]float64
	apart := c.apart(o)
	for i := range away {
		if apart > 1e-6 {
			away[i] = (c.at[i] - o.at[i]) / apart
		} else {
			away[i] = dice.Float64()*2 - 1
		}
		c.at[i] = min(max(c.at[i]+force*away[i], -maxPlaceMs), maxPlaceMs)
	}
	if apart > 1e-6 {
		c.height = min(max(c.height+force*(c.height+o.height)/expected, minHeight), maxPlaceMs)
	}
}

// known reports whether the place has an idea of itself.
func (c *coordinate) known() bool { return c.err < vague }

// moved is how far the place is from another one, height included.
func (c *coordinate) moved(o *coordinate) float64 { return c.apart(o) + math.Abs(c.height-o.height) }

// wire returns the place as a NodeValue carries it: the coordinates and the
// height in hundredths of a millisecond, the error in thousandths.
func (c *coordinate) wire() []int64 {
	all := make([]int64, 0, coordinateDims+2)
	for _, x := range c.at {
		all = append(all, int64(math.Round(x*coordinateUnit)))
	}
	return append(all, int64(math.Round(c.height*coordinateUnit)), int64(math.Round(c.err*errorUnit)))
}

// parseCoordinate reads a place, false if it is none of ours.
func parseCoordinate(all []int64) (coordinate, bool) {
	if len(all) != coordinateDims+2 {
		return coordinate{}, false
	}
	var c coordinate
	for i := range c.at {
		c.at[i] = float64(all[i]) / coordinateUnit
		if math.Abs(c.at[i]) > maxPlaceMs {
			return coordinate{}, false
		}
	}
	c.height = float64(all[coordinateDims]) / coordinateUnit
	c.err = float64(all[coordinateDims+1]) / errorUnit
	return c, c.height >= 0 && c.height <= maxPlaceMs && c.err > 0 && c.err <= 1
}
