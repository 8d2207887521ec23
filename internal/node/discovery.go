package node

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"trellis/routing/discovery"
)

// newPeers puts what holds good in bad times around the source of peers.
func (n *Node) newPeers() (*discovery.Stable, error) {
	return discovery.NewStable(discovery.StableConfig{
		Source: n.cfg.Peers, Advice: n.cfg.PeersAdvice, File: n.cfg.PeersFile,
		Self: n.cfg.ID, Cluster: n.cfg.Cluster, Log: n.log,
		// The mesh exists before it watches its peers.
		Life: func(ctx context.Context) map[string]discovery.Life { return n.port.mesh.Life(ctx) },
	})
}

// ready reports whether new work should come here. Consul's absence never says
// no; only a node that has never known of others does.
func (n *Node) ready() bool {
	return n.health.ready() && (n.peers == nil || n.peers.State().Known)
}

// DiscoveryStatus says how the list of peers is.
type DiscoveryStatus struct {
	// Degraded: the source fails or errs, and what was known stays. Reason is
	// unreachable, empty_answer, panic_rule, saved_list or no_list.
	Degraded bool             `json:"degraded"`
	Reason   discovery.Reason `json:"reason,omitempty"`
	Detail   string           `json:"detail,omitempty"`
	Since    time.Time        `json:"since,omitzero"`
	// LastSuccess is when the source answered last, where it can fail.
	LastSuccess time.Time `json:"last_success,omitzero"`
	Nodes       int       `json:"nodes"`
	// Unlisted are nodes that stay although the source no longer lists them, Held
	// linked ones that it lists otherwise.
	Unlisted []string `json:"unlisted,omitempty"`
	Held     []string `json:"held,omitempty"`
	// Refused counts answers that were not followed, by reason.
	Refused   map[discovery.Reason]uint64 `json:"refused"`
	SaveError string                      `json:"save_error,omitempty"`
}

func (n *Node) discoveryStatus() *DiscoveryStatus {
	if n.peers == nil {
		return nil
	}
	s := n.peers.State()
	return &DiscoveryStatus{
		Degraded: s.Degraded, Reason: s.Reason, Detail: s.Detail, Since: s.Since, LastSuccess: s.LastSuccess,
		Nodes: s.Nodes, Unlisted: s.Unlisted, Held: s.Held, Refused: s.Refused, SaveError: s.SaveError,
	}
}

func (n *Node) discoveryMetrics() []prometheus.Collector {
	if n.peers == nil {
		return nil
	}
	gauge := func(name, help string, value func(discovery.State) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return value(n.peers.State()) })
	}
	yes := func(b bool) float64 {
		if b {
			return 1
		}
		return 0
	}
	all := []prometheus.Collector{
		gauge("trellis_control_plane_degraded", "1 while discovery fails or errs; what was known stays in force.",
			func(s discovery.State) float64 { return yes(s.Degraded) }),
		gauge("trellis_discovery_nodes", "Nodes that are known to exist, this one among them if it is listed.",
			func(s discovery.State) float64 { return float64(s.Nodes) }),
		gauge("trellis_discovery_unlisted_nodes", "Nodes that stay known although discovery no longer lists them.",
			func(s discovery.State) float64 { return float64(len(s.Unlisted)) }),
		gauge("trellis_discovery_unsaved", "1 while the list of peers cannot be written to its file.",
			func(s discovery.State) float64 { return yes(s.SaveError != "") }),
	}
	for _, r := range []discovery.Reason{discovery.ReasonEmpty, discovery.ReasonPanic} {
		all = append(all, prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "trellis_discovery_answers_refused_total", Help: "Answers of discovery that were not followed.",
			ConstLabels: prometheus.Labels{"reason": string(r)},
		}, func() float64 { return float64(n.peers.State().Refused[r]) }))
	}
	if _, ok := n.cfg.Peers.(discovery.Reporter); ok {
		all = append(all, gauge("trellis_consul_last_success_timestamp_seconds", "When Consul last answered; 0: never.", func(s discovery.State) float64 {
			if s.LastSuccess.IsZero() {
				return 0
			}
			return float64(s.LastSuccess.UnixMilli()) / 1e3
		}))
	}
	return all
}
