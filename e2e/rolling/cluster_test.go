//go:build e2e

package rolling

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"trellis/internal/client"
)

// shutdown is how long a node may take to say goodbye.
const shutdown = 4 * time.Second

// cluster is some nodes on loopback, which all know each other, with a log file
// for each process.
type cluster struct {
	*testing.T
	dir     string
	trellis string
	nodes   []*serving
}

// serving is a `trellis serve` that is started again and again.
type serving struct {
	c           *cluster
	id          string
	quic, admin int
	process     *process
}

// process is one of ours, until it has ended.
type process struct {
	name  string
	cmd   *exec.Cmd
	out   string // file with its standard output
	ended chan struct{}
	err   error // then
}

func newCluster(t *testing.T, ids ...string) *cluster {
	t.Helper()
	c := &cluster{T: t, dir: t.TempDir(), trellis: os.Getenv("TRELLIS")}
	if c.trellis == "" {
		t.Fatal("TRELLIS names no program; run: make e2e-rolling")
	}
	c.run("ca", "init", "--cluster", "e2e", "--dir", c.dir)
	var peers strings.Builder
	for _, id := range ids {
		n := &serving{c: c, id: id, quic: c.freePort(), admin: c.freePort()}
		c.nodes = append(c.nodes, n)
		c.run("ca", "issue", "--dir", c.dir, "--region", "region-"+id, "--node", id, "--out", c.dir)
		fmt.Fprintf(&peers, "  - {id: %s, region: region-%s, addr: \"127.0.0.1:%d\"}\n", id, id, n.quic)
	}
	c.write("peers.yaml", "peers:\n"+peers.String())
	for _, n := range c.nodes {
		c.write(n.id+".yaml", fmt.Sprintf(`node: {id: %[1]s, region: region-%[1]s, cluster: e2e, shutdown: %[2]v}
listen: {quic: "127.0.0.1:%[3]d", webrtc: "127.0.0.1:%[4]d", admin: "127.0.0.1:%[5]d"}
edge: {url: "http://127.0.0.1:%[3]d"}
cluster: {cert: %[1]s.crt, key: %[1]s.key, ca: ca.crt}
discovery: {file: peers.yaml}
`, n.id, shutdown, n.quic, c.freePort(), n.admin))
	}
	return c
}

func (c *cluster) must(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

func (c *cluster) write(name, text string) {
	c.Helper()
	c.must(os.WriteFile(filepath.Join(c.dir, name), []byte(text), 0o600))
}

// freePort finds a port that is free for TCP and UDP. Its listeners are held until
// the end of the search, so that nobody is given it twice.
func (c *cluster) freePort() int {
	c.Helper()
	for range 100 {
		tcp, err := net.Listen("tcp", "127.0.0.1:0")
		c.must(err)
		port := tcp.Addr().(*net.TCPAddr).Port
		udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
		c.must(tcp.Close())
		if err == nil {
			c.must(udp.Close())
			return port
		}
	}
	c.Fatal("no free port")
	return 0
}

// run runs a command to its end.
func (c *cluster) run(args ...string) {
	c.Helper()
	cmd := exec.CommandContext(c.Context(), c.trellis, args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		c.Fatalf("trellis %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// start starts a command that goes on beside the test, and ends with it.
func (c *cluster) start(name string, args ...string) *process {
	c.Helper()
	p := &process{name: name, out: filepath.Join(c.dir, name+".out"), ended: make(chan struct{})}
	flags := os.O_CREATE | os.O_WRONLY | os.O_APPEND
	out, err := os.OpenFile(p.out, flags, 0o600)
	c.must(err)
	log, err := os.OpenFile(filepath.Join(c.dir, name+".log"), flags, 0o600)
	c.must(err)
	p.cmd = exec.Command(c.trellis, args...) // its end is ours to choose
	p.cmd.Stdout, p.cmd.Stderr = out, log
	c.must(p.cmd.Start())
	go func() {
		defer close(p.ended)
		p.err = errors.Join(p.cmd.Wait(), out.Close(), log.Close())
	}()
	c.Cleanup(func() {
		p.signal(syscall.SIGKILL)
		<-p.ended
		if c.Failed() {
			b, _ := os.ReadFile(log.Name()) // it is there, or there is nothing to show
			c.Logf("---- the end of %s\n%s", log.Name(), b[max(0, len(b)-4000):])
		}
	})
	return p
}

func (p *process) signal(s syscall.Signal) {
	_ = p.cmd.Process.Signal(s) // one that has ended needs none
}

// end waits for the end of a process, and says how long that took.
func (c *cluster) end(p *process, within time.Duration) (time.Duration, error) {
	c.Helper()
	began := time.Now()
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-p.ended:
		return time.Since(began), p.err
	case <-timer.C:
		c.Fatalf("%s has not ended after %v", p.name, within)
		return 0, nil
	}
}

// until waits until nothing is wrong any more.
func (c *cluster) until(what string, within time.Duration, wrong func() error) {
	c.Helper()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := wrong()
		if err == nil {
			return
		}
		select {
		case <-ticker.C:
		case <-deadline.C:
			c.Fatalf("%s: not within %v: %v", what, within, err)
		}
	}
}

func (n *serving) start() {
	n.c.Helper()
	n.process = n.c.start(n.id, "serve", "--config", filepath.Join(n.c.dir, n.id+".yaml"))
}

// status is what is asked of GET /v1/status.
type status struct {
	Node struct {
		UptimeS float64 `json:"uptime_s"`
		Ready   bool
	}
	Sessions   struct{ MoQ, WHIP, WHEP int }
	Links      []struct{ Peer, State string }
	Broadcasts []struct {
		Name   string
		Tracks []struct {
			Name    string
			Objects uint64
			Dropped map[string]uint64
		}
	}
}

func (n *serving) status() (s status, err error) { return s, n.get("/v1/status", &s) }

func (n *serving) get(path string, v any) error {
	resp, err := http.Get("http://127.0.0.1:" + strconv.Itoa(n.admin) + path)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // read to its end
	return json.NewDecoder(resp.Body).Decode(v)
}

// sees returns an error unless the node would send clients to any of the others:
// they are known, take clients, and are near.
func (n *serving) sees(nodes int) error {
	var answer struct {
		Edges []struct {
			Node, State string
			Score       *float64 `json:"score_ms"`
		}
	}
	if err := n.get("/v1/edges", &answer); err != nil {
		return err
	}
	const near = 20 // milliseconds, as in internal/edges
	for _, e := range answer.Edges {
		if e.State != "free" || e.Score == nil || *e.Score > near {
			return fmt.Errorf("%s sees %+v", n.id, answer.Edges)
		}
	}
	if len(answer.Edges) != nodes {
		return fmt.Errorf("%s sees %d nodes", n.id, len(answer.Edges))
	}
	return nil
}

// linked returns an error unless the node has a link to n others and knows the broadcast.
func (n *serving) linked(links int, broadcast string) error {
	s, err := n.status()
	if err != nil {
		return err
	}
	up := 0
	for _, l := range s.Links {
		if l.State == "up" {
			up++
		}
	}
	if up != links || !s.Node.Ready {
		return fmt.Errorf("%s is ready: %v, has %d links of %d", n.id, s.Node.Ready, up, links)
	}
	for _, b := range s.Broadcasts {
		if b.Name == broadcast {
			return nil
		}
	}
	return fmt.Errorf("%s does not know %s", n.id, broadcast)
}

// lostBetweenNodes counts the groups that the node did not get, or not whole,
// from another.
func (s status) lostBetweenNodes() (lost uint64) {
	for _, b := range s.Broadcasts {
		for _, t := range b.Tracks {
			lost += t.Dropped["upstream_lost"] + t.Dropped["upstream_reset"]
		}
	}
	return lost
}

// show puts into the log where a viewer went.
func (c *cluster) show(p *process) {
	c.Helper()
	b, err := os.ReadFile(filepath.Join(c.dir, p.name+".log"))
	c.must(err)
	for line := range strings.Lines(string(b)) {
		if strings.Contains(line, "level=INFO") {
			c.Logf("%s: %s", p.name, strings.TrimSpace(line))
		}
	}
}

// report reads what a viewer ended with.
func (c *cluster) report(p *process) (r client.WatchReport) {
	c.Helper()
	b, err := os.ReadFile(p.out)
	c.must(err)
	if err := json.Unmarshal(b, &r); err != nil {
		c.Fatalf("%s says %q: %v", p.name, b, err)
	}
	return r
}
