package consul

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/hashicorp/consul/api"

	"trellis/routing/discovery"
)

// Keys of a service's Meta. What changes by the second never goes there: each
// registration wakes every watcher.
const (
	metaCluster   = "cluster"
	metaNode      = "node"
	metaRegion    = "region"
	metaProvider  = "provider"
	metaURL       = "url"
	metaVersion   = "version"
	metaClass     = "class"
	metaLatitude  = "latitude"
	metaLongitude = "longitude"
)

func (c Config) serviceID() string { return c.Service + "-" + c.Self.ID }
func (c Config) checkID() string   { return c.serviceID() + "-ttl" }

// registration is what the node registers.
func (c Config) registration() *api.AgentServiceRegistration {
	host, portText, _ := net.SplitHostPort(c.Self.Addr) // New has checked it
	port, _ := strconv.Atoi(portText)
	meta := map[string]string{metaCluster: c.Cluster, metaNode: c.Self.ID, metaRegion: c.Self.Region}
	for key, value := range map[string]string{
		metaProvider: c.Self.Provider, metaURL: c.Self.URL, metaVersion: c.Self.Version, metaClass: string(c.Self.Class),
	} {
		if value != "" {
			meta[key] = value
		}
	}
	if c.Self.Latitude != 0 || c.Self.Longitude != 0 {
		meta[metaLatitude] = strconv.FormatFloat(c.Self.Latitude, 'f', -1, 64)
		meta[metaLongitude] = strconv.FormatFloat(c.Self.Longitude, 'f', -1, 64)
	}
	return &api.AgentServiceRegistration{
		ID: c.serviceID(), Name: c.Service, Address: host, Port: port, Meta: meta,
		TaggedAddresses: map[string]api.ServiceAddress{"wan": {Address: host, Port: port}},
		Check: &api.AgentServiceCheck{
			CheckID: c.checkID(), Name: "the node's own heartbeat",
			TTL: c.TTL.String(), Status: api.HealthPassing,
			DeregisterCriticalServiceAfter: max(deregisterAfter, 4*c.TTL).Round(time.Second).String(),
		},
	}
}

// found is a node in the catalog.
type found struct {
	discovery.Node

	passing bool
}

// errForeign is of entries of another cluster.
var errForeign = errors.New("of another cluster")

// parse reads a service of the catalog.
func parse(e *api.ServiceEntry, cluster string) (found, error) {
	if e == nil || e.Service == nil {
		return found{}, errors.New("an entry without a service")
	}
	m := e.Service.Meta
	if m[metaCluster] != cluster {
		return found{}, fmt.Errorf("service %s: %w", clip(e.Service.ID), errForeign)
	}
	host := e.Service.Address
	if host == "" && e.Node != nil {
		host = e.Node.Address // the agent's, where a service has none of its own
	}
	f := found{Node: discovery.Node{
		ID: m[metaNode], Region: m[metaRegion], Provider: m[metaProvider],
		Addr: net.JoinHostPort(host, strconv.Itoa(e.Service.Port)),
		Facts: discovery.Facts{
			URL: m[metaURL], Version: m[metaVersion], Class: discovery.Class(m[metaClass]),
		},
	}, passing: e.Checks.AggregatedStatus() == api.HealthPassing}
	if m[metaLatitude] != "" || m[metaLongitude] != "" {
		lat, err := strconv.ParseFloat(m[metaLatitude], 64)
		lon, err2 := strconv.ParseFloat(m[metaLongitude], 64)
		if err := errors.Join(err, err2); err != nil {
			return found{}, fmt.Errorf("service %s: place: %w", clip(e.Service.ID), err)
		}
		f.Latitude, f.Longitude = lat, lon
	}
	if host == "" {
		return found{}, fmt.Errorf("service %s has no address", clip(e.Service.ID))
	}
	if err := f.Check(); err != nil {
		return found{}, fmt.Errorf("service %s: %w", clip(e.Service.ID), err)
	}
	return f, nil
}

// parseAll reads an answer. Entries that are no nodes of ours do not spoil it;
// the first such error is returned beside the rest.
func parseAll(entries []*api.ServiceEntry, cluster string) (nodes []found, bad int, first error) {
	for _, e := range entries {
		f, err := parse(e, cluster)
		switch {
		case err == nil:
			nodes = append(nodes, f)
		case !errors.Is(err, errForeign):
			bad++
			first = cmp.Or(first, err)
		}
	}
	return nodes, bad, first
}

// catalog is what all datacenters have answered last. A datacenter without an
// answer has a nil list.
type catalog map[string][]found

// snapshot adds up. Of two entries of one id, the one that passes its check is
// taken, or that of the first datacenter by name; twice are such ids.
func (c catalog) snapshot() (s discovery.Snapshot, twice []string) {
	s.Partial = len(c) == 0
	best := map[string]found{}
	for _, dc := range slices.Sorted(maps.Keys(c)) {
		if c[dc] == nil {
			s.Partial = true
		}
		for _, f := range c[dc] {
			other, ok := best[f.ID]
			if ok && other.Node != f.Node && !slices.Contains(twice, f.ID) {
				twice = append(twice, f.ID)
			}
			if !ok || f.passing && !other.passing {
				best[f.ID] = f
			}
		}
	}
	s.Nodes = make([]discovery.Node, 0, len(best))
	for _, id := range slices.Sorted(maps.Keys(best)) {
		s.Nodes = append(s.Nodes, best[id].Node)
	}
	slices.Sort(twice)
	return s, twice
}
