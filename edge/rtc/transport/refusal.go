package transport

import "sync/atomic"

// Refusal says why something that came from the network was not taken.
type Refusal uint8

// The refusals.
const (
	RefusedStranger     Refusal = iota // from an address at which no client was checked
	RefusedCheckUnknown                // a connectivity check that names no session
	RefusedCheckForged                 // with another password than the session's
	RefusedCheckFlood                  // more of them than a client has reason for
	RefusedAddress                     // from more addresses than a client has
	RefusedFlood                       // more packets than a client has reason for
	RefusedEarly                       // before there is a handshake that it belongs to
	RefusedForged                      // media or RTCP that the client's keys did not protect
	RefusedReplayed                    // media or RTCP that was received before, or too long ago to tell
	RefusedRTCPFlood                   // more RTCP than a client has reason for
	RefusedSource                      // media or RTCP from more sources than a client has
	RefusedKind                        // of a kind that the client has no reason to send
	RefusedWork                        // media that takes more time than a client has
	RefusedTCPLimit                    // a TCP connection beyond those of the node
	RefusedTCPAddress                  // beyond those of one address
	RefusedTCPSilent                   // one that sends nothing, or half a frame
	RefusedTCPFrame                    // one that sends what is no frame of ours
	NumRefusals
)

// String returns the word used in metrics.
func (r Refusal) String() string {
	return [...]string{
		"stranger", "check_unknown", "check_forged", "check_flood", "address_limit", "flood", "early", "forged",
		"replayed", "rtcp_flood", "source_limit", "kind", "work", "tcp_limit", "tcp_address_limit", "tcp_silent", "tcp_frame",
		"unknown",
	}[min(r, NumRefusals)]
}

// refusals counts them.
type refusals [NumRefusals]atomic.Uint64

func (c *refusals) add(r Refusal) { c[r].Add(1) }

// total returns the sum of all.
func (c *refusals) total() uint64 {
	var n uint64
	for i := range c {
		n += c[i].Load()
	}
	return n
}
