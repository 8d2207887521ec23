// Package discovery says what a source of peers tells: which nodes exist, and
// where. Who of them is alive is not its business; the backbone finds out.
package discovery

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"

	"trellis/wire/peer"
)

// Node is one node of the cluster.
type Node struct {
	ID       string
	Region   string
	Provider string // may be empty
	// Addr is the UDP address for links, "host:port".
	Addr string
}

// Check reports what is wrong with n.
func (n Node) Check() error {
	if err := peer.CheckNodeID(n.ID); err != nil {
		return err
	}
	if err := peer.CheckNodeID(n.Region); err != nil {
		return fmt.Errorf("node %s: region: %w", n.ID, err)
	}
	_, port, err := net.SplitHostPort(n.Addr)
	if err != nil {
		return fmt.Errorf("node %s: %w", n.ID, err)
	}
	if p, err := strconv.ParseUint(port, 10, 16); err != nil || p == 0 {
		return fmt.Errorf("node %s: port %q of %s is not in 1..65535", n.ID, port, n.Addr)
	}
	return nil
}

// Snapshot is all nodes that a source knows, this one perhaps among them,
// sorted by id.
type Snapshot struct{ Nodes []Node }

// NewSnapshot checks nodes and sorts them. Two nodes of one id are an error.
func NewSnapshot(nodes []Node) (Snapshot, error) {
	nodes = slices.Clone(nodes)
	slices.SortFunc(nodes, func(a, b Node) int { return cmp.Compare(a.ID, b.ID) })
	for i, n := range nodes {
		if err := n.Check(); err != nil {
			return Snapshot{}, err
		}
		if i > 0 && nodes[i-1].ID == n.ID {
			return Snapshot{}, fmt.Errorf("node %s is listed twice", n.ID)
		}
	}
	return Snapshot{Nodes: nodes}, nil
}

// Find returns the node of that id.
func (s Snapshot) Find(id string) (Node, bool) {
	i, ok := slices.BinarySearchFunc(s.Nodes, id, func(n Node, id string) int { return cmp.Compare(n.ID, id) })
	if !ok {
		return Node{}, false
	}
	return s.Nodes[i], true
}

// Source finds nodes.
type Source interface {
	// Watch calls seen with what is known now, and again after each change,
	// never concurrently. It blocks until ctx ends. A source that cannot be
	// reached keeps its last snapshot: an error means that it never had one.
	Watch(ctx context.Context, seen func(Snapshot)) error
}
