// Package consul registers a node with a Consul agent and finds the other nodes
// in it. Consul knows who exists; who is alive, how far away and how busy, the
// backbone finds out by itself. Nothing on the path of media, joins or failover
// waits for Consul.
//
//	agent     registration with a TTL check, renewed every third of the TTL,
//	          withdrawn when Watch ends
//	catalog   the datacenters, and a blocking query for each of them
//	Watch     owns what the queries found, and tells the sum
//
// A [Source] says what Consul answers, whatever that is. That an answer may be
// empty, old or wrong is the business of [trellis/routing/discovery.Stable],
// which belongs around it.
package consul
