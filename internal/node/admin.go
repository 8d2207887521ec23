package node

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// adminHandler serves the operator on this machine.
func (n *Node) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, n.health.alive(), "alive", "stuck: the node's own loop makes no progress")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, n.ready(), "ready", "not ready: draining, stuck, or without any list of peers yet")
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(n.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /v1/status", n.serveStatus)
	mux.HandleFunc("GET /v1/routes", n.serveRoutes)
	mux.HandleFunc("GET /v1/graph", n.serveGraph)
	mux.HandleFunc("GET /v1/edges", n.serveEdges)
	mux.HandleFunc("GET /v1/events", n.serveEvents)
	mux.HandleFunc("GET /v1/layers", n.serveLayers)
	mux.HandleFunc("GET /v1/drain", func(w http.ResponseWriter, r *http.Request) {
		s, err := n.DrainStatus(r.Context())
		answerJSON(w, s, err)
	})
	mux.HandleFunc("POST /v1/drain", n.serveDrain)
	undrain := func(w http.ResponseWriter, r *http.Request) {
		s, err := n.Undrain(r.Context())
		answerJSON(w, s, err)
	}
	mux.HandleFunc("DELETE /v1/drain", undrain)
	mux.HandleFunc("POST /v1/undrain", undrain)
	// A page may send a POST to this machine, but not without saying where it is from.
	return SameMachine(http.NewCrossOriginProtection().Handler(mux))
}

func answer(w http.ResponseWriter, ok bool, yes, no string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	text := yes
	if !ok {
		w.WriteHeader(http.StatusServiceUnavailable)
		text = no
	}
	// A client that went away needs no answer.
	_, _ = w.Write([]byte(text + "\n"))
}

func (n *Node) serveStatus(w http.ResponseWriter, r *http.Request) {
	s, err := n.Status(r.Context())
	answerJSON(w, s, err)
}

// defaultDrain is the deadline of a command that gives none.
const defaultDrain = 30 * time.Second

// serveDrain begins to drain: POST /v1/drain?deadline=30s.
func (n *Node) serveDrain(w http.ResponseWriter, r *http.Request) {
	deadline := defaultDrain
	if text := r.URL.Query().Get("deadline"); text != "" {
		var err error
		if deadline, err = time.ParseDuration(text); err != nil || deadline < 0 || deadline > maxDrain {
			http.Error(w, fmt.Sprintf("deadline %.40q: want a time from 0s to %v, such as 30s", text, maxDrain), http.StatusBadRequest)
			return
		}
	}
	s, err := n.Drain(r.Context(), deadline)
	answerJSON(w, s, err)
}

// answerJSON writes v, unless the node is stopping.
func answerJSON(w http.ResponseWriter, v any, err error) {
	if err != nil {
		http.Error(w, "the node is stopping", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(v) // a client that went away needs no answer
}

// SameMachine refuses requests that name another host than this machine. A web
// page can point a name of its own at 127.0.0.1 and so pass for the same origin
// (DNS rebinding), but it cannot choose what the browser writes into Host.
func SameMachine(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		if ip, err := netip.ParseAddr(host); err != nil && host != "localhost" || err == nil && !ip.Unmap().IsLoopback() {
			http.Error(w, "ask for localhost", http.StatusMisdirectedRequest)
			return
		}
		h.ServeHTTP(w, r)
	})
}
