package control

import "time"

// Config of a [Controller]. A zero field means the default.
type Config struct {
	// Origin is the id of the node that plans: every track enters there.
	Origin string
	// Bound of the transit for tracks that have none of their own. Default 80 ms.
	Bound time.Duration
	// Seed of all randomness. The same seed and snapshots give the same plans.
	Seed uint64
	// GainDelay and GainShare: a routine move must make a node's delay less by both.
	// Default 10 ms and 0.15.
	GainDelay time.Duration
	GainShare float64
	// GainCost is the share of a track's cost that moves for money must save.
	// Default 0.05.
	GainCost float64
	// Hold is how long a gain must have lasted before somebody moves for it, and
	// how long a link must be faster before that is believed. It doubles with every
	// relapse of a link, up to 32 times. Default 10 s.
	Hold time.Duration
	// Rest is the least time between two moves of a node in a track that are not
	// failures. Default one minute.
	Rest time.Duration
	// Settle is how long a node may take to make a move that was decided. After that
	// the plan follows the node. Default 10 s.
	Settle time.Duration
	// Refresh is the least time between two full plans of a track. Default 10 s.
	Refresh time.Duration
	// MovedShare is the share of all viewers that routine moves may move in one
	// Rest; one node may always move. Default 0.10.
	MovedShare float64
	// BlastShare is the share of a track's viewers above which a relay's children
	// get a warm backup at least. Default 0.25; 1 or more turns the rule off.
	BlastShare float64
	// MaxDepth is the most links on a path from the origin to a node. Default 15: paths
	// on the wire have 16 nodes.
	MaxDepth int
	// FullPlans is how many full plans one decision may make; what is left over is
	// attached node by node, and planned in full by later decisions. Default 8.
	FullPlans int
}

func (c Config) withDefaults() Config {
	duration := func(d *time.Duration, def time.Duration) {
		if *d <= 0 {
			*d = def
		}
	}
	share := func(x *float64, def float64) {
		if !(*x > 0) { // not a number is no share either
			*x = def
		}
	}
	duration(&c.Bound, 80*time.Millisecond)
	duration(&c.GainDelay, 10*time.Millisecond)
	share(&c.GainShare, 0.15)
	share(&c.GainCost, 0.05)
	duration(&c.Hold, 10*time.Second)
	duration(&c.Rest, time.Minute)
	duration(&c.Settle, 10*time.Second)
	duration(&c.Refresh, 10*time.Second)
	share(&c.MovedShare, 0.10)
	share(&c.BlastShare, 0.25)
	if c.MaxDepth <= 0 {
		c.MaxDepth = 15
	}
	if c.FullPlans <= 0 {
		c.FullPlans = 8
	}
	return c
}
