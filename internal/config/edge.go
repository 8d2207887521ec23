package config

import (
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
)

// Edge is what clients and other nodes are told of this node as an edge.
type Edge struct {
	URL         string `key:"url" doc:"where clients reach WHIP, WHEP and MoQ, such as https://eu-west.example.com:4443; empty: clients of other nodes are not sent here"`
	Place       string `key:"place" doc:"LATITUDE,LONGITUDE in degrees, such as 50.1,8.7; empty: not told"`
	Viewers     int    `key:"viewers" doc:"viewers from which on newcomers are sent elsewhere; 0: only limits.sessions and limits.connections count"`
	EgressMbps  int    `key:"egress_mbps" doc:"Mbit/s that the node may send; 0: not told"`
	EgressPrice int    `key:"egress_usd_per_tb" doc:"what a terabyte sent to clients costs, in US dollars: of equals, the cheaper edge is chosen"`
}

// Coordinates returns the place, false if none is told.
func (e Edge) Coordinates() (lat, lon float64, ok bool) {
	a, b, found := strings.Cut(e.Place, ",")
	if !found {
		return 0, 0, false
	}
	lat, errLat := strconv.ParseFloat(strings.TrimSpace(a), 64)
	lon, errLon := strconv.ParseFloat(strings.TrimSpace(b), 64)
	ok = errLat == nil && errLon == nil && math.Abs(lat) <= 90 && math.Abs(lon) <= 180
	return lat, lon, ok
}

func (l *loader) checkEdge(e Edge) {
	if e.URL != "" {
		u, err := url.Parse(e.URL)
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
			l.wrong("edge.url", fmt.Sprintf("%q is not the base of a node", e.URL), "write scheme, host and port, such as https://eu-west.example.com:4443")
		}
	}
	if _, _, ok := e.Coordinates(); e.Place != "" && !ok {
		l.wrong("edge.place", fmt.Sprintf("%q is not a place", e.Place), "write latitude and longitude in degrees, such as 50.1,8.7")
	}
}
