package node

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"trellis/backbone"
	"trellis/edge/whip"
	"trellis/internal/auth"
	"trellis/internal/edges"
	"trellis/routing/spf"
	"trellis/wire"
	"trellis/wire/peer"
)

// Public is what clients and other nodes are told of a node as an edge. Zero
// fields are not told.
type Public struct {
	// URL is the base at which clients reach WHIP and WHEP by HTTP and MoQ by QUIC.
	// Without one, no other node sends clients here.
	URL string
	// Place is where the node stands.
	Place *edges.Point
	// EgressMbps is what it may send.
	EgressMbps uint64
	// PriceMicroUSD is what a GB sent to clients costs.
	PriceMicroUSD uint64
}

// about is what the node says of itself to others.
func (n *Node) about() peer.NodeValue {
	p := n.cfg.Public
	v := peer.NodeValue{
		Version: n.cfg.Version, URL: p.URL, PriceMicroUSD: p.PriceMicroUSD,
		MaxViewers: uint64(n.maxViewers()), Viewers: uint64(n.clients()),
	}
	if p.Place != nil {
		v.Latitude, v.Longitude = int64(p.Place.Lat*100), int64(p.Place.Lon*100)
	}
	if n.peers != nil && n.peers.State().Degraded {
		v.State |= peer.NodeDegraded
	}
	return v
}

// maxViewers is from how many clients on newcomers are sent elsewhere.
func (n *Node) maxViewers() int {
	if n.cfg.Limits.Viewers > 0 {
		return n.cfg.Limits.Viewers
	}
	return n.cfg.Limits.Sessions + n.cfg.Limits.Connections
}

// clients counts the sessions of all kinds.
func (n *Node) clients() int {
	publishers, viewers := n.rtc.Sessions()
	return publishers + viewers + n.moq.Sessions()
}

// full reports whether a newcomer by WebRTC has no room.
func (n *Node) full() bool {
	publishers, viewers := n.rtc.Sessions()
	return publishers+viewers >= n.cfg.Limits.Sessions || n.clients() >= n.maxViewers()
}

// landscape is what is known of the other nodes, kept for a moment: a flash crowd
// asks for it more often than it changes.
type landscape struct {
	mu sync.Mutex // guards what follows
	at time.Time
	o  backbone.Overview

	rankedAt time.Time
	ranked   []edges.Edge // for clients that are said nothing of
}

const (
	landscapeAge = 500 * time.Millisecond
	// landscapeWait bounds the wait for a backbone that is busy.
	landscapeWait = 200 * time.Millisecond
)

// overview returns what is known of the nodes, this one among them.
func (n *Node) overview(ctx context.Context, now time.Time) backbone.Overview {
	if n.port.mesh == nil {
		v := n.about()
		v.Region, v.Provider = n.cfg.Region, n.cfg.Provider
		return backbone.Overview{Self: n.cfg.ID, Links: &spf.Graph{}, Nodes: []backbone.KnownNode{{ID: n.cfg.ID, Boot: n.health.start, NodeValue: v}}}
	}
	n.land.mu.Lock()
	defer n.land.mu.Unlock()
	if n.land.o.Links != nil && now.Sub(n.land.at) < landscapeAge {
		return n.land.o
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), landscapeWait)
	defer cancel()
	o, err := n.port.mesh.Overview(ctx)
	switch {
	case err == nil:
		n.land.o, n.land.at = o, now
	case n.land.o.Links == nil:
		return backbone.Overview{Self: n.cfg.ID, Links: &spf.Graph{}}
	default:
		n.log.Debug("the backbone is busy, its last overview is used", slog.Any("err", err))
	}
	return n.land.o
}

// rank orders the nodes for a client. An empty broadcast means any.
func (n *Node) rank(ctx context.Context, broadcast wire.Broadcast, c edges.Client) []edges.Edge {
	o := n.overview(ctx, time.Now())
	q := edges.Question{Self: n.cfg.ID, Client: c, Nodes: make([]edges.Node, 0, len(o.Nodes))}
	for _, k := range o.Nodes {
		q.Nodes = append(q.Nodes, n.candidate(k))
	}
	trees := map[string]spf.Tree{}
	q.Between = func(a, b string) (time.Duration, bool) {
		t, ok := trees[a]
		if !ok {
			t = o.Links.From(a, "")
			trees[a] = t
		}
		return t.Cost(b)
	}
	if broadcast != "" {
		origin := ""
		if ann, ok := n.table.Lookup(broadcast); ok {
			origin = ann.Origin
		}
		if origin != "" {
			q.Tree = func(node string) (time.Duration, bool) { return q.Between(origin, node) }
		}
	}
	return edges.Rank(q)
}

func (n *Node) candidate(k backbone.KnownNode) edges.Node {
	e := edges.Node{
		ID: k.ID, Region: k.Region, Provider: k.Provider, URL: k.URL, Boot: k.Boot,
		Draining: k.State&peer.NodeDraining != 0, Overloaded: k.State&peer.NodeOverloaded != 0,
		EgressMbps: k.EgressMbps, UsedMbps: k.UsedMbps, MaxViewers: k.MaxViewers, Viewers: k.Viewers,
		PriceUSD: float64(k.PriceMicroUSD) / 1e6,
	}
	if k.Latitude != 0 || k.Longitude != 0 {
		e.Place = &edges.Point{Lat: float64(k.Latitude) / 100, Lon: float64(k.Longitude) / 100}
	}
	if k.ID == n.cfg.ID { // of ourselves we know better than our last advert
		e.Draining, e.Viewers = n.health.draining.Load(), uint64(n.clients())
	}
	return e
}

// elsewhere names a node to a client that cannot stay, empty if there is none.
func (n *Node) elsewhere(client string) string {
	now := time.Now()
	n.land.mu.Lock()
	ranked := n.land.ranked
	if ranked == nil || now.Sub(n.land.rankedAt) >= landscapeAge {
		n.land.mu.Unlock()
		ranked = n.rank(context.Background(), "", edges.Client{})
		n.land.mu.Lock()
		n.land.ranked, n.land.rankedAt = ranked, now
	}
	n.land.mu.Unlock()
	e, _ := edges.Other(ranked, n.cfg.ID, client, now)
	return e.URL
}

// Retry times of refusals.
const (
	retryFull = 10 * time.Second
	// minRetryDrain: a node that drains comes back, if it does, when it has restarted.
	minRetryDrain = 5 * time.Second
)

// direct says where a newcomer by WebRTC is to be served.
func (n *Node) direct(ctx context.Context, who whip.Newcomer) whip.Direction {
	client, err := edges.ParseClient(who.Place)
	if err != nil {
		n.log.Debug("place of a client", slog.Any("err", err)) // it is served all the same
	}
	d := whip.Direction{}
	switch {
	case n.health.draining.Load():
		d = whip.Direction{Refuse: true, Why: "The node is draining", RetryAfter: minRetryDrain}
	case n.full():
		d = whip.Direction{Refuse: true, Why: "The node is full", RetryAfter: retryFull}
	case len(client.RTT) == 0 && client.Place == nil:
		return d
	}
	broadcast := who.Broadcast
	if who.Publishes {
		broadcast = "" // it enters where it is published
	}
	ranked := n.rank(ctx, broadcast, client)
	if d.Refuse {
		e, _ := edges.Other(ranked, n.cfg.ID, who.Remote, time.Now())
		d.URL = e.URL
		return d
	}
	if e, ok := edges.Better(ranked, n.cfg.ID, client); ok {
		n.log.Debug("a client is sent to a better node", slog.String("peer", e.Node), slog.String("broadcast", string(who.Broadcast)))
		d.URL = e.URL
	}
	return d
}

// busy says why nobody may join now, empty if they may. Who joins by WebSocket cannot
// be sent elsewhere: an SDK comes back to the URL that it was given.
func (n *Node) busy(ctx context.Context, r *http.Request) string {
	return n.direct(ctx, whip.Newcomer{Remote: r.RemoteAddr}).Why
}

// EdgesAnswer is what GET /v1/edges says.
type EdgesAnswer struct {
	Node      string       `json:"node"`
	Broadcast string       `json:"broadcast,omitempty"`
	Origin    string       `json:"origin,omitempty"`
	Edges     []edges.Edge `json:"edges"`
}

// serveEdges answers GET /v1/edges?broadcast=...&lat=...&lon=... or &rtt=node:ms,...
func (n *Node) serveEdges(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	client, err := edges.ParseClient(q)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a := EdgesAnswer{Node: n.cfg.ID}
	var name wire.Broadcast
	if text := q.Get("broadcast"); text != "" {
		if name, err = wire.ParseBroadcast(text); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		ann, ok := n.table.Lookup(name)
		if !ok {
			http.Error(w, "no such broadcast is known here", http.StatusNotFound)
			return
		}
		a.Broadcast, a.Origin = string(name), ann.Origin
	}
	a.Edges = n.rank(r.Context(), name, client)
	answerJSON(w, a, nil)
}

// publicEdges is serveEdges for clients: with a token, and for pages.
func (n *Node) publicEdges(w http.ResponseWriter, r *http.Request) {
	n.allowOrigin(w, r)
	if r.Method == http.MethodOptions {
		w.Header().Set("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
		w.Header().Set("Access-Control-Allow-Headers", "Authorization")
		w.WriteHeader(http.StatusNoContent)
		return
	}
	token := auth.BearerToken(r.Header)
	if token == "" {
		token = auth.QueryToken(r.URL)
	}
	grant, err := n.cfg.Verifier.Verify(token, time.Now())
	if err != nil {
		n.log.Debug("token refused", slog.String("cause", auth.Explain(err)))
		w.Header().Set("WWW-Authenticate", `Bearer realm="trellis"`)
		http.Error(w, "a valid token is needed", http.StatusUnauthorized)
		return
	}
	// What cannot be had is not there: names are not to be guessed here.
	if text := r.URL.Query().Get("broadcast"); text != "" {
		name, err := wire.ParseBroadcast(text)
		if err == nil && !grant.CanSubscribe(name) && !grant.CanPublish(name) {
			http.Error(w, "the token does not cover this broadcast", http.StatusForbidden)
			return
		}
	}
	n.serveEdges(w, r)
}

// allowOrigin adds the CORS headers for pages that may use the node.
func (n *Node) allowOrigin(w http.ResponseWriter, r *http.Request) {
	origin := r.Header.Get("Origin")
	for _, allowed := range []string{"*", origin} {
		if origin != "" && slices.Contains(n.cfg.AllowedOrigins, allowed) {
			w.Header().Set("Access-Control-Allow-Origin", allowed)
			w.Header().Add("Vary", "Origin")
			return
		}
	}
}
