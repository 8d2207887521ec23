package rtc

import (
	"github.com/prometheus/client_golang/prometheus"

	"trellis/edge/rtc/transport"
)

// countUnwanted shows what came from the network and was not taken.
func countUnwanted(reg prometheus.Registerer, d *transport.Demux) error {
	if reg == nil {
		return nil
	}
	for r := range transport.NumRefusals {
		err := reg.Register(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "trellis_rtc_unwanted_total", Help: "Packets and TCP connections that were not taken, by reason.",
			ConstLabels: prometheus.Labels{"reason": r.String()},
		}, func() float64 { return float64(d.Refused(r)) }))
		if err != nil {
			return err
		}
	}
	return nil
}
