package backbone

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"
	"time"
)

// LinkConfig says with whom a node keeps links of its own accord. A zero field
// means its default. Links that peers open come on top, up to Total.
type LinkConfig struct {
	// FullMesh is up to how many nodes, this one included, everybody links to
	// everybody. Default 24, negative: never.
	FullMesh int
	// Near is how many of the nearest nodes are linked. Default 8.
	Near int
	// Beside is how many of the nearest other regions are linked, by one node
	// each. Default 4.
	Beside int
	// Far is how many further regions are linked by one node each, however far
	// they are. They hold the mesh together. Default 8.
	Far int
	// Routes is how many links routes may ask for beyond those. Default 24.
	Routes int
	// Total bounds all links, those that peers open included: a connection beyond
	// it is refused. Default 192, at most 256.
	Total int
}

// maxLinks is how many links there is place for in a record's bit sets.
const maxLinks = 256

func (c LinkConfig) withDefaults() (LinkConfig, error) {
	for _, f := range []struct {
		name    string
		value   *int
		missing int
	}{
		{"Near", &c.Near, 8},
		{"Beside", &c.Beside, 4},
		{"Far", &c.Far, 8},
		{"Routes", &c.Routes, 24},
		{"Total", &c.Total, 192},
	} {
		if *f.value == 0 {
			*f.value = f.missing
		}
		if *f.value < 0 || *f.value > maxLinks {
			return c, fmt.Errorf("backbone.Config.Links.%s is %d, want 1 to %d", f.name, *f.value, maxLinks)
		}
	}
	if c.FullMesh == 0 {
		c.FullMesh = 24
	}
	if own := max(c.Near+c.Beside+c.Far+c.Routes, c.FullMesh); own > c.Total {
		return c, fmt.Errorf("backbone.Config.Links.Total is %d, but the node's own links may be %d", c.Total, own)
	}
	return c, nil
}

// LinkCause says why a node keeps a link.
type LinkCause uint8

// The causes, the strongest first.
const (
	LinkCluster LinkCause = iota // everybody is linked in a small cluster
	LinkNear                     // one of the nearest nodes
	LinkBeside                   // speaks for one of the nearest other regions
	LinkFar                      // speaks for a region further away
	LinkRoute                    // a route or a backup uses it
	LinkUnheard                  // discovery knows it, but no advert of it has come
	LinkPeer                     // the peer wants it
)

// String returns the word of the API.
func (c LinkCause) String() string {
	switch c {
	case LinkCluster:
		return "cluster"
	case LinkNear:
		return "near"
	case LinkBeside:
		return "beside"
	case LinkFar:
		return "far"
	case LinkRoute:
		return "route"
	case LinkUnheard:
		return "unheard"
	case LinkPeer:
		return "peer"
	default:
		return fmt.Sprintf("cause(%d)", uint8(c))
	}
}

// candidate is another node that discovery knows.
type candidate struct {
	id, region string
	rtt        time.Duration // measured, else as coordinates have it, else a guess
	avoid      bool          // it refused us, or did not answer, lately
	wanted     bool          // by a route
	unheard    bool          // no advert of it has come for a while
	hash       uint64        // this node's throw of the dice for it
}

// Guesses where nothing is known of the distance to a node.
const (
	guessSameRegion  = 2 * time.Millisecond
	guessOtherRegion = time.Second
)

// linkSet chooses with whom to link. It is stable: who has been chosen stays,
// as long as he is still about as good as those that would take his place. It is
// pure; the mesh's loop owns it.
type linkSet struct {
	self, region string
	cfg          LinkConfig

	near   map[string]struct{} // nodes
	beside map[string]struct{} // regions
}

func newLinkSet(self, region string, cfg LinkConfig) *linkSet {
	return &linkSet{self: self, region: region, cfg: cfg, near: map[string]struct{}{}, beside: map[string]struct{}{}}
}

// choose returns whom to link to, and why. It uses all as its own. Which unheard node is tried depends
// on turn, so that each is in time.
func (s *linkSet) choose(all []candidate, turn uint64) map[string]LinkCause {
	chosen := make(map[string]LinkCause, s.cfg.Near+s.cfg.Beside+s.cfg.Far)
	if len(all)+1 <= s.cfg.FullMesh {
		for i := range all {
			chosen[all[i].id] = LinkCluster
		}
		return chosen
	}
	for i := range all {
		all[i].hash = s.rendezvous(all[i].id)
	}
	s.addNear(chosen, all)
	s.addRegions(chosen, all)
	s.addRest(chosen, all, turn)
	return chosen
}

// addNear takes the nearest. Who is near already stays while he is within half as
// many ranks more.
func (s *linkSet) addNear(chosen map[string]LinkCause, all []candidate) {
	ranked := make([]*candidate, 0, len(all))
	for i := range all {
		if !all[i].avoid {
			ranked = append(ranked, &all[i])
		}
	}
	slices.SortFunc(ranked, func(a, b *candidate) int {
		return cmp.Or(cmp.Compare(a.rtt, b.rtt), cmp.Compare(b.hash, a.hash))
	})
	ids := make([]string, len(ranked))
	for i, c := range ranked {
		ids[i] = c.id
	}
	s.near = keepRanked(s.near, ids, s.cfg.Near)
	for id := range s.near {
		chosen[id] = LinkNear
	}
}

// keepRanked returns n of the ranked, those of old first that rank among the
// first n and a half.
func keepRanked(old map[string]struct{}, ranked []string, n int) map[string]struct{} {
	kept := make(map[string]struct{}, n)
	for _, id := range ranked[:min(n+(n+1)/2, len(ranked))] {
		if _, ok := old[id]; ok && len(kept) < n {
			kept[id] = struct{}{}
		}
	}
	for _, id := range ranked {
		if len(kept) == n {
			break
		}
		kept[id] = struct{}{}
	}
	return kept
}

// addRegions takes a node of each of the nearest regions and of some others.
// Rendezvous hashing chooses the nodes, and the regions that are far: every node
// has its own, so that the load spreads, and keeps them whatever comes and goes.
func (s *linkSet) addRegions(chosen map[string]LinkCause, all []candidate) {
	type regionOf struct {
		name string
		rtt  time.Duration
		node string
		hash uint64
	}
	byName := map[string]*regionOf{}
	for i := range all {
		c := &all[i]
		if c.region == s.region || c.avoid {
			continue
		}
		r := byName[c.region]
		if r == nil {
			r = &regionOf{name: c.region, rtt: c.rtt}
			byName[c.region] = r
		}
		r.rtt = min(r.rtt, c.rtt)
		if r.node == "" || c.hash > r.hash {
			r.node, r.hash = c.id, c.hash
		}
	}
	regions := make([]*regionOf, 0, len(byName))
	for _, r := range byName {
		regions = append(regions, r)
	}
	slices.SortFunc(regions, func(a, b *regionOf) int {
		return cmp.Or(cmp.Compare(a.rtt, b.rtt), cmp.Compare(b.hash, a.hash))
	})
	names := make([]string, len(regions))
	for i, r := range regions {
		names[i] = r.name
	}
	s.beside = keepRanked(s.beside, names, s.cfg.Beside)
	for name := range s.beside {
		add(chosen, byName[name].node, LinkBeside)
	}
	slices.SortFunc(regions, func(a, b *regionOf) int { return cmp.Compare(b.hash, a.hash) })
	far := 0
	for _, r := range regions {
		if _, ok := s.beside[r.name]; !ok && far < s.cfg.Far {
			far++
			add(chosen, r.node, LinkFar)
		}
	}
}

// addRest fills up where there are fewer regions than far links, and adds what
// routes want and one node that is not heard.
func (s *linkSet) addRest(chosen map[string]LinkCause, all []candidate, turn uint64) {
	ranked := make([]*candidate, 0, len(all))
	for i := range all {
		ranked = append(ranked, &all[i])
	}
	slices.SortFunc(ranked, func(a, b *candidate) int { return cmp.Compare(b.hash, a.hash) })
	var unheard []string
	routes := 0
	for _, c := range ranked {
		switch _, ok := chosen[c.id]; {
		case ok:
		case c.wanted && routes < s.cfg.Routes:
			routes++
			chosen[c.id] = LinkRoute
		case c.avoid:
		case len(chosen)-routes < s.cfg.Near+s.cfg.Far:
			chosen[c.id] = LinkFar
		}
		if _, ok := chosen[c.id]; !ok && c.unheard {
			unheard = append(unheard, c.id)
		}
	}
	if len(unheard) > 0 {
		chosen[unheard[turn%uint64(len(unheard))]] = LinkUnheard
	}
}

func add(chosen map[string]LinkCause, id string, cause LinkCause) {
	if _, ok := chosen[id]; !ok {
		chosen[id] = cause
	}
}

// rendezvous is this node's own throw of the dice for another.
func (s *linkSet) rendezvous(id string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(s.self)) // a hash's Write never fails
	_, _ = h.Write([]byte{0})
	_, _ = h.Write([]byte(id))
	// FNV's high bits hardly depend on the last bytes: stir (MurmurHash3's finalizer).
	x := h.Sum64()
	x = (x ^ x>>33) * 0xff51afd7ed558ccd
	x = (x ^ x>>33) * 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}
