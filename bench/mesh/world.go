package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"trellis/routing/discovery"
)

// azureJSON holds round trips between the regions of a cloud; its first lines say
// where they come from.
//
//go:embed azure.json
var azureJSON []byte

// world is where the nodes stand and how long packets take between them.
type world struct {
	nodes   []discovery.Node
	regions []int
	access  []time.Duration // each way, between a node and its region
	rtt     [][]time.Duration
}

// sameRegion is the round trip between two nodes of a region, beside their access.
const sameRegion = 500 * time.Microsecond

// newWorld spreads n nodes evenly over the regions.
func newWorld(n int, dice *rand.Rand) (*world, error) {
	var d struct {
		Regions []struct {
			ID string `json:"id"`
		} `json:"regions"`
		RTT [][]float64 `json:"rtt_ms"`
	}
	if err := json.Unmarshal(azureJSON, &d); err != nil {
		return nil, fmt.Errorf("latencies: %w", err)
	}
	w := &world{rtt: make([][]time.Duration, len(d.Regions))}
	for i := range d.Regions {
		w.rtt[i] = make([]time.Duration, len(d.Regions))
		for j := range d.Regions {
			w.rtt[i][j] = max(time.Duration((d.RTT[i][j]+d.RTT[j][i])/2*float64(time.Millisecond)), sameRegion)
		}
	}
	for i := range n {
		r := i % len(d.Regions)
		w.regions = append(w.regions, r)
		w.access = append(w.access, time.Duration(dice.Int64N(int64(500*time.Microsecond))))
		w.nodes = append(w.nodes, discovery.Node{
			ID: fmt.Sprintf("%s-%d", d.Regions[r].ID, i/len(d.Regions)), Region: d.Regions[r].ID, Provider: "azure", Addr: "192.0.2.1:4443",
		})
	}
	return w, nil
}

// delay is how long a packet takes now, one way.
func (w *world) delay(from, to int, dice *rand.Rand) time.Duration {
	d := w.least(from, to)
	return d + time.Duration(dice.ExpFloat64()*float64(d/200+50*time.Microsecond))
}

// least is how long a packet takes at least, one way.
func (w *world) least(from, to int) time.Duration {
	return w.rtt[w.regions[from]][w.regions[to]]/2 + w.access[from] + w.access[to]
}
