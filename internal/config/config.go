package config

import (
	"net"
	"net/netip"
	"path/filepath"
	"time"
)

// Off turns a listener off that would otherwise have a default address.
const Off = "off"

// Config is all settings of a node. Paths in it are absolute, or relative to
// the working directory.
type Config struct {
	Node      Node      `key:"node"`
	Listen    Listen    `key:"listen"`
	Web       Web       `key:"web"`
	Edge      Edge      `key:"edge"`
	Cluster   Cluster   `key:"cluster"`
	Discovery Discovery `key:"discovery"`
	Auth      Auth      `key:"auth"`
	LiveKit   LiveKit   `key:"livekit"`
	Protect   Protect   `key:"protect"`
	Limits    Limits    `key:"limits"`
	Cache     Cache     `key:"cache"`
	Log       Log       `key:"log"`
}

// Node says who the node is.
type Node struct {
	ID       string        `key:"id" doc:"name of this node, unique in the cluster"`
	Region   string        `key:"region" doc:"where it stands; nodes of a region fail together"`
	Provider string        `key:"provider" doc:"who runs the machine; nodes of a provider may fail together"`
	Cluster  string        `key:"cluster" doc:"name of the cluster, the same on all its nodes"`
	Shutdown time.Duration `key:"shutdown" doc:"how long a stopping node may take to say goodbye"`
	StateDir string        `key:"state_dir" doc:"directory for what the node keeps over restarts; it alone writes there"`

	LinkAddress string `key:"link_address" doc:"host:port at which other nodes reach it; empty: listen.quic, at the first of listen.public_addresses if need be"`
}

// LinkAddr returns where other nodes reach the node, or "" if that cannot be told.
func (c Config) LinkAddr() string {
	if c.Node.LinkAddress != "" {
		return c.Node.LinkAddress
	}
	host, port, err := net.SplitHostPort(c.Listen.QUIC)
	if err != nil || port == "0" {
		return ""
	}
	ip, err := netip.ParseAddr(host)
	if err == nil && !ip.IsUnspecified() || host == "localhost" {
		return c.Listen.QUIC
	}
	if len(c.Listen.PublicAddresses) == 0 {
		return ""
	}
	return net.JoinHostPort(c.Listen.PublicAddresses[0], port)
}

// Listen says where the node can be reached.
type Listen struct {
	QUIC            string   `key:"quic" doc:"UDP address for MoQ over WebTransport and for other nodes"`
	HTTP            string   `key:"http" doc:"TCP address for WHIP, WHEP and pages; empty: that of listen.quic"`
	WebRTC          string   `key:"webrtc" doc:"UDP address for WebRTC media"`
	WebRTCTCP       string   `key:"webrtc_tcp" doc:"TCP address for WebRTC media where UDP is blocked; empty: that of listen.webrtc; off: none"`
	Admin           string   `key:"admin" doc:"TCP address for health, metrics and status, on loopback; off: none"`
	PublicAddresses []string `key:"public_addresses" doc:"IP addresses at which clients reach a node behind address translation"`
}

// Web says how browsers meet the node.
type Web struct {
	Cert           string   `key:"cert" doc:"file with the certificate for browsers, its chain after it; empty: one is generated"`
	Key            string   `key:"key" doc:"file with the key of web.cert"`
	Hosts          []string `key:"hosts" doc:"names and addresses in a generated certificate"`
	AllowedOrigins []string `key:"allowed_origins" doc:"origins of pages that may use this node beside its own, such as https://example.com; * for all"`
	PlainHTTP      bool     `key:"plain_http" doc:"serve HTTP without TLS beyond loopback: only behind a proxy that adds it"`
}

// Cluster holds the files that prove the node to other nodes.
type Cluster struct {
	Cert string `key:"cert" doc:"file with this node's certificate, from trellis ca issue"`
	Key  string `key:"key" doc:"file with its key"`
	CA   string `key:"ca" doc:"file with the certificate of the cluster's authority"`
}

// Configured reports whether the node takes part in a backbone.
func (c Cluster) Configured() bool { return c.Cert != "" }

// Discovery says which other nodes there are.
type Discovery struct {
	Kind         string `key:"kind" doc:"static: the nodes are listed here; consul: they find each other there"`
	Peers        []Peer `key:"peers" doc:"the other nodes; this one may be among them"`
	File         string `key:"file" doc:"file with such a list, read again when it changes"`
	SnapshotFile string `key:"snapshot_file" doc:"where the last good list of nodes is kept over restarts; empty: peers.json in node.state_dir"`
	Consul       Consul `key:"consul"`
}

// Kinds of discovery.
const (
	KindStatic = "static"
	KindConsul = "consul"
)

// Consul says how to reach Consul. What is left empty comes from Consul's own
// CONSUL_ variables.
type Consul struct {
	Address     string        `key:"address" doc:"agent, as host:port, http://..., https://... or unix://...; empty: CONSUL_HTTP_ADDR, or localhost:8500"`
	Service     string        `key:"service" doc:"name of the service that all nodes register"`
	Datacenters []string      `key:"datacenters" doc:"datacenters to look for nodes in; empty: all that are joined"`
	TTL         time.Duration `key:"ttl" doc:"how long Consul believes that the node lives without hearing of it"`
	TokenFile   string        `key:"token_file" doc:"file with the ACL token, read again when needed; empty: CONSUL_HTTP_TOKEN_FILE or CONSUL_HTTP_TOKEN"`
	CAFile      string        `key:"ca_file" doc:"file with the authority of its certificate; empty: CONSUL_CACERT"`
	CertFile    string        `key:"cert_file" doc:"file with our certificate for it; empty: CONSUL_CLIENT_CERT"`
	KeyFile     string        `key:"key_file" doc:"file with the key of cert_file; empty: CONSUL_CLIENT_KEY"`
	ServerName  string        `key:"server_name" doc:"name in its certificate; empty: CONSUL_TLS_SERVER_NAME, or the host of the address"`
}

// SnapshotPath returns where the list of nodes is kept, or "".
func (c Config) SnapshotPath() string {
	if c.Discovery.SnapshotFile != "" || c.Node.StateDir == "" {
		return c.Discovery.SnapshotFile
	}
	return filepath.Join(c.Node.StateDir, "peers.json")
}

// Peer is another node of the cluster.
type Peer struct {
	ID       string `key:"id"`
	Region   string `key:"region"`
	Provider string `key:"provider"`
	Addr     string `key:"addr"`
}

// Auth says whose tokens are believed.
type Auth struct {
	Keys            string        `key:"keys" doc:"file with the public keys of tokens, a JWK Set; empty: everybody may do everything, on loopback only"`
	Issuer          string        `key:"issuer" doc:"required \"iss\" of tokens, if not empty"`
	Audience        string        `key:"audience" doc:"required among \"aud\" of tokens, if not empty"`
	Leeway          time.Duration `key:"leeway" doc:"how far clocks may disagree, at most 30s"`
	AllowSharedKeys bool          `key:"allow_shared_keys" doc:"accept HS256 keys, with which every node could also sign"`
}

// Limits bound what clients may take.
type Limits struct {
	Sessions            int `key:"sessions" doc:"WebRTC sessions on this node"`
	SessionsPerIdentity int `key:"sessions_per_identity" doc:"WebRTC sessions of one holder of tokens"`
	Connections         int `key:"connections" doc:"WebTransport connections on this node"`
	HalfOpen            int `key:"half_open" doc:"unfinished QUIC handshakes from which on clients must prove their address"`
	Broadcasts          int `key:"broadcasts" doc:"broadcasts that this node knows"`
	Tracks              int `key:"tracks" doc:"tracks of one broadcast"`
	Children            int `key:"children" doc:"other nodes that it sends one track to; 0: none, it does not relay"`
}

// LiveKit says who may join by the SDKs of LiveKit, to watch.
type LiveKit struct {
	Keys           string `key:"keys" doc:"file with the API keys of LiveKit's access tokens, a line KEY: SECRET for each, for its owner's eyes only; empty: no LiveKit here"`
	Participants   int    `key:"participants" doc:"broadcasts that are shown of a room"`
	Viewers        int    `key:"viewers" doc:"clients in a room on this node"`
	JoinsPerSecond int    `key:"joins_per_second" doc:"clients that may join this node within a second"`
}

// Cache bounds what is kept for late joiners and repairs.
type Cache struct {
	Retention  time.Duration `key:"retention" doc:"how long a group stays after a newer one began, at most 30s"`
	Linger     time.Duration `key:"linger" doc:"how long a track is kept open without a subscriber"`
	Groups     int           `key:"groups" doc:"groups kept of one track"`
	TrackBytes Size          `key:"track_bytes" doc:"bytes kept of one track"`
	TotalBytes Size          `key:"total_bytes" doc:"bytes kept of all tracks"`
}

// Log says what is logged, and how.
type Log struct {
	Level  string `key:"level" doc:"debug, info, warn or error"`
	Format string `key:"format" doc:"text or json"`
}

// Default returns the settings of a node that was told nothing. A node also
// needs an id and a region.
func Default() Config {
	return Config{
		Node:   Node{Cluster: "local", Shutdown: 10 * time.Second},
		Listen: Listen{QUIC: "127.0.0.1:4443", WebRTC: "127.0.0.1:4444", Admin: "127.0.0.1:4480"},
		Web:    Web{Hosts: []string{"localhost", "127.0.0.1", "::1"}},
		Discovery: Discovery{
			Kind:   KindStatic,
			Consul: Consul{Service: "trellis", TTL: 15 * time.Second},
		},
		Auth:    Auth{Leeway: 10 * time.Second},
		LiveKit: LiveKit{Participants: 64, Viewers: 10_000, JoinsPerSecond: 200},
		Protect: Protect{Video: "warm", Audio: "hot", Data: "hot"},
		Limits: Limits{
			Sessions: 10_000, SessionsPerIdentity: 1_000, Connections: 10_000,
			HalfOpen: 256, Broadcasts: 100_000, Tracks: 256, Children: 32,
		},
		Cache: Cache{
			Retention: 5 * time.Second, Linger: 5 * time.Second,
			Groups: 128, TrackBytes: 64 << 20, TotalBytes: 2 << 30,
		},
		Log: Log{Level: "info", Format: "text"},
	}
}

// HTTPAddr returns where HTTP is served.
func (l Listen) HTTPAddr() string {
	if l.HTTP == "" {
		return l.QUIC
	}
	return l.HTTP
}

// WebRTCTCPAddr returns where WebRTC over TCP is served, or Off.
func (l Listen) WebRTCTCPAddr() string {
	if l.WebRTCTCP == "" {
		return l.WebRTC
	}
	return l.WebRTCTCP
}
