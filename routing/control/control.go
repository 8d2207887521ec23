// Package control decides the trees of the tracks that enter at one node, and
// keeps them quiet. It turns what that node knows (adverts, demand, the trees
// that run) into versioned routes, each with a backup and a reason.
//
// It is pure: no clock, no goroutine, no I/O. The backbone calls it off its loop
// with a snapshot, and carries out what it says.
package control

import "time"

// Protection says how a track survives the loss of a parent.
type Protection uint8

// Grades of protection.
const (
	// ProtectNone stores no backup.
	ProtectNone Protection = iota
	// ProtectCold stores a backup parent, at which nothing is subscribed.
	ProtectCold
	// ProtectWarm keeps a paused subscription at the backup parent.
	ProtectWarm
	// ProtectHot takes the track from both parents at once, over disjoint paths.
	ProtectHot
)

// Node is a node as its advert describes it.
type Node struct {
	ID       string
	Region   string
	Provider string
	// MaxChildren of one track; 0: it does not relay.
	MaxChildren int
	// EgressMbps that the node may send in all, and what of it is used, by these
	// tracks and by everything else. 0 egress: unlimited.
	EgressMbps, UsedMbps float64
	// Delay that the node adds when it forwards.
	Delay time.Duration
	// Draining nodes get no new children, and keep none.
	Draining bool
	// Overloaded nodes get no new children.
	Overloaded bool
}

// Link is one direction of a measured link: both ends advertise it.
type Link struct {
	From, To string
	Delay    time.Duration // p50, one way, with what losses add
	DelayP95 time.Duration
	// PriceUSDPerGB of traffic from From to To.
	PriceUSDPerGB float64
	// CapacityMbps that is left for these tracks; 0: unlimited.
	CapacityMbps float64
	// Calm: not held down after a failure.
	Calm bool
}

// Demand is one node that wants a track, or relays it.
type Demand struct {
	Node    string
	Viewers int // here, not below; 0 for a mere relay
	// Parent from which the node takes the track now; empty if not known.
	Parent string
}

// Track is one track that entered here.
type Track struct {
	Name     string // broadcast and track; unique
	RateMbps float64
	// Bound of the transit; 0: Config.Bound.
	Bound   time.Duration
	Protect Protection
	Demand  []Demand // sorted by node
}

// Snapshot is what a decision is made from.
type Snapshot struct {
	Now    time.Time
	Nodes  []Node  // sorted by id; the origin is one
	Links  []Link  // sorted by From, To
	Tracks []Track // sorted by name
}

// Route is where one node takes one track from.
type Route struct {
	Node string
	// Path from the origin to the parent, both included.
	Path []string
	// Backup path, from the origin to the backup parent, that avoids the inner
	// nodes of Path, and their regions and providers as far as possible. If no path
	// does, it avoids the parent at least, Protect is ProtectCold, and Note names what
	// both share. Empty: there is none, or none is wanted.
	Backup []string
	// Delay and BackupDelay that the measured links promise at the node.
	Delay, BackupDelay time.Duration
	// DelayP95 is the sum of the links' 95th percentiles: what Bound is held against.
	DelayP95 time.Duration
	// Bound of the track; for a node that cannot be reached in that, 1.1 times its
	// least possible delay.
	Bound time.Duration
	// Protect is the grade that this route has, which may be less than asked for.
	Protect Protection
	// Price of the last hop, USD per hour.
	Price float64
	// Reason why the node is where it is: joined, cheaper, late, parent_lost,
	// drain, capacity, blast_radius, kept ... with figures in Note.
	Reason string
	Note   string
	// Since is when the path was last changed.
	Since time.Time
}

// Plan is the decision about one track.
type Plan struct {
	Track   string
	Version uint64  // rises with every change
	Routes  []Route // sorted by node
	// Changed are the nodes whose path or backup differs from the last version.
	Changed []string
	Summary Summary
}

// Summary says what a plan is worth.
type Summary struct {
	Viewers    int // wanted
	Reachable  int // for whom the graph allows the bound
	InBound    int
	Served     int
	Protected  int // viewers with a backup in bound
	Moved      int // viewers of nodes that this version moves
	USDPerHour float64
	Planning   time.Duration // filled in by who calls
	// Unserved explains who gets nothing, and why.
	Unserved []string
}
