package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// What a datagram costs beside the control bytes in it: IPv4 and UDP 28, a short
// QUIC header 10, a stream frame's header 8, the AEAD's tag 16. Every second one
// is acknowledged by one of its own, of about 65 bytes. A probe's has no stream
// frame, but a datagram frame's two bytes.
const (
	packetBytes = 1200
	packetExtra = 28 + 10 + 8 + 16
	ackBytes    = 65.0 / 2
	probeExtra  = 28 + 10 + 2 + 16
)

// result is what a run has found.
type result struct {
	Label     string    `json:"label"`
	Nodes     int       `json:"nodes"`
	Regions   int       `json:"regions"`
	Seed      uint64    `json:"seed"`
	VirtualS  float64   `json:"virtual_s"`
	RealS     float64   `json:"real_s"`
	AllKnowS  float64   `json:"all_know_all_s,omitempty"` // after the first node started
	Links     degrees   `json:"links"`
	PerNode   perNode   `json:"per_node"`
	Broadcast quantiles `json:"new_broadcast"`
	Cut       struct {
		Detected quantiles `json:"detected"`
		Known    quantiles `json:"known"` // after an end noticed
	} `json:"dead_link"`
	Node struct {
		Isolated quantiles `json:"isolated"`
		Expired  quantiles `json:"expired"`
	} `json:"dead_node"`
	// Missed counts nodes that never learnt of a broadcast, of a dead link or node.
	Missed int `json:"missed"`
	// Expired counts records of living nodes that expired somewhere.
	Expired int `json:"expired_of_living"`
}

// degrees are how many links nodes have.
type degrees struct {
	All int `json:"all"`
	Min int `json:"min"`
	P50 int `json:"p50"`
	Max int `json:"max"`
}

// perNode is what a node sends and spends per second, with nothing happening.
type perNode struct {
	ProbesPerS    float64            `json:"probes_per_s"`
	MessagesPerS  float64            `json:"messages_per_s"`
	PacketsPerS   float64            `json:"packets_per_s"`
	BytesPerS     map[string]float64 `json:"bytes_per_s"`
	ProbeWire     float64            `json:"probes_wire_bytes_per_s"`
	AdvertWire    float64            `json:"adverts_wire_bytes_per_s"`
	WorstWire     float64            `json:"worst_node_wire_bytes_per_s"`
	ProbeCPU      float64            `json:"probes_cpu_us_per_s"`
	AdvertCPU     float64            `json:"adverts_cpu_us_per_s"`
	ChooseCPU     float64            `json:"choose_cpu_us_per_s"`
	GraftsPerS    float64            `json:"grafts_per_s"`
	DoublesPerS   float64            `json:"doubles_per_s"`
	TreeStretch50 float64            `json:"tree_stretch_p50"` // way of a record against the direct one
	TreeStretch99 float64            `json:"tree_stretch_p99"`
	TreeDelayP99  float64            `json:"tree_delay_p99_ms"`
}

// measure runs the whole story.
func measure(o options) (*result, error) {
	if o.nodes < 2 {
		return nil, errors.New("at least two nodes")
	}
	began := time.Now()
	starting := tickEvery
	if o.cold {
		starting = booting
	}
	s, err := newSim(o.nodes, o.seed, starting)
	if err != nil {
		return nil, err
	}
	start := s.now
	r := &result{Label: "simulated", Nodes: o.nodes, Regions: len(s.world.rtt), Seed: o.seed}
	say := func(what string) {
		if o.progress != nil {
			// Progress is for whoever looks; the figures come in the end.
			_, _ = fmt.Fprintf(o.progress, "%6.1f s real, %6.1f s virtual: %s\n", time.Since(began).Seconds(), s.now.Sub(start).Seconds(), what)
		}
	}
	if o.cold {
		s.form(o, r, say)
	} else {
		s.warm()
		say("mesh set up")
		s.run(6 * time.Second)
	}
	s.steady(o.steady, &r.PerNode)
	s.degrees(&r.Links)
	say("cost measured")

	for range o.broadcasts {
		s.publish(s.living())
		s.run(100 * time.Millisecond)
	}
	s.run(5 * time.Second)
	say("broadcasts published")
	for range o.cuts {
		n := s.living()
		ends := n.peers()
		s.cutLink(n.id, ends[s.dice.IntN(len(ends))])
		s.run(500 * time.Millisecond)
	}
	s.run(5 * time.Second)
	say("links cut")
	for range o.kills {
		s.kill(s.living())
		s.run(2 * time.Second)
	}
	s.run(12 * time.Second)
	say("nodes killed")
	s.conclude(r)
	r.VirtualS, r.RealS = s.now.Sub(start).Seconds(), time.Since(began).Seconds()
	return r, nil
}

// form lets the mesh form from the cold.
func (s *sim) form(o options, r *result, say func(string)) {
	start := s.now
	for r.AllKnowS == 0 && s.now.Sub(start) < 2*time.Minute {
		s.run(time.Second)
		say(fmt.Sprintf("records known: %.1f %%", 100*s.known()))
		if s.known() == 1 {
			r.AllKnowS = s.now.Sub(start).Seconds()
		}
	}
	// Coordinates find who is near, and links that were of use until then are let go.
	for settled := s.now.Add(o.settle); s.now.Before(settled); {
		s.run(min(5*time.Second, settled.Sub(s.now)))
		say("settling")
	}
}

// peers are the nodes that a node is linked to, in order.
func (n *node) peers() []int {
	all := make([]int, 0, len(n.links))
	for to := range n.links {
		all = append(all, to)
	}
	slices.Sort(all)
	return all
}

// living is some node that lives.
func (s *sim) living() *node {
	for {
		if n := s.nodes[s.dice.IntN(len(s.nodes))]; !n.dead {
			return n
		}
	}
}

// known is the share of all records that all nodes know.
func (s *sim) known() float64 {
	sum := 0
	for _, n := range s.nodes {
		sum += n.know.Nodes()
	}
	return float64(sum) / float64(len(s.nodes)*len(s.nodes))
}

// steady measures what a node costs while nothing happens.
func (s *sim) steady(d time.Duration, p *perNode) {
	before := make([]cost, len(s.nodes))
	var grafts, doubles uint64
	for i, n := range s.nodes {
		before[i] = n.cost
		grafts -= n.know.Stats().Grafts
		doubles -= n.know.Stats().Doubles
	}
	began := processorTime()
	s.run(d)
	spent := processorTime() - began
	var sum cost
	for i, n := range s.nodes {
		grafts += n.know.Stats().Grafts
		doubles += n.know.Stats().Doubles
		var own float64
		for f := range numFlows {
			sum.bytes[f] += n.cost.bytes[f] - before[i].bytes[f]
			own += float64(n.cost.bytes[f] - before[i].bytes[f])
		}
		packets, probes := n.cost.packets-before[i].packets, n.cost.probes-before[i].probes
		own += float64(packets)*(packetExtra+ackBytes) + float64(probes)*probeExtra
		p.WorstWire = max(p.WorstWire, own/d.Seconds())
		sum.packets += packets
		sum.probes += probes
		sum.messages += n.cost.messages - before[i].messages
		for w := range numWorks {
			sum.cpu[w] += n.cost.cpu[w] - before[i].cpu[w]
		}
	}
	per := func(x float64) float64 { return x / d.Seconds() / float64(len(s.nodes)) }
	p.ProbesPerS, p.MessagesPerS, p.PacketsPerS = per(float64(sum.probes)), per(float64(sum.messages)), per(float64(sum.packets))
	p.GraftsPerS, p.DoublesPerS = per(float64(grafts)), per(float64(doubles))
	p.BytesPerS = map[string]float64{}
	adverts := 0.0
	for f, name := range [numFlows]string{"advert", "fresh", "known", "graft_prune", "probe"} {
		p.BytesPerS[name] = per(float64(sum.bytes[f]))
		if f != flowProbe {
			adverts += float64(sum.bytes[f])
		}
	}
	p.AdvertWire = per(adverts + float64(sum.packets)*(packetExtra+ackBytes))
	p.ProbeWire = per(float64(sum.bytes[flowProbe]) + float64(sum.probes)*probeExtra)
	// The clock counts what others do on the machine; the process's own time does
	// not. It is shared out as the clock says, what driving the simulation takes too.
	all := float64(sum.cpu[workProbes] + sum.cpu[workAdverts] + sum.cpu[workChoose])
	micros := func(w int) float64 { return per(float64(sum.cpu[w]) / all * float64(spent.Microseconds())) }
	p.ProbeCPU, p.AdvertCPU, p.ChooseCPU = micros(workProbes), micros(workAdverts), micros(workChoose)
	s.stretch(p)
}

// processorTime is what this process has used.
func processorTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0 // no such call here: the figures are zero
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// stretch compares the ways of records with the direct ones.
func (s *sim) stretch(p *perNode) {
	var all []float64
	var delays []time.Duration
	for _, n := range s.nodes {
		for _, o := range s.nodes {
			if d, ok := n.know.FloodDelay(o.name); ok && n != o {
				all = append(all, float64(d)/float64(s.world.least(n.id, o.id)))
				delays = append(delays, d)
			}
		}
	}
	if len(all) == 0 {
		return
	}
	slices.Sort(all)
	p.TreeStretch50, p.TreeStretch99 = all[len(all)/2], all[len(all)*99/100]
	p.TreeDelayP99 = quantilesOf(delays).P99
}

func (s *sim) degrees(d *degrees) {
	all := make([]int, 0, len(s.nodes))
	for _, n := range s.nodes {
		all = append(all, len(n.links))
		d.All += len(n.links)
	}
	d.All /= 2
	slices.Sort(all)
	d.Min, d.P50, d.Max = all[0], all[len(all)/2], all[len(all)-1]
}

// conclude puts together what has been watched.
func (s *sim) conclude(r *result) {
	var broadcasts, detected, known, isolated, expired []time.Duration
	for _, p := range s.published {
		broadcasts = append(broadcasts, p.took...)
		r.Missed += len(s.nodes) - len(p.knows)
	}
	for _, c := range s.cuts {
		detected, known = append(detected, c.detected...), append(known, c.took...)
		r.Missed += len(s.nodes) - len(c.knows)
	}
	for _, d := range s.gone {
		isolated, expired = append(isolated, d.isolated...), append(expired, d.expired...)
	}
	for _, n := range s.nodes {
		if !n.dead {
			r.Missed += n.know.Nodes() - (len(s.nodes) - len(s.gone))
		}
	}
	r.Broadcast = quantilesOf(broadcasts)
	r.Cut.Detected, r.Cut.Known = quantilesOf(detected), quantilesOf(known)
	r.Node.Isolated, r.Node.Expired = quantilesOf(isolated), quantilesOf(expired)
	r.Expired = s.expired
}

func (r *result) print(w io.Writer) error {
	p := &r.PerNode
	formed := "began warm        all records known everywhere"
	if r.AllKnowS > 0 {
		formed = fmt.Sprintf("all know all      %.0f s after the first of all nodes started, within %.0f s", r.AllKnowS, booting.Seconds())
	}
	_, err := fmt.Fprintf(w, `simulated: %d nodes in %d regions, seed %d, %.0f s of virtual time in %.0f s
links             %d; per node least %d, median %d, most %d
%s
per node, nothing happening
  probes          %.1f/s, %.0f bytes/s on the wire, %.0f µs/s of processor
  adverts         %.0f messages in %.0f packets/s, %.0f bytes/s on the wire, %.0f µs/s of processor
    of messages   adverts %.0f, fresh %.0f, known %.0f, graft and prune %.0f bytes/s
    trees         %.2f grafts/s, %.2f doubles/s; way of a record against the direct one p50 %.2f, p99 %.2f; p99 %.0f ms
  choosing links  %.0f µs/s of processor
  the worst node  %.0f bytes/s on the wire
a new broadcast   known p50 %.0f ms, p99 %.0f ms, last %.0f ms
a dead link       noticed by its ends p50 %.0f ms, p99 %.0f ms; then known p50 %.0f ms, p99 %.0f ms, last %.0f ms
a dead node       known to be cut off p50 %.0f ms, p99 %.0f ms; forgotten p50 %.0f ms, p99 %.0f ms
missed            %d; records of living nodes expired: %d
`, r.Nodes, r.Regions, r.Seed, r.VirtualS, r.RealS, r.Links.All, r.Links.Min, r.Links.P50, r.Links.Max, formed,
		p.ProbesPerS, p.ProbeWire, p.ProbeCPU, p.MessagesPerS, p.PacketsPerS, p.AdvertWire, p.AdvertCPU,
		p.BytesPerS["advert"], p.BytesPerS["fresh"], p.BytesPerS["known"], p.BytesPerS["graft_prune"],
		p.GraftsPerS, p.DoublesPerS, p.TreeStretch50, p.TreeStretch99, p.TreeDelayP99, p.ChooseCPU, p.WorstWire,
		r.Broadcast.P50, r.Broadcast.P99, r.Broadcast.Max,
		r.Cut.Detected.P50, r.Cut.Detected.P99, r.Cut.Known.P50, r.Cut.Known.P99, r.Cut.Known.Max,
		r.Node.Isolated.P50, r.Node.Isolated.P99, r.Node.Expired.P50, r.Node.Expired.P99, r.Missed, r.Expired)
	return err
}
