package soak

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	"github.com/pion/logging"
	"github.com/pion/transport/v4"
	"github.com/pion/transport/v4/vnet"
	"github.com/prometheus/client_golang/prometheus"

	"trellis/edge/framing"
	"trellis/edge/rtc"
	"trellis/edge/whip"
	"trellis/edge/whip/whipclient"
	"trellis/internal/clip"
	"trellis/internal/relay"
)

// node is the edge of a node on a network of its own.
type node struct {
	router  *vnet.Router
	table   *relay.Table
	edge    *rtc.Edge
	handler http.Handler
	metrics *prometheus.Registry

	stop    context.CancelFunc
	running sync.WaitGroup
	ended   error // of the edge, once running is over

	mu    sync.Mutex // vnet numbers its hosts without a lock
	hosts int
}

// oneWay is the delay from every host to every other.
const oneWay = 10 * time.Millisecond

func newNode(cfg Config) (*node, error) {
	n := &node{metrics: prometheus.NewRegistry()}
	var err error
	n.router, err = vnet.NewRouter(&vnet.RouterConfig{
		CIDR: "10.0.0.0/8", MinDelay: oneWay, QueueSize: 100_000, LoggerFactory: &logging.DefaultLoggerFactory{},
	})
	if err != nil {
		return nil, err
	}
	host, err := n.host()
	if err != nil {
		return nil, err
	}
	if err := n.router.Start(); err != nil {
		return nil, err
	}
	if n.table, err = relay.NewTable(relay.Config{}); err != nil {
		return nil, err
	}
	udp, err := host.ListenPacket("udp4", "10.0.0.1:3478")
	if err != nil {
		return nil, err
	}
	n.edge, err = rtc.New(rtc.Config{
		Table: n.table, Origin: "soak", UDP: udp, Net: host, Metrics: n.metrics, Log: cfg.Log,
	})
	if err != nil {
		return nil, err
	}
	if n.handler, err = whip.New(whip.Config{Edge: n.edge, Anonymous: true}); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	n.stop = cancel
	n.running.Go(func() { n.ended = n.edge.Run(ctx) })
	n.running.Go(func() { n.sweep(ctx) })
	return n, nil
}

func (n *node) sweep(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			n.table.Sweep(now)
		case <-ctx.Done():
			return
		}
	}
}

// close ends the node and the network.
func (n *node) close() error {
	n.stop()
	n.running.Wait()
	return errors.Join(n.ended, n.router.Stop())
}

// host adds a host: the first is the node's, 10.0.0.1. The network keeps what it
// knows of hosts, so viewers share a few.
func (n *node) host() (transport.Net, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hosts++
	host, err := vnet.NewNet(&vnet.NetConfig{StaticIPs: []string{fmt.Sprintf("10.0.%d.%d", n.hosts>>8, n.hosts&0xff)}})
	if err != nil {
		return nil, err
	}
	return host, n.router.AddNet(host)
}

// RoundTrip implements http.RoundTripper without a network.
func (n *node) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	n.handler.ServeHTTP(rec, r)
	return rec.Result(), nil
}

// count returns the sum of a counter or gauge over its labels.
func (n *node) count(name string) float64 {
	families, err := n.metrics.Gather()
	if err != nil {
		return -1 // which no check takes for an answer
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// counted returns a counter of one reason.
func (n *node) counted(name, reason string) float64 {
	families, err := n.metrics.Gather()
	if err != nil {
		return 0 // then it explains nothing
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if f.GetName() == name && l.GetValue() == reason {
					return m.GetCounter().GetValue()
				}
			}
		}
	}
	return 0
}

// reasons says what the node has not passed on, and why.
func (n *node) reasons() string {
	families, err := n.metrics.Gather()
	if err != nil {
		return err.Error()
	}
	var all []string
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if v := m.GetCounter().GetValue(); l.GetName() == "reason" && v > 0 {
					all = append(all, fmt.Sprintf("%v %s", v, l.GetValue()))
				}
			}
		}
	}
	return strings.Join(all, ", ")
}

// groups returns how many groups the publisher has begun.
func (n *node) groups() uint64 {
	var all uint64
	for _, b := range n.table.Status() {
		for _, t := range b.Tracks {
			all += t.Groups
		}
	}
	return all
}

// broadcast is what is published.
const broadcast = "room/soak"

// publish sends the clip until ctx ends.
func (n *node) publish(ctx context.Context) error {
	host, err := n.host()
	if err != nil {
		return err
	}
	codecs := []framing.Codec{framing.VP8, framing.Opus}
	cfg := whipclient.PublishConfig{Config: whipclient.Config{
		URL: "http://10.0.0.1/whip/" + broadcast, Net: host, HTTP: &http.Client{Transport: n},
	}}
	for _, c := range codecs {
		cfg.Tracks = append(cfg.Tracks, whipclient.Source{Codec: c})
	}
	pub, err := whipclient.Publish(ctx, cfg)
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	errs := make([]error, len(codecs)+1)
	start := time.Now()
	var tracks sync.WaitGroup
	for i, c := range codecs {
		tracks.Go(func() { errs[i] = play(ctx, pub, i, c, start) })
	}
	tracks.Wait()
	errs[len(codecs)] = pub.Close(context.WithoutCancel(ctx))
	return errors.Join(errs...)
}

func play(ctx context.Context, pub *whipclient.Publisher, track int, c framing.Codec, start time.Time) error {
	loop, err := clip.Load(c)
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		f, err := loop.Next()
		if err != nil {
			return err
		}
		time.Sleep(time.Until(start.Add(f.PTS)))
		if err := pub.Write(track, whipclient.Frame{PTS: f.PTS, Key: f.Key, Data: f.Data}); err != nil {
			return err
		}
	}
	return nil
}
