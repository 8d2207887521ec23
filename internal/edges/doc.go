// Package edges ranks the nodes of a backbone as edges for a client. It is pure:
// what is known goes in, and a list with numbers and reasons comes out.
//
// The delay that a client can expect at a node has two parts: from the origin of
// the broadcast over the tree to the node, which the backbone measures, and from
// there to the client. For the second, in this order of trust:
//
//   - measured: the client says what its round trip to the node is, and half of it counts;
//   - via_node: it says so of other nodes, and the backbone measures the rest of the
//     way: the shortest such sum, which the true delay seldom exceeds;
//   - distance: it says where it is, and the node says where it is: great circle
//   - stretch / speed of light in fibre, and a last mile on top;
//   - here: it says nothing, so it is taken to be next to the node that it asked.
//
// A loaded node counts as farther away than it is, and so does a dear one: a
// score in milliseconds puts the three on one scale.
package edges
