// Command failure breaks nodes and measures what viewers miss.
//
//	go run ./bench/failure --kind kill --runs 50
//	go run ./bench/failure --kind blackhole|oneway|freeze --runs 50 --json
//	go run ./bench/failure --busy 10m
//	go run ./bench/failure --simulated 1000
//
// Each run starts five processes of `trellis serve` on loopback: an origin, two
// relays and two edges, which have links with both relays but not with the
// origin. Every link goes through userspace proxies (internal/impair) that delay
// it: 10 ms one way by the first relay, 20 ms by the second. A publisher at the
// origin sends a picture every 33 ms and a sound every 20 ms, two viewers at each
// edge receive them. Then the relay that carries the picture to the first edge
//
//	kill       is killed (SIGKILL)
//	blackhole  is no longer reached by that edge, nor that edge by it
//	oneway     is no longer heard by that edge, or no longer hears it, in turns
//	freeze     is stopped for five seconds and continued (SIGSTOP, SIGCONT)
//
// The gap of a viewer is the longest time between two arrivals of a track from
// the last one before the fault on, the interval of the objects included. In a
// black hole and in one-way loss, only viewers of that edge have one to measure.
// Lost is what was sent from a second before the fault on and never came;
// double is what came twice.
//
// With --direct there are no proxies and no delays: the host of a node that was
// killed then refuses what is sent to it, which proxies hide.
//
// With --busy, three nodes in this process carry media over real sockets while
// eight goroutines keep the processors busy, and links that go down are counted.
//
// With --simulated, package backbone's own test breaks the parent of a node in
// virtual time, with so many seeds for each fault (relay killed, link black-holed,
// loss in one direction) and each protection: a warm backup at most 80 ms of round
// trip away, and a hot one.
//
// All other figures are measured.
package main
