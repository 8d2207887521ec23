// Package fanout compares what a viewer costs: the same load, a publisher over
// WHIP and viewers over WHEP, against this node, against a plain pion server, and
// side by side, in turns.
//
// Three processes take part, so that the kernel's accounting tells them apart: the
// one that runs the comparison, the server, and the load, which is the publisher
// and all viewers. The viewers are real up to the keys (ICE, DTLS, RTCP reports)
// and cheap behind them: they read the plain headers of all packets, and open the
// first packet of some frames, which says when the frame was due. Latency counts
// from then to the frame's last packet, so a publisher that is late itself shows
// as latency and, beyond a limit, makes the round invalid.
package fanout
