package node

import (
	"net/http"
	"strconv"

	"trellis/internal/telemetry"
)

// Events returns what the node remembers having happened, from number since on,
// and the number of the next to come.
func (n *Node) Events(since uint64) (events []telemetry.Event, next uint64) {
	return n.events.Since(since)
}

// eventsAnswer is GET /v1/events and GET /v1/layers.
type eventsAnswer struct {
	Next   uint64            `json:"next"`
	Events []telemetry.Event `json:"events"`
}

// serveEvents answers GET /v1/events[?since=N].
func (n *Node) serveEvents(w http.ResponseWriter, r *http.Request) { answerEvents(w, r, n.events) }

// serveLayers answers GET /v1/layers[?since=N]: which layer viewers were put on,
// and why.
func (n *Node) serveLayers(w http.ResponseWriter, r *http.Request) { answerEvents(w, r, n.layers) }

func answerEvents(w http.ResponseWriter, r *http.Request, of *telemetry.Events) {
	var since uint64
	if s := r.URL.Query().Get("since"); s != "" {
		var err error
		if since, err = strconv.ParseUint(s, 10, 64); err != nil {
			http.Error(w, "since: want the number of an event", http.StatusBadRequest)
			return
		}
	}
	a := eventsAnswer{Events: []telemetry.Event{}}
	events, next := of.Since(since)
	a.Next, a.Events = next, append(a.Events, events...)
	answerJSON(w, a, nil)
}
