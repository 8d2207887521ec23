// Package demo runs a whole backbone in one process on loopback: a node for
// each of a few regions, with real mutual TLS and real tokens, the delays that
// were measured between these regions applied to the links by a userspace
// impairment, a film of our own that is published for ever, and the page to look
// at it all. Nothing in it is a stand-in: the nodes are those of trellis serve.
package demo
