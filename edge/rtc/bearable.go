package rtc

import "time"

const (
	// standstills is how many packets a second may be missing still when their frame is
	// due, for a layer that a viewer is on. Each stops the picture for about a round
	// trip: at 300 ms it stands still for a twelfth of the time.
	standstills = 0.25
	// standstillsUp is that for a layer which the viewer would go up to.
	standstillsUp = 0.7 * standstills
	// packetBits is what a packet of a large frame has.
	packetBits = 1100 * 8
)

// bearable is how many of a picture's layers may be used on a path with losses. On a
// long one players wait for one repair (playout), and what is lost twice stops the
// picture. The more packets a layer has the more often: beyond some rate a smaller
// layer is the better picture. The lowest always may be used.
func bearable(rates []uint64, current int, loss float64, rtt time.Duration) int {
	if loss < playoutLoss || rtt < playoutRTT {
		return len(rates)
	}
	lost := loss // of the packets, when their frame is due
	for range max(int((rtt+playoutMargin)/rtt), 1) {
		lost *= loss
	}
	for i, bps := range rates {
		most := standstillsUp
		if i <= current {
			most = standstills
		}
		if i > 0 && float64(bps)/packetBits*lost > most {
			return i
		}
	}
	return len(rates)
}
