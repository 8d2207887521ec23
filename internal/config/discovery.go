package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"trellis/internal/ca"
	"trellis/internal/keyfile"
)

func (l *loader) checkDiscovery(c *Config) {
	d := c.Discovery
	l.oneOf("discovery.kind", d.Kind, KindStatic, KindConsul)
	switch d.Kind {
	case KindStatic:
		l.checkStatic(c)
	case KindConsul:
		l.checkConsul(c)
	}
}

func (l *loader) checkStatic(c *Config) {
	d := c.Discovery
	switch {
	case len(d.Peers) > 0 && d.File != "":
		l.wrong("discovery.file", "is given beside discovery.peers", "keep one of them")
	case (len(d.Peers) > 0 || d.File != "") && !c.Cluster.Configured():
		key := "discovery.peers"
		if d.File != "" {
			key = "discovery.file"
		}
		l.wrong(key, "other nodes are named, but this one has nothing to prove itself with", "set cluster.cert, cluster.key and cluster.ca")
	case d.File != "" && l.exists("discovery.file", d.File):
		data, _, err := keyfile.Read(d.File)
		if err != nil {
			l.wrong("discovery.file", err.Error(), "")
			return
		}
		l.checkPeers(l.peersFile(d.File, data), c.Node)
	}
	l.checkPeers(d.Peers, c.Node)
	l.unused("discovery.snapshot_file", "discovery.kind is static")
	for _, s := range Settings() {
		if s.Section == "discovery.consul" {
			l.unused(s.Key(), "discovery.kind is static")
		}
	}
}

// unused reports a setting that somebody gave and that has no effect.
func (l *loader) unused(key, why string) {
	if !l.isDefault(key) && !l.reported(key) {
		l.wrong(key, "has no effect while "+why, "set discovery.kind to consul, or leave it out")
	}
}

func (l *loader) checkPeers(peers []Peer, self Node) {
	seen := map[string]int{}
	for i, p := range peers {
		key := fmt.Sprintf("discovery.peers[%d]", i)
		if l.reported(key) {
			continue // it is no node at all
		}
		for _, f := range []struct{ name, value string }{{"id", p.ID}, {"region", p.Region}} {
			switch {
			case f.value == "":
				l.wrong(key, f.name+" is missing", "each node has an id, a region and an addr")
			case ca.CheckName("", f.value) != nil:
				l.wrong(key+"."+f.name, fmt.Sprintf("%.80q is not a name", f.value), "use 1 to 63 of a-z 0-9 . _ -, with a letter or digit at both ends")
			}
		}
		if p.Addr == "" {
			l.wrong(key, "addr is missing", "each node has an id, a region and an addr")
		} else if _, f := parseAddr(p.Addr, dialled); f != nil {
			l.wrong(key+".addr", f.what, f.fix)
		}
		if first, twice := seen[p.ID]; twice && p.ID != "" {
			l.wrong(key+".id", fmt.Sprintf("%q is the id of discovery.peers[%d] too", p.ID, first), "ids are unique in a cluster")
		} else {
			seen[p.ID] = i
		}
		if p.ID == self.ID && p.Region != self.Region {
			l.wrong(key, fmt.Sprintf("is this node, but in region %q and not %q", p.Region, self.Region), "let node.region and the list agree")
		}
	}
}

func (l *loader) checkConsul(c *Config) {
	d := c.Discovery
	for _, key := range []string{"discovery.peers", "discovery.file"} {
		if !l.isDefault(key) {
			l.wrong(key, "has no effect while discovery.kind is consul", "set discovery.kind to static, or leave it out")
		}
	}
	if !c.Cluster.Configured() {
		l.wrong("discovery.kind", "other nodes would be found, but this one has nothing to prove itself with", "set cluster.cert, cluster.key and cluster.ca")
	}
	if c.SnapshotPath() == "" {
		l.wrong("discovery.snapshot_file", "is missing: without it a node that starts while Consul is down knows nobody", "name a file, or set node.state_dir")
	}
	if c.LinkAddr() == "" && !l.reported("listen.quic") && !l.reported("node.link_address") {
		l.wrong("node.link_address", "is missing: "+c.Listen.QUIC+" is not an address that other nodes could dial", "write host:port as they reach it, or set listen.public_addresses")
	}
	if a := d.Consul.Address; a != "" {
		l.checkAgent(a)
	}
	if ca.CheckName("", d.Consul.Service) != nil {
		l.wrong("discovery.consul.service", fmt.Sprintf("%.80q is not a name", d.Consul.Service), "use 1 to 63 of a-z 0-9 . _ -, with a letter or digit at both ends")
	}
	for _, dc := range d.Consul.Datacenters {
		if dc == "" || strings.ContainsFunc(dc, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
		}) {
			l.wrong("discovery.consul.datacenters", fmt.Sprintf("%.80q is not a datacenter", dc), "use letters, digits, - and _")
		}
	}
	if least, most := 3*time.Second, 10*time.Minute; d.Consul.TTL < least || d.Consul.TTL > most {
		l.wrong("discovery.consul.ttl", fmt.Sprintf("%v is out of range", d.Consul.TTL), fmt.Sprintf("write a duration from %v to %v", least, most))
	}
	l.checkConsulFiles(d.Consul)
}

func (l *loader) checkAgent(address string) {
	scheme, rest, ok := strings.Cut(address, "://")
	switch {
	case !ok:
		if _, f := parseAddr(address, dialled); f != nil {
			l.wrong("discovery.consul.address", f.what, "write host:port, such as 127.0.0.1:8500")
		}
	case scheme == "unix" && filepath.IsAbs(rest):
	case (scheme == "http" || scheme == "https") && rest != "" && !strings.HasPrefix(rest, "/"):
	default:
		l.wrong("discovery.consul.address", fmt.Sprintf("%.80q is not an address of an agent", address), "write host:port, https://host:port or unix:///path")
	}
}

func (l *loader) checkConsulFiles(c Consul) {
	const section = "discovery.consul."
	if (c.CertFile == "") != (c.KeyFile == "") {
		missing := "key_file"
		if c.CertFile == "" {
			missing = "cert_file"
		}
		l.wrong(section+missing, "is missing", "give both files, or neither")
	}
	for _, f := range []struct{ key, path string }{{"ca_file", c.CAFile}, {"cert_file", c.CertFile}} {
		if f.path != "" {
			l.exists(section+f.key, f.path)
		}
	}
	for _, f := range []struct{ key, path string }{{"token_file", c.TokenFile}, {"key_file", c.KeyFile}} {
		if f.path == "" || !l.exists(section+f.key, f.path) {
			continue
		}
		if _, err := keyfile.ReadSecret(f.path); err != nil {
			l.wrong(section+f.key, err.Error(), "")
		}
	}
}

func (l *loader) checkLinkAddress(address string) {
	if address == "" {
		return
	}
	if _, f := parseAddr(address, dialled); f != nil {
		l.wrong("node.link_address", f.what, f.fix)
	}
}

// checkStateDir tells a state directory that is a file before it is needed.
func (l *loader) checkStateDir(dir string) {
	if dir == "" {
		return
	}
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		l.wrong("node.state_dir", dir+" is a file", "name a directory, which the node makes if need be")
	}
}
