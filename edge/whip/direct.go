package whip

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"trellis/wire"
)

// Newcomer is a client that asks for a session.
type Newcomer struct {
	Broadcast wire.Broadcast
	// Publishes says that it came to the door of WHIP.
	Publishes bool
	// Place is what it says of where it is: lat and lon, or rtt, in its URL's
	// query or in the header Trellis-Place. Empty: nothing.
	Place url.Values
	// Remote is its address.
	Remote string
}

// Direction says where a newcomer is to be served.
type Direction struct {
	// Refuse: this node takes nobody. Otherwise the newcomer may stay.
	Refuse bool
	// Why, for the newcomer, where it is refused: "the node is draining".
	Why string
	// URL is the base of another node that would serve it better, empty for none.
	URL string
	// RetryAfter is when to ask again here, if it is refused.
	RetryAfter time.Duration
}

// placeHeader carries what may also stand in the query: lat=50.1&lon=8.7, or
// rtt=eu-west-1:12,us-east-1:90.
const placeHeader = "Trellis-Place"

// redirectedKey marks URLs to which a client was sent by another node. Whoever
// comes with it is not sent on: there is at most one redirect.
const redirectedKey = "redirected"

// direct sends a newcomer to another node, or says why it must go. It returns
// true if the response has been written.
func (h *Handler) direct(w http.ResponseWriter, r *http.Request, e endpoint, name wire.Broadcast) (bool, error) {
	if h.cfg.Direct == nil {
		return false, nil
	}
	query := r.URL.Query()
	d := h.cfg.Direct(r.Context(), Newcomer{
		Broadcast: name, Publishes: e.prefix == WHIPPrefix, Place: placeOf(query, r.Header), Remote: r.RemoteAddr,
	})
	target := ""
	if d.URL != "" {
		u := url.URL{Path: e.prefix + string(name), RawQuery: redirectedKey + "=1"}
		target = strings.TrimSuffix(d.URL, "/") + u.String()
	}
	if target != "" && !query.Has(redirectedKey) && h.follows(r) {
		// RFC 9725, Section 4.5
		w.Header().Set("Location", target)
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusTemporaryRedirect)
		return true, nil
	}
	if !d.Refuse {
		return false, nil
	}
	p := newProblem(e.elsewhere, fmt.Sprintf("%s. Try again later.", d.Why))
	p.retryAfter = max(d.RetryAfter, time.Second)
	if target != "" {
		w.Header().Add("Link", "<"+target+`>; rel="alternate"`)
		p.Detail = fmt.Sprintf("%s. Use the node that Link names, or try again later.", d.Why)
	}
	return false, p
}

// follows reports whether a redirect to another node would bring the client
// there with what it needs. From a page of another origin, browsers follow with
// the origin "null" and without Authorization (Fetch, "HTTP-redirect fetch"): the
// next node would refuse that. A page asks /v1/edges before, or reads Link.
func (h *Handler) follows(r *http.Request) bool {
	return r.Header.Get("Origin") == "" ||
		r.Header.Get("Authorization") == "" && slices.Contains(h.cfg.AllowedOrigins, "*")
}

func placeOf(query url.Values, header http.Header) url.Values {
	place := url.Values{}
	told, err := url.ParseQuery(header.Get(placeHeader))
	if err != nil {
		told = nil // it says nothing that we understand
	}
	for _, from := range []url.Values{told, query} {
		for _, key := range []string{"lat", "lon", "rtt"} {
			if v := from.Get(key); v != "" {
				place.Set(key, v)
			}
		}
	}
	return place
}
