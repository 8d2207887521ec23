package edges

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// Node is a candidate.
type Node struct {
	ID, Region, Provider string
	// URL is the base at which clients reach it; empty: not known.
	URL string
	// Boot is when its process started.
	Boot time.Time
	// Place is where it stands, nil if it does not say.
	Place *Point

	Draining, Overloaded bool

	// EgressMbps that it may send and UsedMbps of it, MaxViewers and Viewers; a
	// limit of 0 is none.
	EgressMbps, UsedMbps, MaxViewers, Viewers uint64
	// PriceUSD is what a GB to clients costs.
	PriceUSD float64
}

// Point is a place on Earth, in degrees.
type Point struct{ Lat, Lon float64 }

// Client is what is known of the client.
type Client struct {
	// RTT holds round trips that it measured, by node.
	RTT map[string]time.Duration
	// Place is where it says it is.
	Place *Point
}

// told reports whether the client has said anything about where it is.
func (c Client) told() bool { return len(c.RTT) > 0 || c.Place != nil }

// Question is what Rank is asked.
type Question struct {
	// Self is the node that is asked.
	Self  string
	Nodes []Node
	// Tree returns the delay from the origin of the broadcast to a node, false if
	// there is no way. Nil: no broadcast was named, and only access counts.
	Tree func(node string) (time.Duration, bool)
	// Between returns the delay between two nodes, false if it is not known.
	Between func(a, b string) (time.Duration, bool)
	Client  Client
}

// State says whether a node takes a client.
type State string

// States, in order of preference.
const (
	Free       State = "free"
	Full       State = "full"
	Overloaded State = "overloaded"
	Draining   State = "draining"
)

// Access says how the delay between client and node is known.
type Access string

// Ways to know the delay of access.
const (
	Measured Access = "measured"
	ViaNode  Access = "via_node"
	Distance Access = "distance"
	Here     Access = "here"
	Unknown  Access = "unknown"
)

// Reason says why a node stands behind the one before it.
type Reason string

// Reasons.
const (
	Best            Reason = "best"
	ByState         Reason = "state"
	ByUnknownDelay  Reason = "delay_unknown"
	ByUnreachable   Reason = "no_way_from_origin"
	ByDelay         Reason = "delay"
	ByLoad          Reason = "load"
	ByPrice         Reason = "price"
	ByNothingButKey Reason = "equal"
)

// Edge is a node with what speaks for and against it. Durations are in
// milliseconds, one way.
type Edge struct {
	Node     string `json:"node"`
	Region   string `json:"region"`
	Provider string `json:"provider,omitempty"`
	URL      string `json:"url,omitempty"`
	State    State  `json:"state"`
	// Reason is why it does not stand before the one above it.
	Reason Reason `json:"reason"`
	// ExpectedMs is TreeMs and AccessMs together; all are null if not known.
	ExpectedMs *float64 `json:"expected_ms"`
	TreeMs     *float64 `json:"tree_ms"`
	AccessMs   *float64 `json:"access_ms"`
	AccessFrom Access   `json:"access_from"`
	// Utilisation is the larger of the shares of viewers and of egress that are
	// taken, null without limits.
	Utilisation *float64 `json:"utilisation"`
	PriceUSD    float64  `json:"price_usd_per_gb"`
	// LoadMs and PriceMs are what load and price count for, and ScoreMs is the sum
	// of all.
	LoadMs  float64  `json:"load_ms"`
	PriceMs float64  `json:"price_ms"`
	ScoreMs *float64 `json:"score_ms"`

	boot     time.Time
	place    int // of State
	hasTree  bool
	expected float64
	score    float64
	known    bool // expected is
}

// What load and price count for.
const (
	// easy is the utilisation up to which load counts for nothing; from there it
	// grows to loadMs at 100 %.
	easy   = 0.7
	loadMs = 50
	// priceMsPerUSD makes ten US cents for a GB, about the spread between regions
	// of a cloud, as bad as 10 ms.
	priceMsPerUSD = 100
)

// Rank orders the nodes, best first.
func Rank(q Question) []Edge {
	all := make([]Edge, 0, len(q.Nodes))
	for _, n := range q.Nodes {
		all = append(all, q.judge(n))
	}
	slices.SortFunc(all, compare)
	for i := range all {
		all[i].Reason = Best
		if i > 0 {
			all[i].Reason = because(&all[i-1], &all[i])
		}
	}
	return all
}

func (q Question) judge(n Node) Edge {
	e := Edge{
		Node: n.ID, Region: n.Region, Provider: n.Provider, URL: n.URL, PriceUSD: n.PriceUSD,
		PriceMs: n.PriceUSD * priceMsPerUSD, boot: n.Boot, hasTree: true,
	}
	if u, limited := utilisation(n); limited {
		e.Utilisation = &u
		e.LoadMs = loadMs * min(max(u-easy, 0)/(1-easy), 1)
	}
	switch {
	case n.Draining:
		e.State, e.place = Draining, 3
	case n.Overloaded:
		e.State, e.place = Overloaded, 2
	case e.Utilisation != nil && *e.Utilisation >= 1:
		e.State, e.place = Full, 1
	default:
		e.State = Free
	}
	tree := 0.0
	if q.Tree != nil {
		d, ok := q.Tree(n.ID)
		if e.hasTree = ok; ok {
			tree = millis(d)
			e.TreeMs = &tree
		}
	}
	access, from := q.access(n)
	e.AccessFrom = from
	if from != Unknown {
		e.AccessMs = &access
	}
	if e.known = e.hasTree && from != Unknown; e.known {
		e.expected = tree + access
		e.ExpectedMs = &e.expected
	}
	e.score = e.expected + e.LoadMs + e.PriceMs
	if e.known {
		e.ScoreMs = &e.score
	}
	return e
}

func utilisation(n Node) (float64, bool) {
	u, limited := 0.0, false
	for _, of := range [...]struct{ used, limit uint64 }{{n.Viewers, n.MaxViewers}, {n.UsedMbps, n.EgressMbps}} {
		if of.limit > 0 {
			u, limited = max(u, float64(of.used)/float64(of.limit)), true
		}
	}
	return u, limited
}

// access is the delay between the client and a node, in milliseconds.
func (q Question) access(n Node) (float64, Access) {
	if rtt, ok := q.Client.RTT[n.ID]; ok {
		return millis(rtt) / 2, Measured
	}
	best := math.Inf(1)
	for via, rtt := range q.Client.RTT {
		if d, ok := q.between(via, n.ID); ok {
			best = min(best, millis(rtt)/2+d)
		}
	}
	switch {
	case !math.IsInf(best, 1):
		return best, ViaNode
	case q.Client.Place != nil && n.Place != nil:
		return flight(*q.Client.Place, *n.Place), Distance
	case q.Client.told():
		return 0, Unknown
	case n.ID == q.Self:
		return 0, Here
	}
	if d, ok := q.between(q.Self, n.ID); ok {
		return d, Here
	}
	return 0, Unknown
}

func (q Question) between(a, b string) (float64, bool) {
	if q.Between == nil {
		return 0, false
	}
	d, ok := q.Between(a, b)
	return millis(d), ok
}

// compare puts the better node first. It is a total order: unlike things are
// compared step by step, and like ones by one number.
func compare(a, b Edge) int {
	return cmp.Or(
		cmp.Compare(a.place, b.place),
		-compareBool(a.hasTree, b.hasTree),
		-compareBool(a.known, b.known),
		cmp.Compare(a.score, b.score),
		cmp.Compare(a.Node, b.Node),
	)
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	default:
		return -1
	}
}

// because is why b is behind a: what weighs most.
func because(a, b *Edge) Reason {
	delay, load, price := b.expected-a.expected, b.LoadMs-a.LoadMs, b.PriceMs-a.PriceMs
	switch {
	case a.place != b.place:
		return ByState
	case a.hasTree != b.hasTree:
		return ByUnreachable
	case a.known != b.known:
		return ByUnknownDelay
	case a.score == b.score:
		return ByNothingButKey
	case delay >= load && delay >= price:
		return ByDelay
	case load >= price:
		return ByLoad
	default:
		return ByPrice
	}
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
