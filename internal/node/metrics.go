package node

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// register adds what the node itself measures to its registry.
func (n *Node) register() error {
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "trellis_build_info", Help: "Always 1; the version is its label.",
		ConstLabels: prometheus.Labels{"version": n.cfg.Version},
	})
	info.Set(1)
	draining := func() float64 {
		if n.health.draining.Load() {
			return 1
		}
		return 0
	}
	all := []prometheus.Collector{
		info,
		n.health.lag,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "trellis_node_draining", Help: "1 while the node sends its clients away."}, draining),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "trellis_node_handshakes_open", Help: "QUIC handshakes that have begun and not finished.",
		}, func() float64 { return float64(n.port.gate.halfOpen.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "trellis_node_certificate_expiry_timestamp_seconds", Help: "When the certificate for browsers ends.",
		}, n.webCertificateExpiry),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	}
	if n.cfg.Credentials != nil {
		all = append(all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "trellis_node_cluster_certificate_expiry_timestamp_seconds", Help: "When the certificate for other nodes ends.",
		}, func() float64 { return float64(n.cfg.Credentials.Get().NotAfter().Unix()) }))
	}
	all = append(all, n.discoveryMetrics()...)
	for _, c := range all {
		if err := n.registry.Register(c); err != nil {
			return fmt.Errorf("node metrics: %w", err)
		}
	}
	return nil
}

func (n *Node) webCertificateExpiry() float64 {
	cert, err := n.cfg.Certificates.GetCertificate(nil)
	if err != nil || cert.Leaf == nil {
		return 0
	}
	return float64(cert.Leaf.NotAfter.Unix())
}
