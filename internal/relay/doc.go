// Package relay holds the tracks that a node carries and fans each of them out.
//
// It is where edges and backbone meet, and they meet nowhere else. A Table knows
// every Broadcast; a broadcast has Tracks; a track is a short, append-only log of
// Groups with bounded memory, one writer per group and any number of readers.
//
//	publisher's edge or link            viewer's edge or link
//	  Track.Group(seq)                    Table.Subscribe(name)
//	  Group.Write / Begin,Append,End      Subscription.NextGroup
//	  Group.Close / Abort                 GroupReader.Next
//	            \                          /
//	             Track: newest groups, in order of arrival
//
// Media goes down: Write to Next. Demand goes up: Subscribe asks the broadcast's
// Upstream to open a track that the node does not carry yet, once, however many
// subscribe.
//
// # Rules
//
// The package starts no goroutines and keeps no timers. Write runs on the
// writer's goroutine, Next on the reader's, and Table.Sweep must be called about
// once a second for everything that depends on time.
//
// A reader cannot slow a writer. Readers take chunks from the log without a lock;
// a reader that finds nothing puts itself on a list that the writer wakes with a
// send that never blocks. A reader that falls behind loses whole groups, oldest
// first, and each loss is counted with its DropReason.
//
// A payload is immutable once written, shared by all readers and never copied.
//
// # Locks
//
// Table.mu guards the names, Track.mu the groups of one track. Where both are
// held, Table.mu is taken first. No lock is held while calling an Upstream.
package relay
