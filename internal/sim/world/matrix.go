package world

import (
	"embed"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"
)

//go:embed data/*.json
var data embed.FS

// Matrix is a set of regions and the round trips that were measured between
// them. Where it comes from is in the data file.
type Matrix struct {
	Name       string
	Provenance map[string]string `json:"provenance"`
	Regions    []Region          `json:"regions"`
	// RTTMs is the round trip by sender and receiver.
	RTTMs [][]float64 `json:"rtt_ms"`
}

// Region is a place with nodes and viewers.
type Region struct {
	ID        string  `json:"id"`
	Lat       float64 `json:"lat"`
	Lon       float64 `json:"lon"`
	Continent string  `json:"continent"`
	// Weight is its part of the audience: synthetic.
	Weight float64 `json:"weight"`
}

// Matrices lists the matrices that there are.
func Matrices() []string { return []string{"azure", "aws"} }

// LoadMatrix returns the matrix of that name.
func LoadMatrix(name string) (*Matrix, error) {
	if !slices.Contains(Matrices(), name) {
		return nil, fmt.Errorf("no regions %q: there are %v", name, Matrices())
	}
	b, err := data.ReadFile("data/" + name + ".json")
	if err != nil {
		return nil, err
	}
	m := &Matrix{Name: name}
	if err := json.Unmarshal(b, m); err != nil {
		return nil, fmt.Errorf("regions %s: %w", name, err)
	}
	if len(m.RTTMs) != len(m.Regions) {
		return nil, fmt.Errorf("regions %s: %d rows for %d regions", name, len(m.RTTMs), len(m.Regions))
	}
	return m, nil
}

// OneWay is the time from one region to another: half of the round trip.
func (m *Matrix) OneWay(from, to int) time.Duration {
	return time.Duration(m.RTTMs[from][to] / 2 * float64(time.Millisecond))
}

// Find returns the number of a region, or -1.
func (m *Matrix) Find(id string) int {
	return slices.IndexFunc(m.Regions, func(r Region) bool { return r.ID == id })
}

// share divides total among weights, each at least least where total allows, by
// largest remainders. It is exact and the same each time.
func share(total, least int, weights []float64) []int {
	out := make([]int, len(weights))
	left := total
	for i := range out {
		if left >= least {
			out[i] = least
			left -= least
		}
	}
	sum := 0.0
	for _, w := range weights {
		sum += w
	}
	type part struct {
		i    int
		frac float64
	}
	parts := make([]part, len(weights))
	given := 0
	for i, w := range weights {
		exact := float64(left) * w / sum
		whole := int(math.Floor(exact))
		out[i] += whole
		given += whole
		parts[i] = part{i, exact - float64(whole)}
	}
	slices.SortStableFunc(parts, func(a, b part) int {
		switch {
		case a.frac > b.frac:
			return -1
		case a.frac < b.frac:
			return 1
		}
		return a.i - b.i
	})
	for k := range left - given {
		out[parts[k%len(parts)].i]++
	}
	return out
}
