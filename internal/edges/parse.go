package edges

import (
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// maxRTTs bounds the nodes that a client may name.
	maxRTTs  = 64
	maxRTTMs = 60_000
)

// ParseClient reads what a client says of its place: lat and lon in degrees, or rtt
// as "node:milliseconds,...". Nothing of it is an empty Client.
func ParseClient(v url.Values) (Client, error) {
	var c Client
	lat, lon := v.Get("lat"), v.Get("lon")
	if lat != "" || lon != "" {
		p := Point{}
		var err error
		if p.Lat, err = degrees("lat", lat, 90); err != nil {
			return Client{}, err
		}
		if p.Lon, err = degrees("lon", lon, 180); err != nil {
			return Client{}, err
		}
		c.Place = &p
	}
	list := v.Get("rtt")
	if list == "" {
		return c, nil
	}
	if strings.Count(list, ",") >= maxRTTs {
		return Client{}, fmt.Errorf("rtt: more than %d nodes", maxRTTs)
	}
	c.RTT = map[string]time.Duration{}
	for item := range strings.SplitSeq(list, ",") {
		node, text, _ := strings.Cut(strings.TrimSpace(item), ":")
		ms, err := strconv.ParseFloat(text, 64)
		if node == "" || err != nil || !(ms >= 0 && ms <= maxRTTMs) {
			return Client{}, fmt.Errorf("rtt: %.40q is not node:milliseconds", item)
		}
		c.RTT[node] = time.Duration(ms * float64(time.Millisecond))
	}
	return c, nil
}

func degrees(what, text string, most float64) (float64, error) {
	x, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(x) || math.Abs(x) > most {
		return 0, fmt.Errorf("%s: %.40q is not a number of degrees up to %v", what, text, most)
	}
	return x, nil
}
