// Package impair models what a network does to datagrams: it delays them, lets
// them queue for a slow line, loses some, and now and then all of them.
//
//	Config   what one direction of a path is like
//	Link     one direction: when does this datagram arrive, if it does?
//	Queue    datagrams under way, in the order of their arrival
//	Proxy    both of them between real UDP sockets
//
// Link and Queue are given the time and keep no timer, so the simulated network
// of internal/sim and the proxy that puts real delays between the regions of
// `trellis demo` are one model: what a test shows in virtual time holds for the
// demonstration too.
//
// Link and Queue belong to one goroutine, or to whoever holds their lock.
// Proxy's methods may be called from any goroutine.
package impair
