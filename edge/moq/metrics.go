package moq

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"trellis/wire/moqlite"
)

// refuseReason says why a client, a stream or a name was refused.
type refuseReason uint8

const (
	refuseVersion      refuseReason = iota // no version in common
	refuseOrigin                           // the page's origin is not allowed
	refuseToken                            // the token is not good
	refuseSessions                         // the node has as many sessions as it may
	refuseDraining                         // the node is about to stop
	refuseScope                            // the grant does not cover the name
	refuseName                             // not a valid name
	refusePublications                     // too many broadcasts
	refuseSubscriptions
	refuseRequests
	refuseHeader    // the stream did not say in time what it is
	refuseStall     // a frame stayed half sent
	refuseMalformed // bytes that are no message
	refuseUnknown   // no such stream type, subscription or track
	refuseFrameSize
	refuseLoop // the announcement came back to us
	refuseSilent
	numRefuseReasons
)

func (r refuseReason) String() string {
	switch r {
	case refuseVersion:
		return "version"
	case refuseOrigin:
		return "origin"
	case refuseToken:
		return "token"
	case refuseSessions:
		return "sessions"
	case refuseDraining:
		return "draining"
	case refuseScope:
		return "scope"
	case refuseName:
		return "name"
	case refusePublications:
		return "publications"
	case refuseSubscriptions:
		return "subscriptions"
	case refuseRequests:
		return "requests"
	case refuseHeader:
		return "header_timeout"
	case refuseStall:
		return "stalled_sender"
	case refuseMalformed:
		return "malformed"
	case refuseUnknown:
		return "unknown"
	case refuseFrameSize:
		return "frame_size"
	case refuseLoop:
		return "loop"
	case refuseSilent:
		return "no_session"
	case numRefuseReasons:
	}
	return fmt.Sprintf("reason(%d)", uint8(r))
}

// dropReason says why a group did not reach a viewer whole.
type dropReason uint8

const (
	dropExpired  dropReason = iota // older than the viewer's max_latency
	dropBudget                     // more groups waiting than may
	dropStalled                    // the viewer did not read
	dropRefused                    // the viewer reset the stream
	dropUpstream                   // given up before it came to us, or out of the cache
	dropPaused                     // the path does not carry all pictures, and this one matters least
	numDropReasons
)

func (r dropReason) String() string {
	switch r {
	case dropExpired:
		return "expired"
	case dropBudget:
		return "stream_budget"
	case dropStalled:
		return "stalled_viewer"
	case dropRefused:
		return "refused_by_viewer"
	case dropUpstream:
		return "upstream"
	case dropPaused:
		return "paused"
	case numDropReasons:
	}
	return fmt.Sprintf("reason(%d)", uint8(r))
}

// metrics are the node's totals over all MoQ sessions.
type metrics struct {
	sessions      map[moqlite.Version]prometheus.Counter
	active        prometheus.Gauge
	publications  prometheus.Gauge
	subscriptions prometheus.Gauge
	refused       [numRefuseReasons]prometheus.Counter
	dropped       [numDropReasons]prometheus.Counter
	groupsOut     prometheus.Counter
	bytesOut      prometheus.Counter
	bytesIn       prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "trellis_moq_" + name, Help: help})
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "trellis_moq_" + name, Help: help})
	}
	vec := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "trellis_moq_" + name, Help: help}, []string{label})
	}
	m := &metrics{
		sessions:      map[moqlite.Version]prometheus.Counter{},
		active:        gauge("active_sessions", "MoQ sessions that are open."),
		publications:  gauge("publications", "Broadcasts that MoQ clients of this node announce."),
		subscriptions: gauge("subscriptions", "Tracks that MoQ clients of this node watch."),
		groupsOut:     counter("groups_sent_total", "Groups sent whole to MoQ viewers."),
		bytesOut:      counter("sent_bytes_total", "Payload bytes sent to MoQ viewers."),
		bytesIn:       counter("received_bytes_total", "Payload bytes received from MoQ publishers."),
	}
	sessions := vec("sessions_total", "MoQ sessions begun, by version.", "version")
	for _, v := range moqlite.Spoken() {
		m.sessions[v] = sessions.WithLabelValues(v.String())
	}
	refused := vec("refused_total", "Clients, streams and names refused, by reason.", "reason")
	for r := range m.refused {
		m.refused[r] = refused.WithLabelValues(refuseReason(r).String())
	}
	dropped := vec("groups_dropped_total", "Groups that did not reach a MoQ viewer whole, by reason.", "reason")
	for r := range m.dropped {
		m.dropped[r] = dropped.WithLabelValues(dropReason(r).String())
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{
		sessions, refused, dropped, m.active, m.publications, m.subscriptions, m.groupsOut, m.bytesOut, m.bytesIn,
	} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("moq metrics: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) refuse(r refuseReason) { m.refused[r].Inc() }

func (m *metrics) drop(r dropReason) { m.dropped[r].Inc() }
