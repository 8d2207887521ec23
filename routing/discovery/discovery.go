// Package discovery says what a source of peers tells: which nodes exist, and
// where. Who of them is alive is not its business; the backbone finds out.
package discovery

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"net"
	"slices"
	"strconv"
	"time"

	"trellis/wire/peer"
)

// Node is one node of the cluster.
type Node struct {
	ID       string
	Region   string
	Provider string // may be empty
	// Addr is the UDP address for links, "host:port".
	Addr string
	// Facts may all be missing.
	Facts
}

// Facts are what a node says of itself where it registers: what seldom changes.
// What does change, its adverts say.
type Facts struct {
	URL     string // at which clients reach it
	Version string
	Class   Class
	// Latitude and Longitude in degrees; both 0: not told.
	Latitude, Longitude float64
}

// Class says roughly how much a node can send.
type Class string

// Classes, by what a node may send.
const (
	ClassUnknown Class = ""
	ClassSmall   Class = "small"  // less than 1 Gbit/s
	ClassMedium  Class = "medium" // less than 10 Gbit/s
	ClassLarge   Class = "large"
)

// ClassOf returns the class of a node that may send so many Mbit/s; 0 is not known.
func ClassOf(egressMbps int) Class {
	switch {
	case egressMbps <= 0:
		return ClassUnknown
	case egressMbps < 1_000:
		return ClassSmall
	case egressMbps < 10_000:
		return ClassMedium
	default:
		return ClassLarge
	}
}

// maxFactBytes bounds each text of Facts.
const maxFactBytes = 512

func (f Facts) checkFacts() error {
	for what, text := range map[string]string{"URL": f.URL, "version": f.Version, "class": string(f.Class)} {
		if len(text) > maxFactBytes {
			return fmt.Errorf("%s has %d bytes, at most %d", what, len(text), maxFactBytes)
		}
	}
	// Written so that NaN is refused.
	if !(math.Abs(f.Latitude) <= 90 && math.Abs(f.Longitude) <= 180) {
		return fmt.Errorf("no place at latitude %v, longitude %v", f.Latitude, f.Longitude)
	}
	return nil
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
	if err := n.checkFacts(); err != nil {
		return fmt.Errorf("node %s: %w", n.ID, err)
	}
	return nil
}

// Snapshot is all nodes that a source knows, this one perhaps among them,
// sorted by id.
type Snapshot struct {
	Nodes []Node
	// Partial: not all of the cluster could be asked, so nodes that are missing
	// here may well exist.
	Partial bool
}

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

// Report is what a source says of itself.
type Report struct {
	// LastSuccess is when it was reached last; zero: never.
	LastSuccess time.Time
	// Problem says what is wrong now; empty: nothing.
	Problem string
}

// Reporter is a Source that knows whether it is reached. Report is safe for
// concurrent use.
type Reporter interface {
	Source
	Report() Report
}
