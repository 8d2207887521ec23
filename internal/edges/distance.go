package edges

import "math"

// What the delay over a distance is taken to be, one way: light in fibre needs 4.9
// us for a kilometre; fibre is 1.7 times as long as the great circle, the median
// over pairs of cloud regions (from 1.4 to more than 2); and access networks add
// 5 to 10 ms. See docs/planning.md.
const (
	fibreMsPerKm = 0.0049
	stretch      = 1.7
	lastMileMs   = 7.5
	earthKm      = 6371.0
)

// flight estimates the delay between a client and a node, in milliseconds.
func flight(a, b Point) float64 { return greatCircleKm(a, b)*stretch*fibreMsPerKm + lastMileMs }

// greatCircleKm is the haversine formula.
func greatCircleKm(a, b Point) float64 {
	const rad = math.Pi / 180
	dLat, dLon := (b.Lat-a.Lat)*rad, (b.Lon-a.Lon)*rad
	h := math.Pow(math.Sin(dLat/2), 2) + math.Cos(a.Lat*rad)*math.Cos(b.Lat*rad)*math.Pow(math.Sin(dLon/2), 2)
	return 2 * earthKm * math.Asin(math.Min(1, math.Sqrt(h)))
}
