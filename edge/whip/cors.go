package whip

import (
	"net/http"
	"slices"
)

// Methods and headers of the protocols, for CORS and for 405.
const (
	endpointMethods = "GET, HEAD, OPTIONS, POST"
	resourceMethods = "DELETE, GET, HEAD, OPTIONS, PATCH"
	requestHeaders  = "Authorization, Content-Type, If-Match, " + placeHeader
	// Without these, browser clients cannot read what they need to go on.
	exposedHeaders = "Location, ETag, Link, Accept-Patch, Accept-Post, Retry-After"
	preflightAge   = "86400"
)

// allowOrigin adds the CORS headers of every response to an allowed origin.
func (h *Handler) allowOrigin(w http.ResponseWriter, r *http.Request) {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return
	}
	hdr := w.Header()
	switch {
	case slices.Contains(h.cfg.AllowedOrigins, "*"):
		hdr.Set("Access-Control-Allow-Origin", "*")
	case slices.Contains(h.cfg.AllowedOrigins, origin):
		hdr.Set("Access-Control-Allow-Origin", origin)
		hdr.Add("Vary", "Origin")
	default:
		return
	}
	hdr.Set("Access-Control-Expose-Headers", exposedHeaders)
}

// options answers OPTIONS: for browsers as a preflight, for others as a list of
// what is accepted.
func options(w http.ResponseWriter, methods string) {
	hdr := w.Header()
	hdr.Set("Allow", methods)
	hdr.Set("Access-Control-Allow-Methods", methods)
	hdr.Set("Access-Control-Allow-Headers", requestHeaders)
	hdr.Set("Access-Control-Max-Age", preflightAge)
	w.WriteHeader(http.StatusNoContent)
}
