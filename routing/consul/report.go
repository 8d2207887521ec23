package consul

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"trellis/routing/discovery"
)

// calm is how long after its last failure Consul counts as failing: one that
// flaps is not in order in between.
const calm = 10 * time.Second

// report gathers how the calls fare, by what they are for.
type report struct {
	mu          sync.Mutex
	problems    map[string]string
	lastSuccess time.Time
	lastFailure time.Time
	lastProblem string
}

// note records how a call fared.
func (r *report) note(what string, err error, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		r.lastSuccess = now
		delete(r.problems, what)
		return
	}
	r.lastFailure = now
	r.problems[what] = clip(err.Error())
	r.lastProblem = r.textLocked()
}

// forget drops what is no longer called.
func (r *report) forget(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.problems, what)
}

func (r *report) at(now time.Time) discovery.Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := discovery.Report{LastSuccess: r.lastSuccess, Problem: r.textLocked()}
	if out.Problem == "" && !r.lastFailure.IsZero() && now.Sub(r.lastFailure) < calm {
		out.Problem = "a moment ago: " + r.lastProblem
	}
	return out
}

func (r *report) textLocked() string {
	parts := make([]string, 0, len(r.problems))
	for _, what := range slices.Sorted(maps.Keys(r.problems)) {
		parts = append(parts, what+": "+r.problems[what])
	}
	return clip(strings.Join(parts, "; "))
}

// maxProblemBytes bounds texts that come from Consul.
const maxProblemBytes = 500

func clip(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) <= maxProblemBytes {
		return s
	}
	return strings.ToValidUTF8(s[:maxProblemBytes], "") + "…"
}
