// Package ca says who a node is and proves it. An [Authority] is a cluster's
// own certificate authority; it signs certificates whose one URI,
//
//	spiffe://<cluster>/region/<region>/node/<id>
//
// is the node's [Identity], always compared whole: a certificate of the same
// cluster is not enough to be a node that we know. [ServerTLS] and [ClientTLS]
// build the mutual TLS 1.3 of the backbone from a node's [Credentials], and a
// refusal is a [PeerError] that reads well in the log of either side.
//
// [Ephemeral] makes the short-lived certificates that browsers accept by hash,
// for development without a public name.
package ca
