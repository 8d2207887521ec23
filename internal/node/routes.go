package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"trellis/backbone"
	"trellis/wire"
)

// errNoTrack says that there is nothing to explain.
var errNoTrack = errors.New("no such track here")

// Routes explains where a track goes, named as BROADCAST/TRACK. An empty edge
// means all nodes that this one knows of.
func (n *Node) Routes(ctx context.Context, track, edge string) (backbone.RoutesStatus, error) {
	name, err := n.findTrack(track)
	if err != nil {
		return backbone.RoutesStatus{}, err
	}
	if n.port.mesh == nil {
		return backbone.RoutesStatus{}, fmt.Errorf("%w: the node stands alone", errNoTrack)
	}
	s, err := n.port.mesh.Routes(ctx, name, edge)
	ann, _ := n.table.Lookup(name.Broadcast)
	switch {
	case errors.Is(err, backbone.ErrNotCarried) && ann.Local:
		return s, fmt.Errorf("%w: %s enters here, and no other node takes it", errNoTrack, name)
	case errors.Is(err, backbone.ErrNotCarried):
		return s, fmt.Errorf("%w: %s is not carried by %s; it enters at %s", errNoTrack, name, n.cfg.ID, ann.Origin)
	case err == nil && edge != "" && len(s.Routes) == 0 && s.Origin != n.cfg.ID:
		return s, fmt.Errorf("%w: %s does not take %s through %s; ask its origin, %s", errNoTrack, edge, name, n.cfg.ID, s.Origin)
	case err == nil && edge != "" && len(s.Routes) == 0:
		return s, fmt.Errorf("%w: %s does not take %s", errNoTrack, edge, name)
	}
	return s, err
}

// findTrack splits BROADCAST/TRACK. Both may hold slashes: the longest broadcast
// that is announced is meant.
func (n *Node) findTrack(s string) (wire.TrackName, error) {
	for i := strings.LastIndexByte(s, '/'); i > 0; i = strings.LastIndexByte(s[:i], '/') {
		name, err := wire.ParseTrackName(s[:i], s[i+1:])
		if err != nil {
			continue
		}
		if _, ok := n.table.Lookup(name.Broadcast); ok {
			return name, nil
		}
	}
	return wire.TrackName{}, fmt.Errorf("%w: no broadcast that %.200q could be a track of is announced", errNoTrack, s)
}

// serveRoutes answers GET /v1/routes?track=BROADCAST/TRACK[&edge=NODE].
func (n *Node) serveRoutes(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("track") == "" {
		http.Error(w, "which track? ask for /v1/routes?track=BROADCAST/TRACK[&edge=NODE]; /v1/status names those that are here", http.StatusBadRequest)
		return
	}
	s, err := n.Routes(r.Context(), q.Get("track"), q.Get("edge"))
	switch {
	case errors.Is(err, errNoTrack):
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	case err != nil:
		http.Error(w, "the node is stopping", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(s) // a client that went away needs no answer
}
