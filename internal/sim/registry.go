package sim

import (
	"context"
	"sync"

	"trellis/routing/discovery"
)

// registry is what nodes discover each other by. It knows all from the beginning;
// what it answers may be changed.
type registry struct {
	mu      sync.Mutex
	answer  Answer
	changed chan struct{} // closed when answer has changed
}

// Answer turns the true list of nodes into what a registry tells a node.
type Answer func(nodes []discovery.Node) []discovery.Node

func newRegistry() *registry {
	return &registry{answer: Truth, changed: make(chan struct{})}
}

// Truth is the answer of a registry that works.
func Truth(nodes []discovery.Node) []discovery.Node { return nodes }

// SetAnswer changes what all nodes are told by discovery, from now on.
func (c *Cluster) SetAnswer(a Answer) {
	r := c.registry
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = a
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *registry) now() (Answer, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.answer, r.changed
}

// registered is the part of a registry that one node sees.
type registered struct {
	*registry

	nodes []discovery.Node
}

// Watch implements discovery.Source.
func (r registered) Watch(ctx context.Context, seen func(discovery.Snapshot)) error {
	for {
		answer, changed := r.now()
		s, err := discovery.NewSnapshot(answer(r.nodes))
		if err != nil {
			return err
		}
		seen(s)
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
