// Package moq lets browsers and other MoQ clients publish and watch, over
// WebTransport, in moq-lite 05, 04 and 03, and in 02 where the browser offers no subprotocols. One client may publish in one version
// and another watch in the next: a session translates between its own version
// and the tracks of internal/relay, which know none.
//
// # Parts
//
//	Server     accepts connections, checks tokens, counts and drains sessions
//	session    one client: its streams, its grant, its end
//	publisher  what the client announces, as a relay.Upstream
//	pull       one track of it: one SUBSCRIBE, groups written as bytes arrive
//	view       one SUBSCRIBE of the client's: groups read from the relay
//	outbox     the one place where a session opens group streams: the order,
//	           the budget, and what is given up
//	outGroup   one group on its way to the client
//
// An object goes down like this: the publisher's group stream is read by
// pull.ingest, which writes chunks into a relay.Track. Each viewer's view.feed
// gets a reader of the group and puts it into its session's outbox. The outbox
// opens a stream when there is room, and outGroup.send writes the chunks to it.
//
// # Goroutines
//
// A session's goroutines are started by session.start and are gone when
// session.run returns: two accept loops, one outbox, one per bidirectional
// stream, one per group on its way in or out. relay calls publisher.OpenTrack on
// a viewer's goroutine, which starts one and returns.
//
// # Locks
//
// session.mu guards the session's tables, outbox.mu the groups that wait or are
// being sent. They are never held together, nor while calling relay or QUIC.
package moq
