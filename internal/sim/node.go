package sim

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"trellis/backbone"
	"trellis/internal/auth"
	"trellis/internal/ca"
	"trellis/internal/node"
	"trellis/routing/discovery"
)

// Ports of every simulated node.
const (
	quicPort   = 4443 // UDP: links and MoQ
	httpPort   = 4443 // TCP: WHIP and WHEP
	webRTCPort = 4444 // UDP
)

// Node is a node of a cluster: a real one, on sockets of the simulated network.
type Node struct {
	*node.Node
	// ID is the node's id.
	ID   string
	host *Host
	spec NodeSpec

	credentials *ca.Credentials

	clock *clock
	stop  context.CancelCauseFunc
	ended chan struct{} // closed when Run has returned
	err   error         // why, to be read then
}

// clock is a node's own clock: ahead of the true time, by how much may change.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

// StepClock puts the node's clock forward, or back. What runs by timers does not
// notice.
func (n *Node) StepClock(by time.Duration) { n.clock.ahead.Add(int64(by)) }

// newNode opens the node's sockets and assembles it. Everybody is admitted:
// grants are not what is simulated here.
func newNode(h *Host, spec NodeSpec, credentials *ca.Credentials, peers discovery.Source, cluster ClusterConfig) (*Node, error) {
	quic, err := h.ListenUDP(quicPort)
	if err != nil {
		return nil, err
	}
	webRTC, err := h.ListenUDP(webRTCPort)
	if err != nil {
		return nil, err
	}
	http, err := h.Listen(httpPort)
	if err != nil {
		return nil, err
	}
	id := credentials.Identity()
	own := &clock{}
	own.ahead.Store(int64(spec.ClockOffset))
	cfg := node.Config{
		ID: id.Node, Region: id.Region, Provider: spec.Provider, Cluster: id.Cluster,
		Sockets:      node.Sockets{QUIC: quic, WebRTC: webRTC, HTTP: http},
		WebRTCNet:    h.Net(),
		Verifier:     auth.Open{},
		Certificates: ca.NewEphemeral(h.Addr().String()),
		Credentials:  ca.NewStore(credentials),
		Peers:        peers,
		WallClock:    own.now,
		Log:          cluster.Log,
	}
	if cluster.Configure != nil {
		cluster.Configure(&cfg)
	}
	n, err := node.New(cfg)
	if err != nil {
		return nil, err
	}
	return &Node{Node: n, ID: spec.ID, host: h, spec: spec, credentials: credentials, clock: own}, nil
}

// Door says where clients find the node.
func (n *Node) Door() Door {
	return Door{MoQ: n.host.AddrPort(quicPort), HTTP: n.host.AddrPort(httpPort)}
}

// Link returns what the node says of its link to a peer.
func (n *Node) Link(ctx context.Context, peer string) (backbone.LinkStatus, error) {
	status, err := n.Status(ctx)
	if err != nil {
		return backbone.LinkStatus{}, err
	}
	for _, l := range status.Links {
		if l.Peer == peer {
			return l.LinkStatus, nil
		}
	}
	return backbone.LinkStatus{}, fmt.Errorf("%s has no link to %s", n.ID, peer)
}

// Drops returns what the node has given up so far, by counter and reason.
func (n *Node) Drops() (map[string]float64, error) {
	families, err := n.Registry().Gather()
	if err != nil {
		return nil, err
	}
	drops := make(map[string]float64)
	for _, f := range families {
		if !strings.Contains(f.GetName(), "dropped") {
			continue
		}
		for _, m := range f.GetMetric() {
			if v := m.GetCounter().GetValue(); v > 0 {
				words := []string{f.GetName()}
				for _, label := range m.GetLabel() {
					words = append(words, label.GetValue())
				}
				drops[strings.Join(words, " ")] += v
			}
		}
	}
	return drops, nil
}
