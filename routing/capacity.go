package routing

// Capacity is the shared account of egress and arcs that several [Live] trees
// draw on. It is not safe for concurrent use.
type Capacity struct {
	l    *loads
	down []bool // nodes that are lost
}

// NewCapacity returns an account with nothing booked.
func NewCapacity(g *Graph) *Capacity {
	c := &Capacity{l: &loads{g: g, egress: make([]float64, g.Len())}, down: make([]bool, g.Len())}
	if g.sites == nil {
		c.l.arc = make([]float64, len(g.arcs))
	}
	return c
}

// SetDown marks a node as lost, or as back.
func (c *Capacity) SetDown(v int, down bool) { c.down[v] = down }

// EgressMbps is what is booked on node v.
func (c *Capacity) EgressMbps(v int) float64 { return c.l.egress[v] }

// fits reports whether node v can send mbps more.
func (c *Capacity) fits(v int32, mbps float64) bool {
	limit := c.l.g.nodes[v].EgressMbps
	return limit <= 0 || c.l.egress[v]+mbps <= limit+loadSlackMbps
}

// book changes what node v sends, and what the arc u -> v' carries.
func (c *Capacity) book(v int32, mbps float64) { c.l.egress[v] += mbps }
