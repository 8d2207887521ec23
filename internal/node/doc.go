// Package node assembles one node: a relay.Table in the middle, the backbone
// and the edges around it, and the ports that they share.
//
//	UDP  listen.quic    quic.Transport; by ALPN: trellis/1 -> backbone.Mesh, h3 -> moq.Server
//	TCP  listen.http    whip.Handler, /certificate.sha256
//	UDP+TCP listen.webrtc  rtc.Edge
//	TCP  listen.admin   /healthz /readyz /metrics /v1/status
//
// [New] takes sockets that are open already ([Listen] opens them), so the same
// node runs on real ports and in a simulated network. [Node.Run] serves until
// its context ends, then says goodbye within a deadline and closes everything.
package node
