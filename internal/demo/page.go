package demo

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"time"

	"trellis/internal/node"
)

// pageHandler serves the page, what it needs to know, and the nodes' status: the
// page may not read that from the admin listeners, which are other origins.
func (d *Demo) pageHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /", http.FileServerFS(d.cfg.Page))
	mux.HandleFunc("GET /demo.json", func(w http.ResponseWriter, _ *http.Request) {
		info, err := d.info(time.Now())
		if err != nil {
			d.cfg.Log.Error("no token for the page", slog.Any("err", err))
			http.Error(w, "no token", http.StatusInternalServerError)
			return
		}
		d.writeJSON(w, struct {
			Info

			WAN WANInfo `json:"wan"`
		}{info, d.wanInfo()})
	})
	mux.HandleFunc("GET /status/{region}", func(w http.ResponseWriter, r *http.Request) {
		for _, s := range d.sites {
			if s.region.Name != r.PathValue("region") {
				continue
			}
			status, err := s.n.Status(r.Context())
			if err != nil {
				http.Error(w, "the node is stopping", http.StatusServiceUnavailable)
				return
			}
			d.writeJSON(w, status)
			return
		}
		http.Error(w, "no such region", http.StatusNotFound)
	})
	return node.SameMachine(noCache(mux))
}

func (d *Demo) writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // a client that went away needs no answer
}

// noCache keeps a browser from showing the page of an earlier demo, whose ports
// may have been the same.
func noCache(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Referrer-Policy", "no-referrer")
		h.ServeHTTP(w, r)
	})
}
