package sim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"trellis/internal/ca"
	"trellis/internal/node"
	"trellis/routing/discovery"
)

// NodeSpec describes a node of a cluster.
type NodeSpec struct {
	ID     string
	Region string // default: its ID
	// Provider is who runs it; it may be empty.
	Provider string
	// Peers are the nodes that it keeps links to; nil: all.
	Peers []string
	// ClockOffset is how far its clock is ahead of the true time.
	ClockOffset time.Duration
}

// ClusterConfig describes a backbone.
type ClusterConfig struct {
	Nodes []NodeSpec
	// Stagger is the time between the starts of two nodes.
	Stagger time.Duration
	// Log receives what all nodes have to say. Default: nobody.
	Log *slog.Logger
	// Configure, if set, changes the configuration of each node before it is made.
	Configure func(*node.Config)
}

// Cluster is a backbone of nodes on a simulated network.
type Cluster struct {
	Network *Network

	cfg       ClusterConfig
	authority *ca.Authority
	registry  *registry
	nodes     []*Node
}

var (
	errClusterOver = errors.New("the simulation is over")
	errKilled      = errors.New("killed")
)

// NewCluster assembles the nodes and starts them. Close ends them.
func NewCluster(n *Network, cfg ClusterConfig) (*Cluster, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	c := &Cluster{Network: n, cfg: cfg, registry: newRegistry()}
	var err error
	if c.authority, err = ca.NewAuthority("simulation", time.Now()); err != nil {
		return nil, err
	}
	for _, spec := range cfg.Nodes {
		if spec.Region == "" {
			spec.Region = spec.ID
		}
		credentials, err := c.authority.Issue(spec.Region, spec.ID, 365*24*time.Hour, time.Now())
		if err != nil {
			return nil, errors.Join(err, c.Close())
		}
		made, err := c.assemble(spec, credentials)
		if err != nil {
			return nil, errors.Join(err, c.Close())
		}
		c.nodes = append(c.nodes, made)
	}
	// All listen before the first dials.
	for i, n := range c.nodes {
		if i > 0 && cfg.Stagger > 0 {
			time.Sleep(cfg.Stagger)
		}
		n.start()
	}
	return c, nil
}

// assemble makes a node that listens. It must be started.
func (c *Cluster) assemble(spec NodeSpec, credentials *ca.Credentials) (*Node, error) {
	peers, err := c.peersOf(spec)
	if err != nil {
		return nil, err
	}
	n, err := newNode(c.Network.Host(spec.ID), spec, credentials, peers, c.cfg)
	if err != nil {
		return nil, fmt.Errorf("node %s: %w", spec.ID, err)
	}
	return n, nil
}

// start lets a node run until it is stopped.
func (n *Node) start() {
	ctx, cancel := context.WithCancelCause(context.Background())
	n.stop, n.ended = cancel, make(chan struct{})
	go func() {
		defer close(n.ended)
		if err := n.Run(ctx); err != nil {
			n.err = fmt.Errorf("node %s: %w", n.ID, err)
		}
	}()
}

// Kill takes the power from a node's host: it falls silent, and nobody is told.
// What is left of the node ends by itself, unseen; Revive starts another.
func (c *Cluster) Kill(id string) {
	c.Network.SetPower(id, false)
	c.Node(id).stop(errKilled)
}

// Revive starts a node again that was killed, as a new process on the old host,
// with the old one's key.
func (c *Cluster) Revive(id string) error {
	old := c.Node(id)
	<-old.ended
	c.Network.SetPower(id, true)
	made, err := c.assemble(old.spec, old.credentials)
	if err != nil {
		return err
	}
	made.start()
	c.nodes[slices.Index(c.nodes, old)] = made
	return old.err
}

// Close ends all nodes, waits for them, and returns what went wrong.
func (c *Cluster) Close() error {
	for _, n := range c.nodes {
		if n.stop == nil {
			n.start() // it lets go of its sockets by ending
		}
		n.stop(errClusterOver)
	}
	errs := make([]error, 0, len(c.nodes))
	for _, n := range c.nodes {
		<-n.ended
		errs = append(errs, n.err)
	}
	return errors.Join(errs...)
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
	_, err := discovery.NewSnapshot(nodes)
	return registered{c.registry, nodes}, err
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
