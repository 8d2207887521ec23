package backbone

import (
	"fmt"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"trellis/wire"
)

// Drop says why a group was not sent to a child, or not to its end.
type Drop uint8

// The reasons, in the order of their metrics.
const (
	DropLate        Drop = iota // newer groups waited behind it for too long
	DropStreamLimit             // the child's stream credit was spent
	DropRefused                 // the child did not want it
	DropUpstream                // it was given up before it reached this node
	DropEvicted                 // it left this node's cache before it was sent
	DropLeft                    // the child unsubscribed or the link ended
	DropLayer                   // an enhancement layer, where the link cannot carry all
	DropOld                     // newer groups waited behind it, where the link cannot carry all
	DropBase                    // base video, where the link cannot carry even that
	numDrops
)

// String returns the label used in metrics, logs and the API.
func (d Drop) String() string {
	switch d {
	case DropLate:
		return "late"
	case DropStreamLimit:
		return "stream_limit"
	case DropRefused:
		return "refused"
	case DropUpstream:
		return "upstream"
	case DropEvicted:
		return "evicted"
	case DropLeft:
		return "left"
	case DropLayer:
		return "layer"
	case DropOld:
		return "old"
	case DropBase:
		return "base"
	case numDrops:
	}
	return fmt.Sprintf("drop(%d)", uint8(d))
}

// numKinds is how many kinds of tracks there are.
const numKinds = int(wire.KindCatalog) + 1

// counter counts for Prometheus and for our own API.
type counter struct {
	n    atomic.Uint64
	prom prometheus.Counter
}

// Add counts k.
func (c *counter) Add(k int) {
	c.n.Add(uint64(k))
	c.prom.Add(float64(k))
}

// Inc counts one.
func (c *counter) Inc() { c.Add(1) }

// flow counts one direction of a link.
type flow struct {
	bytes   [numKinds]counter // of payload
	objects [numKinds]counter
	groups  [numKinds]counter
}

// linkStats count what passes over a link. They are resolved once for each link,
// and not per object.
type linkStats struct{ *linkCounters }

type linkCounters struct {
	in, out   flow
	dropped   [numDrops]counter
	open      atomic.Int64 // group streams being sent
	malformed counter
}

// traffic changes when media flows in either direction.
func (s linkStats) traffic() uint64 {
	var n uint64
	for k := range numKinds {
		n += s.in.objects[k].n.Load() + s.out.objects[k].n.Load() + s.in.groups[k].n.Load() + s.out.groups[k].n.Load()
	}
	return n
}

// metrics are the package's collectors.
type metrics struct {
	links     prometheus.Gauge
	refused   prometheus.Counter
	upstreams prometheus.Gauge
	moves     *prometheus.CounterVec
	nodes     prometheus.Gauge
	adverts   prometheus.Counter

	demandDropped prometheus.Counter
	stalePlans    prometheus.Counter
	resumed       prometheus.Counter
	planning      prometheus.Histogram

	bytes, objects, groups *prometheus.CounterVec
	dropped                *prometheus.CounterVec
	malformed              *prometheus.CounterVec
	delay                  *prometheus.GaugeVec
	loss                   *prometheus.GaugeVec
	clockOffset            *prometheus.GaugeVec
	clockError             *prometheus.GaugeVec
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	name := func(s string) string { return "trellis_backbone_" + s }
	gauge := func(n, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name(n), Help: help})
	}
	gauges := func(n, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name(n), Help: help}, labels)
	}
	counters := func(n, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name(n), Help: help}, labels)
	}
	m := &metrics{
		links:         gauge("links", "Links that are up."),
		upstreams:     gauge("upstreams", "Tracks that come from another node."),
		nodes:         gauge("nodes", "Nodes whose records are known, this one included."),
		refused:       prometheus.NewCounter(prometheus.CounterOpts{Name: name("links_refused_total"), Help: "Connections that did not become a link, refused by either side."}),
		adverts:       prometheus.NewCounter(prometheus.CounterOpts{Name: name("adverts_total"), Help: "Adverts received that were news."}),
		moves:         counters("moves_total", "Tracks that changed their parent, by cause.", "cause"),
		demandDropped: prometheus.NewCounter(prometheus.CounterOpts{Name: name("demand_dropped_total"), Help: "Nodes in the demand of a child beyond its limit."}),
		stalePlans:    prometheus.NewCounter(prometheus.CounterOpts{Name: name("plans_stale_total"), Help: "Routes that came again, or after a newer one."}),
		resumed:       prometheus.NewCounter(prometheus.CounterOpts{Name: name("spares_resumed_total"), Help: "Backups that were made to deliver because a parent fell silent."}),
		planning: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: name("planning_seconds"), Help: "How long a decision of the planner took.", Buckets: prometheus.ExponentialBuckets(0.001, 4, 8),
		}),
		bytes:       counters("bytes_total", "Payload bytes on links.", "peer", "direction", "kind"),
		objects:     counters("objects_total", "Objects on links.", "peer", "direction", "kind"),
		groups:      counters("groups_total", "Groups begun on links.", "peer", "direction", "kind"),
		dropped:     counters("groups_dropped_total", "Groups not sent to a child, or not to their end, by reason.", "peer", "reason"),
		malformed:   counters("malformed_total", "Streams and datagrams from a peer that did not parse.", "peer"),
		delay:       gauges("link_delay_seconds", "One-way delay of a link: half of the round trip.", "peer", "quantile"),
		loss:        gauges("link_loss_ratio", "Share of probes lost.", "peer", "direction"),
		clockOffset: gauges("link_clock_offset_seconds", "How far the peer's clock is ahead.", "peer"),
		clockError:  gauges("link_clock_error_seconds", "Bound of the error of the clock offset.", "peer"),
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{
		m.links, m.upstreams, m.nodes, m.refused, m.adverts, m.moves, m.bytes, m.objects, m.groups,
		m.demandDropped, m.stalePlans, m.resumed, m.planning,
		m.dropped, m.malformed, m.delay, m.loss, m.clockOffset, m.clockError,
	} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// link resolves the collectors of a link.
func (m *metrics) link(peer string) linkStats {
	c := &linkCounters{}
	for k := range numKinds {
		kind := wire.Kind(k).String()
		for _, f := range []struct {
			flow      *flow
			direction string
		}{{&c.in, "in"}, {&c.out, "out"}} {
			f.flow.bytes[k].prom = m.bytes.WithLabelValues(peer, f.direction, kind)
			f.flow.objects[k].prom = m.objects.WithLabelValues(peer, f.direction, kind)
			f.flow.groups[k].prom = m.groups.WithLabelValues(peer, f.direction, kind)
		}
	}
	for d := range numDrops {
		c.dropped[d].prom = m.dropped.WithLabelValues(peer, d.String())
	}
	c.malformed.prom = m.malformed.WithLabelValues(peer)
	return linkStats{c}
}

// measured shows what a link measures of itself.
func (m *metrics) measured(peer string, q Quality, clock *clockOffset) {
	m.delay.WithLabelValues(peer, "0").Set(q.DelayMin.Seconds())
	m.delay.WithLabelValues(peer, "0.5").Set(q.DelayP50.Seconds())
	m.delay.WithLabelValues(peer, "0.95").Set(q.DelayP95.Seconds())
	m.loss.WithLabelValues(peer, "in").Set(q.LossIn)
	m.loss.WithLabelValues(peer, "out").Set(q.LossOut)
	if clock != nil {
		m.clockOffset.WithLabelValues(peer).Set(float64(clock.offset) / 1e6)
		m.clockError.WithLabelValues(peer).Set(float64(clock.err) / 1e6)
	}
}

// forget removes what would go stale when a link is down.
func (m *metrics) forget(peer string) {
	l := prometheus.Labels{"peer": peer}
	m.delay.DeletePartialMatch(l)
	m.loss.DeletePartialMatch(l)
	m.clockOffset.DeletePartialMatch(l)
	m.clockError.DeletePartialMatch(l)
}
