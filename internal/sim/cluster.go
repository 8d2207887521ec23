package sim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"trellis/internal/ca"
	"trellis/routing/discovery"
)

// NodeSpec describes a node of a cluster.
type NodeSpec struct {
	ID     string
	Region string // default: its ID
	// Peers are the nodes that it keeps links to; nil: all.
	Peers []string
	// ClockOffset is how far its clock is ahead of the true time.
	ClockOffset time.Duration
}

// ClusterConfig describes a backbone.
type ClusterConfig struct {
	Nodes []NodeSpec
	// Log receives what all nodes have to say. Default: nobody.
	Log *slog.Logger
}

// Cluster is a backbone of nodes on a simulated network.
type Cluster struct {
	Network *Network

	cfg    ClusterConfig
	nodes  []*Node
	cancel context.CancelCauseFunc
	done   chan error
}

var errClusterOver = errors.New("the simulation is over")

// NewCluster assembles the nodes and starts them. Close ends them.
func NewCluster(n *Network, cfg ClusterConfig) (*Cluster, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	c := &Cluster{Network: n, cfg: cfg, done: make(chan error, 1)}
	authority, err := ca.NewAuthority("simulation", time.Now())
	if err != nil {
		return nil, err
	}
	for _, spec := range cfg.Nodes {
		if spec.Region == "" {
			spec.Region = spec.ID
		}
		credentials, err := authority.Issue(spec.Region, spec.ID, 365*24*time.Hour, time.Now())
		if err != nil {
			return nil, err
		}
		peers, err := c.peersOf(spec)
		if err != nil {
			return nil, err
		}
		node, err := newNode(n.Host(spec.ID), spec, credentials, peers, cfg.Log)
		if err != nil {
			return nil, fmt.Errorf("node %s: %w", spec.ID, err)
		}
		c.nodes = append(c.nodes, node)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	c.cancel = cancel
	g, ctx := errgroup.WithContext(ctx)
	for _, node := range c.nodes {
		g.Go(func() error {
			if err := node.Run(ctx); err != nil {
				return fmt.Errorf("node %s: %w", node.ID, err)
			}
			return nil
		})
	}
	go func() { c.done <- g.Wait() }()
	return c, nil
}

// Close ends all nodes, waits for them, and returns what went wrong.
func (c *Cluster) Close() error {
	c.cancel(errClusterOver)
	return <-c.done
}

// Node returns the node of that id; it panics if there is none.
func (c *Cluster) Node(id string) *Node {
	i := slices.IndexFunc(c.nodes, func(n *Node) bool { return n.ID == id })
	if i < 0 {
		panic("sim: no node " + id)
	}
	return c.nodes[i]
}

// Client puts a client onto a host of its own, at a node's door.
func (c *Cluster) Client(name, node string) *Client {
	return NewClient(c.Network.Host(name), c.Node(node).Door(), name)
}

// fixedPeers is a source that knows everything from the beginning.
type fixedPeers struct{ snapshot discovery.Snapshot }

// Watch implements discovery.Source.
func (f fixedPeers) Watch(ctx context.Context, seen func(discovery.Snapshot)) error {
	seen(f.snapshot)
	<-ctx.Done()
	return context.Cause(ctx)
}

func (c *Cluster) peersOf(spec NodeSpec) (discovery.Source, error) {
	var nodes []discovery.Node
	for _, other := range c.cfg.Nodes {
		if spec.Peers != nil && other.ID != spec.ID && !slices.Contains(spec.Peers, other.ID) {
			continue
		}
		region := other.Region
		if region == "" {
			region = other.ID
		}
		nodes = append(nodes, discovery.Node{
			ID: other.ID, Region: region, Addr: c.Network.Host(other.ID).AddrPort(quicPort).String(),
		})
	}
	snapshot, err := discovery.NewSnapshot(nodes)
	return fixedPeers{snapshot}, err
}

// Chain returns nodes of which each is linked to the next.
func Chain(ids ...string) []NodeSpec {
	specs := make([]NodeSpec, len(ids))
	for i, id := range ids {
		specs[i] = NodeSpec{ID: id, Peers: []string{}}
		if i > 0 {
			specs[i].Peers = append(specs[i].Peers, ids[i-1])
			specs[i-1].Peers = append(specs[i-1].Peers, id)
		}
	}
	return specs
}
