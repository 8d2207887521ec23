package whip

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// problem is a refusal: RFC 9457, Section 3. Its type is always "about:blank",
// so the status says what kind it is.
type problem struct {
	Status int    `json:"status"`
	Title  string `json:"title"`
	// Detail says what is wrong here, and what would be right.
	Detail string `json:"detail"`

	retryAfter time.Duration // zero: no header
}

func (p *problem) Error() string { return p.Title + ": " + p.Detail }

func newProblem(status int, detail string) *problem {
	return &problem{Status: status, Title: http.StatusText(status), Detail: detail}
}

// write sends the problem.
func (p *problem) write(w http.ResponseWriter) {
	body, err := json.Marshal(p)
	if err != nil {
		panic("whip: a struct of strings did not marshal: " + err.Error())
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(p.retryAfter/time.Second)))
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(body) // a client that left does not need the reason
}
