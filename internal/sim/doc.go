// Package sim runs nodes and their clients over a simulated network in virtual
// time: the code of the real ones, real QUIC, real WebRTC, in one synctest
// bubble. What it shows about latency is exact up to the work that a processor
// would do, which takes no virtual time; label its figures simulated.
//
//	Network   hosts, and what the paths between them are like
//	Host      a machine: UDP sockets for quic-go and pion, streams for HTTP
//
// The behaviour of a path is internal/impair's, the same that `trellis demo`
// applies to real sockets. There is one network for QUIC and WebRTC alike, so a
// link's rate and queue are shared by all that crosses it.
//
// Loss-free runs repeat exactly where goroutines do not race within an instant;
// runs with loss do not, because TLS and the scheduler draw their own
// randomness: tests assert bounds and print the seed.
package sim
