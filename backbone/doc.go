// Package backbone carries tracks from node to node: it speaks trellis/1
// (docs/wire.md) over QUIC.
//
// A Mesh is a node's part in the backbone. Of the nodes that discovery
// names it keeps links to some (linkSet: all in a small cluster), floods adverts, announces in the relay.Table what entered
// elsewhere, and is the relay.Upstream of it: when somebody here wants a track,
// the mesh subscribes at the neighbour on the cheapest path to the origin.
//
// # One object, downwards
//
//	relay.Track --Next--> groupSender.run (one per open group, link and track)
//	   one Write per object      |
//	                     unidirectional stream, one per group
//	                             |
//	relay.Track <--Write-- link.receive (one goroutine per incoming group)
//
// # One subscription, upwards
//
//	relay.Table.Subscribe --> Mesh.OpenTrack --> Mesh.choose (Router) --> SUBSCRIBE
//	Mesh.onSubscribe at the parent --> relay.Table.Subscribe --> child.run
//
// # Who owns what
//
// Mesh.loop owns the records (adverts), the links' registry, the upstreams and
// their feeds, and the children. Other goroutines reach it through Mesh.call,
// and OpenTrack through a queue that never blocks. The loop never waits for a
// link: what it says goes into the link's outbox, and a link whose outbox is
// full is closed. Media does not pass through the loop.
//
// Each link runs, under one errgroup: the control stream's reader and writer, the
// prober and the reader of its datagrams, and per lane an acceptor of group
// streams. Groups being received or sent are the link's tasks; a link has ended
// when all of them have.
//
// Locks: feed.mu and tasks.mu are leaves. No lock is held across I/O or a call
// into internal/relay.
package backbone
