package node

import (
	"context"
	"errors"
	"net/http"

	"trellis/backbone"
)

// errAlone says that a node has no backbone.
var errAlone = errors.New("the node stands alone: it has no backbone")

// Graph returns what the node knows of the mesh.
func (n *Node) Graph(ctx context.Context) (backbone.GraphStatus, error) {
	if n.port.mesh == nil {
		return backbone.GraphStatus{}, errAlone
	}
	return n.port.mesh.Graph(ctx)
}

// serveGraph answers GET /v1/graph.
func (n *Node) serveGraph(w http.ResponseWriter, r *http.Request) {
	g, err := n.Graph(r.Context())
	if errors.Is(err, errAlone) {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	answerJSON(w, g, err)
}
