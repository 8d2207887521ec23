package whip

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"trellis/edge/rtc"
	"trellis/edge/whip/sdpfrag"
)

// session serves a session's own URL: RFC 9725, Sections 4.2 and 4.3.
func (h *Handler) session(w http.ResponseWriter, r *http.Request) error {
	if r.Method == http.MethodOptions {
		w.Header().Set("Accept-Patch", fragType)
		options(w, resourceMethods)
		return nil
	}
	s := h.cfg.Edge.Session(strings.TrimPrefix(r.URL.Path, SessionPrefix))
	if s == nil {
		return newProblem(http.StatusNotFound, "There is no such session, or it is over. Make a new one with POST.")
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		w.WriteHeader(http.StatusNoContent)
		return nil
	case http.MethodPatch, http.MethodDelete:
	default:
		return methodNotAllowed(w, r, resourceMethods)
	}
	grant, err := h.authenticate(w, r)
	switch {
	case err != nil:
		return err
	case grant.ID != s.Identity():
		return newProblem(http.StatusForbidden, "The session belongs to someone else. Use the token that made it.")
	case r.Method == http.MethodPatch:
		return h.patch(w, r, s)
	}
	s.End(rtc.ErrHungUp)
	w.WriteHeader(http.StatusOK)
	return nil
}

// patch takes trickled candidates, or restarts ICE: RFC 9725, Section 4.3.
func (h *Handler) patch(w http.ResponseWriter, r *http.Request, s *rtc.Session) error {
	w.Header().Set("Accept-Patch", fragType)
	body, err := readBody(w, r, fragType)
	if err != nil {
		return err
	}
	match := r.Header.Get("If-Match")
	etag := s.ETag()
	switch match {
	case "": // RFC 6585, Section 3
		return newProblem(http.StatusPreconditionRequired,
			`If-Match is missing. Send the session's ETag to trickle, or "*" to restart ICE.`)
	case "*", etag:
	default:
		return newProblem(http.StatusPreconditionFailed,
			"If-Match names an ICE session that is over. Use the newest ETag.")
	}
	frag, err := sdpfrag.Parse(body)
	if err != nil {
		return newProblem(http.StatusBadRequest, fmt.Sprintf("The fragment cannot be used: %v.", err))
	}
	if match == "*" {
		return h.restart(w, r, s, frag)
	}
	var candidates []string
	for _, m := range frag.Media {
		candidates = append(candidates, m.Candidates...)
	}
	switch err := s.AddCandidates(candidates); {
	case errors.Is(err, rtc.ErrClosed):
		return newProblem(http.StatusNotFound, "The session is over. Make a new one with POST.")
	case err != nil:
		return newProblem(http.StatusBadRequest, fmt.Sprintf("A candidate cannot be used: %v.", err))
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// restart answers new ICE credentials of the client with new ones of ours.
func (h *Handler) restart(w http.ResponseWriter, r *http.Request, s *rtc.Session, frag sdpfrag.Fragment) error {
	if frag.Ufrag == "" || frag.Pwd == "" {
		return newProblem(http.StatusBadRequest, "An ICE restart needs a=ice-ufrag and a=ice-pwd.")
	}
	answer, err := s.Restart(r.Context(), frag.Ufrag, frag.Pwd)
	if err != nil {
		// RFC 9725, Section 4.3.3: the client goes on with the old ICE session, or
		// makes a new one.
		return newProblem(http.StatusUnprocessableEntity, fmt.Sprintf("ICE could not be restarted: %v. Make a new session with POST.", err))
	}
	reply, err := sdpfrag.FromDescription(answer)
	if err != nil {
		return err
	}
	hdr := w.Header()
	hdr.Set("Content-Type", fragType)
	hdr.Set("ETag", s.ETag())
	w.WriteHeader(http.StatusOK)
	_, err = w.Write(reply.Append(nil))
	return err
}
