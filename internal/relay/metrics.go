package relay

import "github.com/prometheus/client_golang/prometheus"

// metrics are the node's totals. Everything per track is in Status.
type metrics struct {
	objects    prometheus.Counter
	bytes      prometheus.Counter
	groups     prometheus.Counter
	duplicates prometheus.Counter
	dropped    [numDropReasons]prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, cacheBytes, broadcasts, tracks, subscriptions func() float64) (*metrics, error) {
	m := &metrics{
		objects:    prometheus.NewCounter(prometheus.CounterOpts{Name: "trellis_relay_objects_total", Help: "Objects written into tracks."}),
		bytes:      prometheus.NewCounter(prometheus.CounterOpts{Name: "trellis_relay_bytes_total", Help: "Payload bytes written into tracks."}),
		groups:     prometheus.NewCounter(prometheus.CounterOpts{Name: "trellis_relay_groups_total", Help: "Groups begun in tracks."}),
		duplicates: prometheus.NewCounter(prometheus.CounterOpts{Name: "trellis_relay_duplicate_objects_total", Help: "Objects that arrived again and were not kept."}),
	}
	dropped := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "trellis_relay_groups_dropped_total",
		Help: "Groups given up, by the writer, the cache or a reader, by reason.",
	}, []string{"reason"})
	for _, r := range DropReasons() {
		m.dropped[r] = dropped.WithLabelValues(r.String())
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{
		m.objects, m.bytes, m.groups, m.duplicates, dropped,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "trellis_relay_cache_bytes", Help: "Payload bytes cached in tracks."}, cacheBytes),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "trellis_relay_broadcasts", Help: "Broadcasts known to the node."}, broadcasts),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "trellis_relay_tracks", Help: "Tracks carried by the node."}, tracks),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "trellis_relay_subscriptions", Help: "Subscriptions to tracks of the node."}, subscriptions),
	} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}
