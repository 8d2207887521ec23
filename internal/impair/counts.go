package impair

// Drop says why a datagram does not arrive.
type Drop uint8

// The reasons.
const (
	DropNone    Drop = iota // it arrives
	DropLoss                // the loss model took it
	DropQueue               // no room in the queue for the line
	DropMTU                 // larger than the MTU
	DropDown                // the link is down
	DropClients             // a proxy has as many clients as it may have
)

const dropCount = int(DropClients) + 1

// String returns the reason's word for logs and JSON.
func (d Drop) String() string {
	switch d {
	case DropNone:
		return "none"
	case DropLoss:
		return "loss"
	case DropQueue:
		return "queue"
	case DropMTU:
		return "mtu"
	case DropDown:
		return "down"
	case DropClients:
		return "clients"
	}
	return "unknown"
}

// Counts is what happened to the datagrams of one direction: Packets and Bytes
// that were carried, and how many were not, by reason.
type Counts struct {
	Packets, Bytes uint64
	drops          [dropCount]uint64
}

// Dropped returns how many datagrams were dropped for a reason.
func (c Counts) Dropped(d Drop) uint64 {
	if d == DropNone || int(d) >= dropCount {
		return 0
	}
	return c.drops[d]
}

// Lost returns how many datagrams were dropped for any reason.
func (c Counts) Lost() uint64 {
	var n uint64
	for _, d := range c.drops {
		n += d
	}
	return n
}
