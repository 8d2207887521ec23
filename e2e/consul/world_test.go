//go:build e2e

package consul

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// agent is a Consul agent with a datacenter of its own. It keeps nothing on disk:
// when it starts again, it has forgotten everything.
type agent struct {
	t     *testing.T
	dc    string
	dir   string
	ports []int // HTTP, RPC, LAN gossip, WAN gossip
	join  *agent
	*process
}

func (a *agent) addr() string { return "127.0.0.1:" + strconv.Itoa(a.ports[0]) }

func (a *agent) start() {
	a.t.Helper()
	args := []string{
		"agent", "-dev", "-datacenter", a.dc, "-node", "agent-" + a.dc, "-bind", "127.0.0.1", "-client", "127.0.0.1",
		"-http-port", strconv.Itoa(a.ports[0]), "-server-port", strconv.Itoa(a.ports[1]),
		"-serf-lan-port", strconv.Itoa(a.ports[2]), "-serf-wan-port", strconv.Itoa(a.ports[3]),
		"-dns-port", "-1", "-grpc-port", "-1", "-grpc-tls-port", "-1", "-log-level", "warn",
	}
	if a.join != nil {
		args = append(args, "-retry-join-wan", "127.0.0.1:"+strconv.Itoa(a.join.ports[3]), "-retry-interval-wan", "1s")
	}
	a.process = start(a.t, a.dir, "consul-"+a.dc, binary(a.t, "CONSUL"), nil, args...)
}

// services returns the ids that a datacenter lists, as this agent tells.
func (a *agent) services(dc string) ([]string, error) {
	code, body, err := get(a.t, "http://"+a.addr()+"/v1/catalog/service/trellis?dc="+dc)
	if err != nil || code != 200 {
		return nil, errors.Join(err, fmt.Errorf("status %d: %.200s", code, body))
	}
	var list []struct{ ServiceID string }
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, err
	}
	ids := []string{}
	for _, s := range list {
		ids = append(ids, s.ServiceID)
	}
	slices.Sort(ids)
	return ids, nil
}

// node is a `trellis serve` process.
type node struct {
	t          *testing.T
	id, dir    string
	quic, adm  int
	env        []string
	configPath string
	*process
}

// status is what we ask of GET /v1/status.
type status struct {
	Node struct {
		Ready, Degraded bool
	}
	Discovery struct {
		Reason, Detail string
		Nodes          int
		Unlisted       []string
	}
	Links []struct {
		Peer, State string
		Up          time.Time
	}
	Broadcasts []struct {
		Name   string
		Tracks []struct{ Name, Parent, Cause string }
	}
}

func (n *node) start() {
	n.t.Helper()
	n.process = start(n.t, n.dir, n.id, binary(n.t, "TRELLIS"), n.env, "serve", "--config", n.configPath)
}

func (n *node) admin(path string) (int, []byte, error) {
	return get(n.t, "http://127.0.0.1:"+strconv.Itoa(n.adm)+path)
}

func (n *node) status() (s status, err error) {
	code, body, err := n.admin("/v1/status")
	if err != nil || code != 200 {
		return s, errors.Join(err, fmt.Errorf("%s: status %d", n.id, code))
	}
	return s, json.Unmarshal(body, &s)
}

// metric returns the sum of a metric over its labels, without lines that hold one
// of the given texts.
func (n *node) metric(name string, without ...string) float64 {
	n.t.Helper()
	_, body, err := n.admin("/metrics")
	must(n.t, err)
	sum := 0.0
	for line := range strings.SplitSeq(string(body), "\n") {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest == "" || rest[0] != ' ' && rest[0] != '{' ||
			slices.ContainsFunc(without, func(w string) bool { return strings.Contains(rest, w) }) {
			continue
		}
		v, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
		must(n.t, err)
		sum += v
	}
	return sum
}

// moves is how often tracks of this node have changed their parent because
// something failed. A first parent is no change; and with all nodes on one machine,
// whose delays are those of its processor, the better place may be another one
// every now and then, Consul or not. That no track moves at all is shown in virtual
// time (TestConsulGoneForADay).
func (n *node) moves() float64 {
	return n.metric("trellis_backbone_moves_total", `cause="subscribed"`, `cause="planned"`, `cause="cheaper"`)
}

// drops returns what the node has given up, line by line.
func (n *node) drops() string {
	_, body, err := n.admin("/metrics")
	must(n.t, err)
	var lines []string
	for line := range strings.SplitSeq(string(body), "\n") {
		if strings.Contains(line, "dropped") && line[0] != '#' && !strings.HasSuffix(line, " 0") {
			lines = append(lines, n.id+": "+line)
		}
	}
	return strings.Join(lines, "\n")
}

// probes returns an error unless both health probes say yes.
func (n *node) probes() error {
	for _, path := range []string{"/healthz", "/readyz"} {
		if code, body, err := n.admin(path); err != nil || code != 200 {
			return fmt.Errorf("%s%s: %d %s %w", n.id, path, code, body, err)
		}
	}
	return nil
}

// linked returns an error unless the node knows and is linked to all others.
func (n *node) linked(nodes int) error {
	s, err := n.status()
	switch {
	case err != nil:
		return err
	case s.Discovery.Nodes != nodes || len(s.Links) != nodes-1:
		return fmt.Errorf("%s knows %d nodes and has %d links", n.id, s.Discovery.Nodes, len(s.Links))
	}
	return nil
}

// world is two datacenters and some nodes.
type world struct {
	*testing.T
	dir    string
	agents []*agent
	nodes  []*node
	clips  int
}

func newWorld(t *testing.T, ids ...string) *world {
	t.Helper()
	w := &world{T: t, dir: t.TempDir()}
	ports := freePorts(t, 8+3*len(ids))
	for i, dc := range []string{"east", "west"} {
		w.agents = append(w.agents, &agent{t: t, dc: dc, dir: w.dir, ports: ports[4*i : 4*i+4]})
	}
	w.agents[1].join = w.agents[0]
	program := binary(t, "TRELLIS")
	authority := filepath.Join(w.dir, "ca")
	run(t, program, "ca", "init", "--cluster", "e2e", "--dir", authority)
	for i, id := range ids {
		p := ports[8+3*i:]
		n := &node{t: t, id: id, dir: w.dir, quic: p[0], adm: p[2], configPath: filepath.Join(w.dir, id+".yaml")}
		local := w.agents[i%2]
		region := "region-" + id
		run(t, program, "ca", "issue", "--dir", authority, "--region", region, "--node", id, "--out", authority)
		config := fmt.Sprintf(`node: {id: %s, region: %s, cluster: e2e, shutdown: 3s, state_dir: %s}
listen: {quic: "127.0.0.1:%d", webrtc: "127.0.0.1:%d", admin: "127.0.0.1:%d"}
cluster: {cert: ca/%s.crt, key: ca/%s.key, ca: ca/ca.crt}
discovery: {kind: consul, consul: {ttl: 6s}}
`, id, region, "state-"+id, p[0], p[1], p[2], id, id)
		if i == len(ids)-1 { // it may be restarted without harm to others
			config += "limits: {children: 0}\n"
		}
		if i == 0 { // the others learn of their agent by Consul's own variable
			config = strings.Replace(config, "ttl: 6s", fmt.Sprintf("ttl: 6s, address: %q", local.addr()), 1)
		} else {
			n.env = []string{"CONSUL_HTTP_ADDR=" + local.addr()}
		}
		must(t, os.WriteFile(n.configPath, []byte(config), 0o600))
		run(t, program, "validate", n.configPath)
		w.nodes = append(w.nodes, n)
	}
	return w
}

func (w *world) node(id string) *node {
	w.Helper()
	i := slices.IndexFunc(w.nodes, func(n *node) bool { return n.id == id })
	if i < 0 {
		w.Fatalf("no node %s", id)
	}
	return w.nodes[i]
}

// client runs `trellis publish` or `trellis watch` at a node.
func (w *world) client(command, at, broadcast string, args ...string) *process {
	w.Helper()
	w.clips++
	name := fmt.Sprintf("%s-%d-%s", command, w.clips, at)
	args = append([]string{command, "--json"}, args...)
	args = append(args, fmt.Sprintf("moq://127.0.0.1:%d/%s", w.node(at).quic, broadcast))
	return start(w.T, w.dir, name, binary(w.T, "TRELLIS"), nil, args...)
}

func (w *world) publish(at, broadcast string) *process {
	w.Helper()
	return w.client("publish", at, broadcast, "--clip", "vp8")
}

func (w *world) watch(at, broadcast string, args ...string) *process {
	w.Helper()
	return w.client("watch", at, broadcast, args...)
}

// report is what `trellis watch --json` ends with.
type report struct {
	DurationS float64 `json:"duration_s"`
	Tracks    []struct {
		Kind        string
		Objects     int64
		FrameRate   float64 `json:"frame_rate"`
		Gaps, Lost  int64
		GroupsReset int64   `json:"groups_reset"`
		FirstFrame  float64 `json:"time_to_first_frame_ms"`
	}
}

// report reads what a viewer ended with.
func (w *world) report(p *process) (r report) {
	w.Helper()
	b, err := os.ReadFile(p.log.Name())
	must(w.T, err)
	begin := strings.IndexByte(string(b), '{')
	if begin < 0 {
		w.Fatalf("%s said %s", p.name, b)
	}
	must(w.T, json.NewDecoder(strings.NewReader(string(b[begin:]))).Decode(&r))
	return r
}

// wantWhole ends a viewer and asserts that it saw picture and sound for at least
// so long, without a hole.
func (w *world) wantWhole(p *process, atLeast time.Duration) {
	w.Helper()
	p.signal(syscall.SIGINT)
	if err := p.wait(20 * time.Second); err != nil {
		w.Errorf("%s: %v", p.name, err)
		return
	}
	r := w.report(p)
	if len(r.Tracks) != 2 {
		w.Errorf("%s saw %d tracks, want 2", p.name, len(r.Tracks))
	}
	for _, t := range r.Tracks {
		rate := map[string]float64{"video": 30, "audio": 50}[t.Kind]
		if t.Lost > 0 || t.Gaps > 0 || t.GroupsReset > 0 || float64(t.Objects) < rate*atLeast.Seconds() {
			w.Errorf("%s: %s: %+v in %.1f s, want nothing lost and %v objects a second", p.name, t.Kind, t, r.DurationS, rate)
		}
		w.Logf("%s: %s: %d objects in %.1f s, lost %d, gaps %d, groups reset %d, first frame after %.0f ms",
			p.name, t.Kind, t.Objects, r.DurationS, t.Lost, t.Gaps, t.GroupsReset, t.FirstFrame)
	}
}

// route is how a node gets a track.
type route struct{ node, track, parent string }

// routes returns where every node takes every track of a broadcast from.
func (w *world) routes(broadcast string) []route {
	w.Helper()
	var all []route
	for _, n := range w.nodes {
		s, err := n.status()
		must(w.T, err)
		for _, b := range s.Broadcasts {
			for _, t := range b.Tracks {
				if b.Name == broadcast {
					all = append(all, route{n.id, t.Name, t.Parent})
				}
			}
		}
	}
	return all
}
