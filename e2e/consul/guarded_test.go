//go:build e2e

package consul

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// management is the token of whoever keeps Consul.
const management = "3b6f2c1e-5d0a-4f7e-9a51-0c7d2e8f4b90"

// rules are what a node's token needs, as docs/operating.md says.
const rules = `service "trellis" { policy = "write" }
node_prefix "" { policy = "read" }`

// guarded is a Consul agent that speaks only TLS, to those with a certificate of its
// authority, and does only what their tokens allow.
type guarded struct {
	t    *testing.T
	dir  string
	port int
}

func newGuarded(t *testing.T, dir string) *guarded {
	t.Helper()
	g := &guarded{t: t, dir: dir}
	program := binary(t, "CONSUL")
	for _, args := range [][]string{
		{"ca", "create"}, {"cert", "create", "-server", "-dc", "east", "-additional-ipaddress", "127.0.0.1"}, {"cert", "create", "-client", "-dc", "east"},
	} {
		cmd := exec.CommandContext(t.Context(), program, append([]string{"tls"}, args...)...)
		cmd.Dir = dir // where it writes to
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", cmd, err, out)
		}
	}
	ports := freePorts(t, 4)
	g.port = ports[0]
	config := filepath.Join(dir, "guarded.json")
	settings := map[string]any{
		"datacenter": "east", "node_name": "agent-east", "bind_addr": "127.0.0.1", "client_addr": "127.0.0.1", "log_level": "warn",
		"ports": map[string]int{
			"http": -1, "https": g.port, "server": ports[1], "serf_lan": ports[2], "serf_wan": ports[3], "dns": -1, "grpc": -1, "grpc_tls": -1,
		},
		"tls": map[string]any{"defaults": map[string]any{
			"ca_file": g.file("consul-agent-ca.pem"), "cert_file": g.file("east-server-consul-0.pem"),
			"key_file": g.file("east-server-consul-0-key.pem"), "verify_incoming": true, "verify_outgoing": true,
		}},
		"acl": map[string]any{
			"enabled": true, "default_policy": "deny",
			"tokens": map[string]string{"initial_management": management, "agent": management},
		},
	}
	b, err := json.Marshal(settings)
	must(t, err)
	must(t, os.WriteFile(config, b, 0o600))
	start(t, dir, "consul-guarded", program, nil, "agent", "-dev", "-config-file", config)
	await(t, "the guarded agent leads", time.Minute, func() error {
		_, err := g.call("operator", "raft", "list-peers")
		return err
	})
	_, err = g.call("acl", "policy", "create", "-name", "trellis-node", "-rules", rules)
	must(t, err)
	return g
}

func (g *guarded) file(name string) string { return filepath.Join(g.dir, name) }

// address is where nodes find it.
func (g *guarded) address() string { return "https://127.0.0.1:" + strconv.Itoa(g.port) }

// call has its keeper do something by Consul's own command.
func (g *guarded) call(args ...string) ([]byte, error) {
	cmd := exec.CommandContext(g.t.Context(), binary(g.t, "CONSUL"), args...)
	cmd.Env = append(os.Environ(), append(g.environment(), "CONSUL_HTTP_TOKEN="+management)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, out)
	}
	return out, err
}

// environment says how to reach it, in Consul's own variables.
func (g *guarded) environment() []string {
	return []string{
		"CONSUL_HTTP_ADDR=" + g.address(), "CONSUL_CACERT=" + g.file("consul-agent-ca.pem"),
		"CONSUL_CLIENT_CERT=" + g.file("east-client-consul-0.pem"), "CONSUL_CLIENT_KEY=" + g.file("east-client-consul-0-key.pem"),
	}
}

// token returns a new one.
func (g *guarded) token(grant ...string) (accessor, secret string) {
	g.t.Helper()
	out, err := g.call(append([]string{"acl", "token", "create", "-format", "json"}, grant...)...)
	must(g.t, err)
	var made struct{ AccessorID, SecretID string }
	must(g.t, json.Unmarshal(out, &made))
	return made.AccessorID, made.SecretID
}

// TestGuardedConsul has nodes find each other in an agent with TLS in both directions
// and ACLs, one by its settings and one by Consul's variables; a third whose token
// is for another service says so, and works when it is given another in the same file. A token that
// is withdrawn stops nothing.
func TestGuardedConsul(t *testing.T) {
	w := newWorld(t, "a", "b", "c")
	g := newGuarded(t, w.dir)
	accessor, good := g.token("-policy-name", "trellis-node")
	_, bad := g.token("-service-identity", "another")
	tokens := map[string]string{"a": good, "c": bad}
	for _, n := range w.nodes {
		b, err := os.ReadFile(n.configPath)
		must(t, err)
		config := string(b)
		if secret, ok := tokens[n.id]; ok {
			token := g.file("token-" + n.id)
			must(t, os.WriteFile(token, []byte(secret+"\n"), 0o600))
			settings := fmt.Sprintf("{ttl: 6s, address: %q, token_file: %q, ca_file: %q, cert_file: %q, key_file: %q}", g.address(), token,
				g.file("consul-agent-ca.pem"), g.file("east-client-consul-0.pem"), g.file("east-client-consul-0-key.pem"))
			i := strings.Index(config, "consul: {ttl")
			j := i + strings.Index(config[i:], "}")
			config = config[:i] + "consul: " + settings + config[j+1:]
			n.env = nil
		} else {
			n.env = append(g.environment(), "CONSUL_HTTP_TOKEN="+good)
		}
		must(t, os.WriteFile(n.configPath, []byte(config), 0o600))
		n.start()
	}
	knows := func(id string, nodes int) error { return w.node(id).linked(nodes) }
	await(t, "those with a token find each other", time.Minute, func() error { return errors.Join(knows("a", 2), knows("b", 2)) })
	c := w.node("c")
	await(t, "the one without says why", 30*time.Second, func() error {
		s, err := c.status()
		if err == nil && (!s.Node.Degraded || !strings.Contains(s.Discovery.Detail, "403")) {
			err = fmt.Errorf("degraded %v: %s: %s", s.Node.Degraded, s.Discovery.Reason, s.Discovery.Detail)
		}
		return err
	})
	must(t, c.probes())

	must(t, os.WriteFile(g.file("token-c"), []byte(good+"\n"), 0o600))
	await(t, "with another token it is one of them", time.Minute, func() error {
		return errors.Join(knows("a", 3), knows("b", 3), knows("c", 3))
	})

	// Withdrawn: everybody is degraded, and goes on.
	w.publish("a", "room/guarded")
	viewer := w.watch("b", "room/guarded", "--timeout", "20s")
	_, err := g.call("acl", "token", "delete", "-id", accessor)
	must(t, err)
	began := time.Now()
	await(t, "degraded without a token", time.Minute, func() error {
		for _, n := range w.nodes {
			if s, err := n.status(); err != nil || !s.Node.Degraded {
				return fmt.Errorf("%s: degraded %v: %w", n.id, s.Node.Degraded, err)
			}
		}
		return nil
	})
	pass(t, 8*time.Second-time.Since(began)) // longer than the check lives
	for _, n := range w.nodes {
		must(t, n.linked(3))
		must(t, n.probes())
	}
	w.wantWhole(viewer, 4*time.Second)
}
