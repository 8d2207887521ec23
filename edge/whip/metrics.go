package whip

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// door says which part of the URL space a request was for.
type door string

const (
	doorWHIP    door = "whip"
	doorWHEP    door = "whep"
	doorSession door = "session"
	doorOther   door = "other"
)

// metrics holds the package's collectors. Requests are rare enough to look
// labels up for each.
type metrics struct{ responses *prometheus.CounterVec }

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{responses: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "trellis_whip_responses_total", Help: "HTTP responses, by part of the URL space and status.",
	}, []string{"door", "status"})}
	if reg == nil {
		return m, nil
	}
	return m, reg.Register(m.responses)
}

func (m *metrics) count(d door, status int) {
	m.responses.WithLabelValues(string(d), strconv.Itoa(status)).Inc()
}
