package rtc

import (
	"math"
	"time"
)

const (
	// standstills is how many packets a second may be missing still when their frame is
	// due, for a layer that a viewer is on. Each stops the picture for about a round
	// trip: at 300 ms it stands still for a twelfth of the time.
	standstills = 0.25
	// standstillsUp is that for a layer which the viewer would go up to.
	standstillsUp = 0.7 * standstills
	// packetBits is what a packet of a large frame has.
	packetBits = 1100 * 8
	// Of what is lost, repair packets leave no more than mendedLeft if there are mendedFrom
	// for each that is lost: 0.35 % of 5 % with 6 for 24 packets, 0.9 % with 1 for 4.
	mendedFrom = 4
	mendedLeft = 0.2
)

// bearable is how many of a picture's layers may be used on a path with losses. On a
// long one players wait for one repair (playout), and what is lost twice stops the
// picture. The more packets a layer has the more often: beyond some rate a smaller
// layer is the better picture. The lowest always may be used. repairs is how many repair
// packets are sent for each packet.
func bearable(rates []uint64, current int, loss float64, rtt time.Duration, repairs float64) int {
	most := bearableMost(loss, rtt, repairs)
	for i, bps := range rates {
		if i <= current {
			bps = uint64(float64(bps) * standstillsUp / standstills)
		}
		if i > 0 && float64(bps) > most {
			return i
		}
	}
	return len(rates)
}

// bearableMost is the bitrate that a layer may have at most to be gone up to.
func bearableMost(loss float64, rtt time.Duration, repairs float64) float64 {
	if loss < playoutLoss || rtt < playoutRTT {
		return math.MaxInt64
	}
	lost := loss // of the packets, when their frame is due
	for range max(int((rtt+playoutMargin)/rtt), 1) {
		lost *= loss
	}
	if repairs >= mendedFrom*loss {
		lost *= mendedLeft
	}
	return standstillsUp * packetBits / lost
}
