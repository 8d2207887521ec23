package discovery

import (
	"cmp"
	"slices"
	"time"
)

// Life is what the backbone knows of a peer.
type Life uint8

// Signs of life, from the weakest.
const (
	Silent Life = iota // nothing is heard of it
	Heard              // its adverts arrive, by way of others
	Linked             // there is a link with it
)

// Reason says why the list in force is not simply what the source answers.
type Reason string

// The reasons.
const (
	ReasonNone        Reason = ""
	ReasonUnreachable Reason = "unreachable"  // the source cannot be asked, or not all of it
	ReasonEmpty       Reason = "empty_answer" // it says that nobody exists
	ReasonPanic       Reason = "panic_rule"   // it takes away most peers, some of which live
	ReasonSaved       Reason = "saved_list"   // it has not answered since the start; the saved list is used
	ReasonNever       Reason = "no_list"      // there has never been a list
)

// forgetAfter is how long a peer must be unlisted and silent before it is taken
// from the list: longer than a restart takes, so that a peer which restarts while
// the source errs finds us still knowing it.
const forgetAfter = 2 * time.Minute

// roll is the list in force.
type roll struct {
	self  string
	nodes []Node // sorted by id
	// silent says since when a peer has been unlisted and silent.
	silent map[string]time.Time
}

// outcome is what an answer came to.
type outcome struct {
	refused  Reason   // why nothing was taken away, or ReasonNone
	unlisted []string // in force, although the source does not list them
	held     []string // linked, so their changed entry waits
}

// settle holds an answer against the list in force. A registry may err; what it
// takes away is advice, and only silence confirms it:
//
//   - nobody at all, or more than half of the peers gone while one of them shows
//     life: nothing is taken away (the panic rule);
//   - a peer that shows life stays, listed or not;
//   - one that is unlisted and silent is taken away after forgetAfter, unless the
//     answer does not cover the whole cluster;
//   - a linked peer's entry is not changed while the link lives: the link proves
//     the entry right.
//
// New peers are always taken in. It may be called again with the same answer, as
// time passes and links end.
func (r *roll) settle(answer Snapshot, life map[string]Life, now time.Time) outcome {
	var out outcome
	listed := answer.find()
	next := make([]Node, 0, len(r.nodes)+len(answer.Nodes))
	var missing []Node
	peers, alive := 0, false
	for _, n := range r.nodes {
		if n.ID == r.self {
			if _, ok := listed[n.ID]; !ok {
				next = append(next, n) // we know better
			}
			continue
		}
		peers++
		if _, ok := listed[n.ID]; !ok {
			missing = append(missing, n)
			out.unlisted = append(out.unlisted, n.ID)
			alive = alive || life[n.ID] != Silent
		}
	}
	switch {
	case len(answer.Nodes) == 0 && peers > 0 && !answer.Partial:
		out.refused = ReasonEmpty
	case 2*len(missing) > peers && alive && !answer.Partial:
		out.refused = ReasonPanic
	}
	silent := map[string]time.Time{}
	for _, n := range missing {
		if out.refused == ReasonNone && !answer.Partial && life[n.ID] == Silent {
			since, ok := r.silent[n.ID]
			if !ok {
				since = now
			}
			if now.Sub(since) >= forgetAfter {
				continue
			}
			silent[n.ID] = since
		}
		next = append(next, n)
	}
	known := Snapshot{Nodes: r.nodes}
	for _, n := range answer.Nodes {
		old, ok := known.Find(n.ID)
		if ok && old != n && n.ID != r.self && (life[n.ID] == Linked || out.refused != ReasonNone) {
			out.held = append(out.held, n.ID)
			n = old
		}
		next = append(next, n)
	}
	slices.SortFunc(next, func(a, b Node) int { return cmp.Compare(a.ID, b.ID) })
	r.nodes, r.silent = next, silent
	out.unlisted = slices.DeleteFunc(out.unlisted, func(id string) bool {
		_, ok := Snapshot{Nodes: next}.Find(id)
		return !ok
	})
	return out
}

// find returns the nodes by id.
func (s Snapshot) find() map[string]Node {
	m := make(map[string]Node, len(s.Nodes))
	for _, n := range s.Nodes {
		m[n.ID] = n
	}
	return m
}
