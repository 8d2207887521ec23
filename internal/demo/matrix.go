package demo

import (
	_ "embed" // the matrix
	"encoding/csv"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// matrixCSV is the median round trip in milliseconds between regions of AWS,
// over TCP, of the year to May 2022: row to column, the diagonal within one
// region. Source: cloudping.co (p50, timeframe 1Y), as kept in
// github.com/bc-computing/gus-automation,
// generate_server_ping_latencies/all_latencies.json, file commit
// d5177f49610dc7d6b33b23641a46b1edac5d7ffe. That repository states no licence;
// what is taken from it are measured facts.
//
//go:embed aws_cloudping_p50_2022.csv
var matrixCSV string

// MatrixSource names the measurements, for people.
const MatrixSource = "cloudping.co, AWS, median of a year to May 2022"

// matrix is the measured graph of regions.
type matrix struct {
	index map[string]int
	rtt   [][]float64 // milliseconds
}

func loadMatrix() (*matrix, error) {
	rows, err := csv.NewReader(strings.NewReader(matrixCSV)).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("latency matrix: %w", err)
	}
	m := &matrix{index: map[string]int{}}
	for i, name := range rows[0][1:] {
		m.index[name] = i
	}
	for _, row := range rows[1:] {
		values := make([]float64, 0, len(row)-1)
		for _, text := range row[1:] {
			v, err := strconv.ParseFloat(text, 64)
			if err != nil {
				return nil, fmt.Errorf("latency matrix, row %s: %w", row[0], err)
			}
			values = append(values, v)
		}
		m.rtt = append(m.rtt, values)
	}
	return m, nil
}

// oneWay is half the round trip between two regions of the matrix. Each
// direction was measured as a round trip of its own; they differ by noise only,
// so their mean serves both.
func (m *matrix) oneWay(a, b string) time.Duration {
	i, j := m.index[a], m.index[b]
	rtt := (m.rtt[i][j] + m.rtt[j][i]) / 2
	return time.Duration(rtt / 2 * float64(time.Millisecond)).Round(10 * time.Microsecond)
}

// Region is a place in the matrix, under the name that was asked for.
type Region struct {
	Name string // as asked for: "us-east", "frankfurt", "eu-central-1"
	ID   string // in the matrix: "us-east-1"
}

// aliases are names for regions beside those of the provider.
func aliases() map[string]string {
	return map[string]string{
		"cape-town": "af-south-1", "hong-kong": "ap-east-1", "tokyo": "ap-northeast-1", "seoul": "ap-northeast-2",
		"osaka": "ap-northeast-3", "mumbai": "ap-south-1", "singapore": "ap-southeast-1", "sydney": "ap-southeast-2",
		"montreal": "ca-central-1", "frankfurt": "eu-central-1", "stockholm": "eu-north-1", "milan": "eu-south-1",
		"dublin": "eu-west-1", "london": "eu-west-2", "paris": "eu-west-3", "bahrain": "me-south-1",
		"sao-paulo": "sa-east-1", "virginia": "us-east-1", "ohio": "us-east-2", "san-francisco": "us-west-1", "oregon": "us-west-2",
	}
}

// resolve finds a region by its name in the matrix, by that without the number
// at its end, which then is the first, or by an alias.
func (m *matrix) resolve(name string) (Region, error) {
	id := strings.ToLower(name)
	for _, candidate := range []string{id, id + "-1", aliases()[id]} {
		if _, ok := m.index[candidate]; ok {
			return Region{Name: id, ID: candidate}, nil
		}
	}
	known := append(slices.Collect(maps.Keys(m.index)), slices.Collect(maps.Keys(aliases()))...)
	slices.Sort(known)
	return Region{}, fmt.Errorf("no region %q in the latency matrix; known are %s", name, strings.Join(known, ", "))
}

// resolveAll finds several regions, each once.
func (m *matrix) resolveAll(names []string) ([]Region, error) {
	regions := make([]Region, 0, len(names))
	seen := map[string]string{}
	for _, name := range names {
		r, err := m.resolve(strings.TrimSpace(name))
		if err != nil {
			return nil, err
		}
		if other, twice := seen[r.ID]; twice {
			return nil, fmt.Errorf("regions %q and %q are both %s", other, r.Name, r.ID)
		}
		seen[r.ID] = r.Name
		regions = append(regions, r)
	}
	return regions, nil
}
