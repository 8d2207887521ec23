// Package receive tells what a publisher's packets are, and what it is to be told of
// them: which stream of its offer a packet belongs to (Router), how many have come
// (Report) and when (Arrivals). It is pure and keeps no packets.
package receive
