package control

import (
	"slices"
	"time"
)

// group is the state of tracks that are planned as one.
type group struct {
	tree  tree
	spots []spot // by node

	tracks  []*track
	demand  *wants
	bound   float64 // ms, of the tracks
	protect Protection

	round    uint64   // in which it was last seen
	changed  bool     // the demand, bound or protection did
	epoch    uint64   // of the network, when moves were last looked for
	dirty    bool     // the tree changed in this round
	shielded uint64   // epoch of the network for which backups were decided
	gone     []string // nodes that had a route, and are unknown now

	planned      bool // in full, once at least
	plannedAt    time.Time
	plannedEpoch uint64
	plannedFor   int64     // viewers
	better       time.Time // since when a full plan has been better
	lastMove     time.Time // the last that was no failure
	look         time.Time // when to look for moves again, if nothing changes
}

// spot is what a group knows of one node beside its place in the tree.
type spot struct {
	backup int32 // backup parent; -1 for none
	over   int32 // its own backup parent, where the path to it goes over that; -1 for none
	grade  Protection
	lost   string // parent whose loss was found while the network was read
	blast  bool   // its parent carries too many
	shares string // what the backup shares with the path, "" if it is disjoint

	why    why
	kept   keeping   // what speaks for staying
	since  time.Time // of the path
	moved  time.Time // last move that was no failure
	within float64   // the bound that it had then
	asked  time.Time // last move of any kind that the node has to make
	from   int32     // parent before it; -1 for none
	better time.Time // since when there has been a better parent
	failed uint8     // moves that the node did not make, in a row
	room   room      // that another makes for it

	// What was last told, as fingerprints.
	told       bool
	toldPath   uint64
	toldBackup uint64
	toldGrade  Protection
}

func newSpot() spot { return spot{backup: -1, over: -1, from: -1, room: room{at: -1}} }

func newGroup(n *network) *group {
	g := &group{tree: tree{net: n}}
	g.tree.c = make([]cell, len(n.nodes))
	g.spots = make([]spot, len(n.nodes))
	for v := range g.spots {
		g.tree.c[v] = newCell()
		g.spots[v] = newSpot()
	}
	if n.origin >= 0 {
		g.tree.c[n.origin].in = true
	}
	return g
}

func (g *group) clone() *group {
	out := *g
	out.tree.c = slices.Clone(g.tree.c)
	out.spots = slices.Clone(g.spots)
	out.tracks = nil
	return &out
}

func (g *group) add(k *track) {
	if k.group != g && k.group != nil {
		k.group = g
	}
	g.tracks = append(g.tracks, k)
	g.tree.rate += k.rate
	k.group = g
}

// alike reports whether two groups have the same trees and backups.
func (g *group) alike(o *group) bool {
	if len(g.spots) != len(o.spots) || g.planned != o.planned || !slices.Equal(g.gone, o.gone) {
		return false
	}
	for v := range g.spots {
		a, b := &g.tree.c[v], &o.tree.c[v]
		if a.parent != b.parent || a.in != b.in || a.standby != b.standby || g.spots[v].told != o.spots[v].told ||
			g.spots[v].backup != o.spots[v].backup || g.spots[v].over != o.spots[v].over || g.spots[v].toldPath != o.spots[v].toldPath ||
			g.spots[v].toldBackup != o.spots[v].toldBackup || g.spots[v].toldGrade != o.spots[v].toldGrade {
			return false
		}
	}
	return true
}

// renumber follows a change of the network's nodes: from is each node's old
// number, and names are the old ones. Children of nodes that are gone float.
func (g *group) renumber(from []int32, names []string) {
	to := slices.Repeat([]int32{-1}, len(g.tree.c))
	for v, old := range from {
		if old >= 0 {
			to[old] = int32(v)
		}
	}
	at := func(old int32) int32 {
		if old < 0 {
			return -1
		}
		return to[old]
	}
	cells, spots := make([]cell, len(from)), make([]spot, len(from))
	for v, old := range from {
		cells[v], spots[v] = newCell(), newSpot()
		if old < 0 {
			continue
		}
		a, b := &g.tree.c[old], &cells[v]
		b.in, b.standby, b.parent = a.in, a.standby, at(a.parent)
		spots[v] = g.spots[old]
		spots[v].backup, spots[v].over, spots[v].from = at(spots[v].backup), at(spots[v].over), at(spots[v].from)
		spots[v].room.at = at(spots[v].room.at)
	}
	for old := range g.spots {
		if g.spots[old].told && to[old] < 0 {
			g.gone = append(g.gone, names[old])
		}
	}
	for v, old := range from {
		if old < 0 {
			continue
		}
		if p := g.tree.c[old].parent; p >= 0 && to[p] < 0 {
			spots[v].lost = names[p]
		}
	}
	g.tree.c, g.spots = cells, spots
	g.changed = true
}
