// Command mesh measures what the control plane of a large backbone costs, by
// simulation: the knowledge of every node (records, the trees by which they
// spread, the choice of links, coordinates, probes) is the code that a node runs,
// driven in virtual time over latencies measured between the regions of a cloud.
//
//	go run ./bench/mesh --nodes 1000 [--json]
//
// Figures are labelled simulated. Bytes are those of the messages, and what they
// come to on the wire with the headers of QUIC, UDP and IP estimated. Processor
// time is real: that of the node's code on this machine, without QUIC and the
// kernel.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"time"
)

func main() {
	var o options
	flag.IntVar(&o.nodes, "nodes", 1000, "how many nodes")
	flag.Uint64Var(&o.seed, "seed", 1, "for the dice")
	flag.BoolVar(&o.cold, "cold", false, "start the nodes one after another, and let the mesh form")
	flag.DurationVar(&o.settle, "settle", 90*time.Second, "virtual time in which links and coordinates settle, from the cold")
	flag.DurationVar(&o.steady, "steady", 20*time.Second, "virtual time over which the cost is measured")
	flag.IntVar(&o.broadcasts, "broadcasts", 100, "how many broadcasts to publish")
	flag.IntVar(&o.cuts, "cuts", 20, "how many links to cut")
	flag.IntVar(&o.kills, "kills", 5, "how many nodes to kill")
	asJSON := flag.Bool("json", false, "print JSON")
	flag.Parse()
	debug.SetMemoryLimit(6 << 30) // a thousand nodes in one process; beyond it, the collector works harder
	o.progress = os.Stderr
	r, err := measure(o)
	if err == nil && *asJSON {
		enc := json.NewEncoder(os.Stdout)
		enc.SetIndent("", "  ")
		err = enc.Encode(r)
	} else if err == nil {
		err = r.print(os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "mesh:", err)
		os.Exit(1)
	}
}

// options are what to simulate.
type options struct {
	nodes      int
	seed       uint64
	cold       bool
	settle     time.Duration
	steady     time.Duration
	broadcasts int
	cuts       int
	kills      int
	progress   io.Writer
}
