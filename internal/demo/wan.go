package demo

import (
	"net"
	"net/netip"

	"trellis/internal/impair"
	"trellis/routing/discovery"
)

// Delay is what is applied from one region to another.
type Delay struct {
	From     string  `json:"from"`
	To       string  `json:"to"`
	OneWayMs float64 `json:"one_way_ms"`
}

// wan is the network between the nodes. Each node dials each other one through
// a proxy of its own, which delays datagrams in both directions; clients reach
// their node directly.
type wan struct {
	proxies []*impair.Proxy
	delays  []Delay
	// peers is, for each node, where it finds the others.
	peers [][]discovery.Node
}

// newWAN puts a network between sites. Without a matrix it is the machine's own.
func newWAN(cfg Config, m *matrix, sites []*site) (*wan, error) {
	w := &wan{peers: make([][]discovery.Node, len(sites))}
	for i, from := range sites {
		for _, to := range sites {
			if from == to {
				continue
			}
			addr := to.udp()
			if m != nil {
				oneWay := m.oneWay(from.region.ID, to.region.ID)
				p, err := impair.NewProxy(impair.ProxyConfig{
					Target: addr, Forward: impair.Config{Delay: oneWay}, Back: impair.Config{Delay: oneWay}, Log: cfg.Log,
				})
				if err != nil {
					w.close()
					return nil, err
				}
				w.proxies = append(w.proxies, p)
				w.delays = append(w.delays, Delay{From: from.region.Name, To: to.region.Name, OneWayMs: float64(oneWay.Microseconds()) / 1e3})
				addr = p.Addr()
			}
			w.peers[i] = append(w.peers[i], discovery.Node{ID: to.node(), Region: to.region.Name, Provider: provider, Addr: addr.String()})
		}
	}
	return w, nil
}

func (w *wan) close() {
	for _, p := range w.proxies {
		_ = p.Close() // Close cannot fail
	}
}

func udpAddr(a net.Addr) netip.AddrPort {
	u, ok := a.(*net.UDPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := u.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
