// Package consultest is a scripted Consul: an HTTP handler that answers as much
// of Consul's API as routing/consul asks for, well or badly as it is told.
package consultest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"
)

// Mode is how a Consul behaves.
type Mode int

// The ways to behave.
const (
	Well      Mode = iota
	Empty          // nobody is registered, it says
	Half           // only every other service
	Stale          // what was registered when the mode began
	Failing        // 500 for everything
	Backwards      // an index that falls with each answer, and queries that never block
	Hanging        // every answer takes 30 s
	Garbage        // bytes that are no JSON, or JSON that is no service
)

// String names the mode in tests.
func (m Mode) String() string {
	return [...]string{"well", "empty", "half", "stale", "failing", "backwards", "hanging", "garbage"}[m]
}

// hang is how long a hanging Consul takes.
const hang = 30 * time.Second

// Consul is an http.Handler. Its methods are safe for concurrent use.
type Consul struct {
	mu       sync.Mutex
	mode     Mode
	index    uint64
	changed  chan struct{} // closed when something has changed
	services map[string][]*api.ServiceEntry
	frozen   map[string][]*api.ServiceEntry
	falling  uint64
	garbage  int
	requests int
	local    string
	token    string
}

// New returns a Consul with the agent in the first of the datacenters.
func New(datacenters ...string) *Consul {
	if len(datacenters) == 0 {
		datacenters = []string{"dc1"}
	}
	c := &Consul{index: 100, changed: make(chan struct{}), services: map[string][]*api.ServiceEntry{}, local: datacenters[0]}
	for _, dc := range datacenters {
		c.services[dc] = nil
	}
	return c
}

// Behave changes the mode. Queries that wait are answered.
func (c *Consul) Behave(m Mode) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mode = m
	c.falling = c.index
	c.frozen = map[string][]*api.ServiceEntry{}
	for dc, list := range c.services {
		c.frozen[dc] = slices.Clone(list)
	}
	c.bumpLocked()
}

// Forget begins anew: without services, and with a low index, as an agent does
// that was started again without its data.
func (c *Consul) Forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for dc := range c.services {
		c.services[dc] = nil
	}
	c.index = 1
	c.bumpLocked()
}

// Requests returns how many requests there have been.
func (c *Consul) Requests() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.requests
}

// RequireToken refuses requests without that token from now on.
func (c *Consul) RequireToken(token string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.token = token
}

// Put registers a service by hand, in a datacenter that may be new.
func (c *Consul) Put(dc string, e *api.ServiceEntry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.putLocked(dc, e)
}

func (c *Consul) putLocked(dc string, e *api.ServiceEntry) {
	list := slices.DeleteFunc(slices.Clone(c.services[dc]), func(o *api.ServiceEntry) bool { return o.Service.ID == e.Service.ID })
	c.services[dc] = append(list, e)
	c.bumpLocked()
}

// Remove takes a service out, and reports whether it was there.
func (c *Consul) Remove(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	there := false
	for dc, list := range c.services {
		kept := slices.DeleteFunc(slices.Clone(list), func(e *api.ServiceEntry) bool { return e.Service.ID == id })
		there = there || len(kept) < len(list)
		c.services[dc] = kept
	}
	c.bumpLocked()
	return there
}

// RemoveDatacenter takes a whole datacenter out.
func (c *Consul) RemoveDatacenter(dc string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.services, dc)
	c.bumpLocked()
}

// SetStatus sets the checks of all services.
func (c *Consul) SetStatus(status string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for dc, list := range c.services {
		anew := make([]*api.ServiceEntry, 0, len(list))
		for _, e := range list {
			anew = append(anew, &api.ServiceEntry{
				Node: e.Node, Service: e.Service,
				Checks: api.HealthChecks{{ServiceID: e.Service.ID, Status: status}},
			})
		}
		c.services[dc] = anew
	}
	c.bumpLocked()
}

// IDs returns the ids of the registered services.
func (c *Consul) IDs() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var ids []string
	for _, list := range c.services {
		for _, e := range list {
			ids = append(ids, e.Service.ID)
		}
	}
	slices.Sort(ids)
	return ids
}

func (c *Consul) bumpLocked() {
	c.index++
	close(c.changed)
	c.changed = make(chan struct{})
}

// ServeHTTP implements http.Handler.
func (c *Consul) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	c.requests++
	mode, token := c.mode, c.token
	c.mu.Unlock()
	switch {
	case mode == Failing:
		http.Error(w, "rpc error: no leader", http.StatusInternalServerError)
		return
	case mode == Hanging:
		t := time.NewTimer(hang)
		defer t.Stop()
		select {
		case <-t.C:
		case <-r.Context().Done():
			return
		}
	case token != "" && r.Header.Get("X-Consul-Token") != token:
		http.Error(w, "Permission denied", http.StatusForbidden)
		return
	}
	switch path := r.URL.Path; {
	case path == "/v1/agent/service/register":
		c.register(w, r)
	case strings.HasPrefix(path, "/v1/agent/service/deregister/"):
		c.deregister(w, strings.TrimPrefix(path, "/v1/agent/service/deregister/"))
	case strings.HasPrefix(path, "/v1/agent/check/update/"):
		c.update(w, strings.TrimPrefix(path, "/v1/agent/check/update/"))
	case path == "/v1/catalog/datacenters":
		c.datacenters(w)
	case strings.HasPrefix(path, "/v1/health/service/"):
		c.health(w, r, strings.TrimPrefix(path, "/v1/health/service/"))
	default:
		http.NotFound(w, r)
	}
}

func (c *Consul) register(w http.ResponseWriter, r *http.Request) {
	var s api.AgentServiceRegistration
	if err := json.NewDecoder(r.Body).Decode(&s); err != nil || s.Check == nil {
		http.Error(w, "bad registration", http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.putLocked(c.local, &api.ServiceEntry{
		Node: &api.Node{Node: "agent", Address: "192.0.2.1", Datacenter: c.local},
		Service: &api.AgentService{
			ID: s.ID, Service: s.Name, Address: s.Address, Port: s.Port, Meta: s.Meta,
		},
		Checks: api.HealthChecks{{CheckID: s.Check.CheckID, ServiceID: s.ID, Status: s.Check.Status}},
	})
}

func (c *Consul) deregister(w http.ResponseWriter, id string) {
	if !c.Remove(id) {
		http.Error(w, fmt.Sprintf("Unknown service ID %q", id), http.StatusNotFound)
	}
}

// update renews a check. Only a change would wake the watchers.
func (c *Consul) update(w http.ResponseWriter, check string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, list := range c.services {
		for _, e := range list {
			if e.Service.ID+"-ttl" == check {
				return
			}
		}
	}
	http.Error(w, fmt.Sprintf("Unknown check ID %q", check), http.StatusNotFound)
}

func (c *Consul) datacenters(w http.ResponseWriter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mode == Garbage {
		_, _ = w.Write([]byte(`{"datacenters": `))
		return
	}
	dcs := make([]string, 0, len(c.services))
	for dc := range c.services {
		dcs = append(dcs, dc)
	}
	slices.Sort(dcs)
	answer(w, c.index, dcs)
}

func (c *Consul) health(w http.ResponseWriter, r *http.Request, name string) {
	q := r.URL.Query()
	asked, _ := strconv.ParseUint(q.Get("index"), 10, 64) // absent: 0
	wait, _ := time.ParseDuration(q.Get("wait"))
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	for expired := false; ; {
		c.mu.Lock()
		index, changed := c.index, c.changed
		if asked == 0 || index > asked || expired || c.mode == Backwards {
			c.answerLocked(w, cmpOr(q.Get("dc"), c.local), name)
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		select {
		case <-changed:
		case <-deadline.C:
			expired = true
		case <-r.Context().Done():
			return
		}
	}
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// garbageAnswers are what a Consul that has gone mad may say.
var garbageAnswers = []string{
	"", "not json", "[", `{"a": 1}`, `[null]`, `[{}]`, `[{"Service": {"ID": 7}}]`, `"x"`,
	`[{"Service": {"ID": "x", "Port": -1, "Meta": {"cluster": "test"}}}]`,
	"<html><body>502 Bad Gateway</body></html>", "\x00\xff\xfe",
}

func (c *Consul) answerLocked(w http.ResponseWriter, dc, name string) {
	index, from := c.index, c.services
	switch c.mode {
	case Well, Failing, Hanging, Half:
	case Stale:
		from, index = c.frozen, c.falling
	case Empty:
		from = nil
	case Backwards:
		if c.falling > 2 {
			c.falling -= 2
		}
		index = c.falling
	case Garbage:
		c.garbage++
		w.Header().Set("X-Consul-Index", strconv.FormatUint(index, 10))
		_, _ = w.Write([]byte(garbageAnswers[c.garbage%len(garbageAnswers)]))
		return
	}
	list := make([]*api.ServiceEntry, 0, len(from[dc]))
	for i, e := range from[dc] {
		if e.Service.Service == name && (c.mode != Half || i%2 == 0) {
			list = append(list, e)
		}
	}
	answer(w, index, list)
}

func answer(w http.ResponseWriter, index uint64, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Consul-Index", strconv.FormatUint(index, 10))
	w.Header().Set("X-Consul-LastContact", "0")
	w.Header().Set("X-Consul-KnownLeader", "true")
	_ = json.NewEncoder(w).Encode(v) // a client that went away needs no answer
}
