// Package soak runs the WebRTC edge for a long time: a publisher, viewers that stay
// and viewers that join and leave without end, in virtual time. The edge, the relay,
// the WHIP and WHEP doors, ICE, DTLS and SRTP on both sides are real; the network
// and the clock are simulated, so an hour takes minutes.
//
// It looks for what only shows after a while. At quiet points, when all have left but
// those who stay, the live heap, goroutines, sessions and lanes are counted; what
// grows with the groups that were relayed is a leak. Each viewer checks the packets
// that its SRTP opens: sequence numbers without holes (which a wrong roll-over counter
// would leave), timestamps that never go back.
package soak
