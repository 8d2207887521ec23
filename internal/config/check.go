package config

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"trellis/internal/auth"
	"trellis/internal/ca"
	"trellis/internal/keyfile"
)

// check looks at what the settings mean, alone and together.
func (l *loader) check(now time.Time) {
	c := &l.loaded.Config
	l.checkNode(c.Node)
	l.checkLinkAddress(c.Node.LinkAddress)
	l.checkStateDir(c.Node.StateDir)
	l.checkListen(c.Listen)
	l.checkReach(c)
	l.checkWeb(c.Web, now)
	l.checkEdge(c.Edge)
	l.checkProtect(c.Protect)
	l.checkCluster(c, now)
	l.checkDiscovery(c)
	l.checkAuth(c.Auth)
	l.checkLiveKit(c.LiveKit)
	l.checkNumbers()
	l.oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	l.oneOf("log.format", c.Log.Format, "text", "json")
}

// wrong reports that the value of key is wrong, at the place it came from.
func (l *loader) wrong(key, what, fix string) {
	where := l.loaded.Origins[key]
	if where == originDefault { // nobody wrote it: point at where it could be
		section, _, _ := strings.Cut(key, ".")
		where = cmp.Or(l.sections[section], l.path)
	}
	l.problem(where, key, fault{what, fix})
}

// isDefault reports whether nobody set key, or only to a value that could not
// be read and was reported already.
func (l *loader) isDefault(key string) bool { return l.loaded.Origins[key] == originDefault }

func (l *loader) reported(key string) bool {
	return slices.ContainsFunc(l.invalid.Problems, func(p Problem) bool { return p.Key == key })
}

func (l *loader) oneOf(key, value string, allowed ...string) {
	if slices.Contains(allowed, value) {
		return
	}
	fix := suggest(value, allowed)
	if fix == "" {
		fix = "write one of " + strings.Join(allowed, ", ")
	}
	l.wrong(key, fmt.Sprintf("%q is not known", value), fix)
}

func (l *loader) checkNode(n Node) {
	for _, f := range []struct{ key, value, example string }{
		{"node.id", n.ID, "us-east-1"},
		{"node.region", n.Region, "us-east"},
		{"node.cluster", n.Cluster, "prod"},
	} {
		switch {
		case l.reported(f.key):
		case f.value == "":
			l.wrong(f.key, "is missing", "give it a name, such as "+f.example)
		case ca.CheckName("", f.value) != nil:
			l.wrong(f.key, fmt.Sprintf("%.80q is not a name", f.value), "use 1 to 63 of a-z 0-9 . _ -, with a letter or digit at both ends")
		}
	}
	if n.Provider != "" && ca.CheckName("", n.Provider) != nil {
		l.wrong("node.provider", fmt.Sprintf("%.80q is not a name", n.Provider), "use 1 to 63 of a-z 0-9 . _ -, with a letter or digit at both ends")
	}
}

func (l *loader) checkWeb(w Web, now time.Time) {
	switch {
	case (w.Cert == "") != (w.Key == ""):
		given, missing := "web.cert", "web.key"
		if w.Cert == "" {
			given, missing = missing, given
		}
		l.wrong(missing, "is missing", fmt.Sprintf("give both files, or leave out %s for a generated certificate", given))
	case w.Cert != "":
		if cert, key := l.exists("web.cert", w.Cert), l.exists("web.key", w.Key); cert && key {
			l.checkPair(w, now)
		}
	}
	for _, origin := range w.AllowedOrigins {
		if origin == "*" {
			continue
		}
		u, err := url.Parse(origin)
		if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") || u.Path != "" || u.RawQuery != "" || u.User != nil {
			l.wrong("web.allowed_origins", fmt.Sprintf("%q is not an origin", origin), "write scheme and host without a path, such as https://example.com, or *")
		}
	}
	for _, host := range w.Hosts {
		if strings.ContainsAny(host, "/ ") || host == "" || strings.Count(host, ":") == 1 {
			l.wrong("web.hosts", fmt.Sprintf("%q is not a host", host), "write a name or an IP address without a port")
		}
	}
}

func (l *loader) checkPair(w Web, now time.Time) {
	_, err := ca.LoadCertificate(w.Cert, w.Key, now)
	if exposed, ok := errors.AsType[*keyfile.ExposedError](err); ok {
		l.wrong("web.key", exposed.Error(), "")
	} else if err != nil {
		l.wrong("web.cert", err.Error(), "")
	}
}

// exists reports a file that is not there or cannot be read.
func (l *loader) exists(key, path string) bool {
	f, err := os.Open(path)
	if err == nil {
		err = f.Close()
	}
	switch {
	case err == nil:
		return true
	case errors.Is(err, os.ErrNotExist):
		l.wrong(key, fmt.Sprintf("no file %s", path), "relative paths begin at the file they are written in")
	default:
		l.wrong(key, err.Error(), "")
	}
	return false
}

func (l *loader) checkCluster(c *Config, now time.Time) {
	files := []struct{ key, path string }{
		{"cluster.cert", c.Cluster.Cert}, {"cluster.key", c.Cluster.Key}, {"cluster.ca", c.Cluster.CA},
	}
	given := slices.ContainsFunc(files, func(f struct{ key, path string }) bool { return f.path != "" })
	if !given {
		return
	}
	ok := true
	for _, f := range files {
		if f.path == "" {
			l.wrong(f.key, "is missing", "cluster.cert, cluster.key and cluster.ca belong together: trellis ca issue makes them")
			ok = false
			continue
		}
		ok = l.exists(f.key, f.path) && ok
	}
	if !ok {
		return
	}
	credentials, err := ca.LoadCredentials(c.Cluster.Cert, c.Cluster.Key, c.Cluster.CA, now)
	if exposed, ok := errors.AsType[*keyfile.ExposedError](err); ok {
		l.wrong("cluster.key", exposed.Error(), "")
		return
	}
	if err != nil {
		l.wrong("cluster.cert", err.Error(), "")
		return
	}
	id := credentials.Identity()
	for _, f := range []struct{ key, have, certified string }{
		{"node.id", c.Node.ID, id.Node},
		{"node.region", c.Node.Region, id.Region},
		{"node.cluster", c.Node.Cluster, id.Cluster},
	} {
		if f.have != f.certified {
			l.wrong(f.key, fmt.Sprintf("is %q, but the certificate %s is for %q", f.have, c.Cluster.Cert, f.certified), "let them agree: the certificate is for "+id.String())
		}
	}
}

func (l *loader) checkAuth(a Auth) {
	if a.Keys != "" && l.exists("auth.keys", a.Keys) {
		if _, err := auth.LoadKeySet(a.Keys, auth.KeySetOptions{AllowShared: a.AllowSharedKeys}); err != nil {
			l.wrong("auth.keys", err.Error(), "trellis token key makes a pair of key and key set")
		}
	}
	if a.Keys == "" {
		for _, key := range []string{"auth.issuer", "auth.audience", "auth.allow_shared_keys"} {
			if !l.isDefault(key) {
				l.wrong(key, "has no effect without auth.keys", "set auth.keys, or leave it out")
			}
		}
	}
}

func (l *loader) checkLiveKit(k LiveKit) {
	if k.Keys == "" {
		for _, key := range []string{"livekit.participants", "livekit.viewers", "livekit.joins_per_second"} {
			if !l.isDefault(key) {
				l.wrong(key, "has no effect without livekit.keys", "set livekit.keys, or leave it out")
			}
		}
		return
	}
	if l.exists("livekit.keys", k.Keys) {
		if _, err := auth.LoadAccessKeys(k.Keys); err != nil {
			l.wrong("livekit.keys", err.Error(), "write a line KEY: SECRET for each API key, and let only the owner read the file")
		}
	}
}

func (l *loader) checkNumbers() {
	c := &l.loaded.Config
	for _, f := range []struct {
		key      string
		v        int64
		min, max int64
	}{
		{"limits.sessions", int64(c.Limits.Sessions), 1, 1_000_000},
		{"limits.sessions_per_identity", int64(c.Limits.SessionsPerIdentity), 1, 1_000_000},
		{"edge.viewers", int64(c.Edge.Viewers), 0, 1_000_000},
		{"edge.egress_mbps", int64(c.Edge.EgressMbps), 0, 10_000_000},
		{"edge.egress_usd_per_tb", int64(c.Edge.EgressPrice), 0, 100_000},
		{"limits.connections", int64(c.Limits.Connections), 1, 1_000_000},
		{"limits.half_open", int64(c.Limits.HalfOpen), 1, 100_000},
		{"limits.broadcasts", int64(c.Limits.Broadcasts), 1, 10_000_000},
		{"limits.tracks", int64(c.Limits.Tracks), 1, 100_000},
		{"cache.groups", int64(c.Cache.Groups), 2, 100_000},
		{"limits.children", int64(c.Limits.Children), 0, 10_000},
		{"livekit.participants", int64(c.LiveKit.Participants), 1, 1_000},
		{"livekit.viewers", int64(c.LiveKit.Viewers), 1, 1_000_000},
		{"livekit.joins_per_second", int64(c.LiveKit.JoinsPerSecond), 1, 100_000},
	} {
		if f.v < f.min || f.v > f.max {
			l.wrong(f.key, fmt.Sprintf("%d is out of range", f.v), fmt.Sprintf("write a number from %d to %d", f.min, f.max))
		}
	}
	for _, f := range []struct {
		key         string
		v, min, max time.Duration
	}{
		{"node.shutdown", c.Node.Shutdown, 0, time.Hour},
		{"auth.leeway", c.Auth.Leeway, 0, 30 * time.Second},
		{"cache.retention", c.Cache.Retention, 100 * time.Millisecond, 30 * time.Second},
		{"cache.linger", c.Cache.Linger, 100 * time.Millisecond, 5 * time.Minute},
	} {
		if f.v < f.min || f.v > f.max {
			l.wrong(f.key, fmt.Sprintf("%v is out of range", f.v), fmt.Sprintf("write a duration from %v to %v", f.min, f.max))
		}
	}
	const atLeast = 32 << 20 // one group of the largest kind
	if c.Cache.TrackBytes < atLeast {
		l.wrong("cache.track_bytes", fmt.Sprintf("%v is too little for one group of video", c.Cache.TrackBytes), "write at least 32MiB")
	}
	if c.Cache.TotalBytes < c.Cache.TrackBytes {
		l.wrong("cache.total_bytes", fmt.Sprintf("%v is less than cache.track_bytes, %v", c.Cache.TotalBytes, c.Cache.TrackBytes), "write more than for one track")
	}
}

// parseAddr's uses.
const (
	listened = iota // port 0 is any port, no host is every address
	dialled         // both must be there
)

// addr is a host and port; an empty host is every address of the machine.
type addr struct {
	host string
	port int
}

// loopback reports whether nobody but this machine can reach a.
func (a addr) loopback() bool {
	if a.host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(a.host)
	return err == nil && ip.Unmap().IsLoopback()
}

// everywhere reports whether a is every address of the machine.
func (a addr) everywhere() bool {
	ip, err := netip.ParseAddr(a.host)
	return a.host == "" || err == nil && ip.IsUnspecified()
}

// clashes reports whether two listeners of one protocol cannot have a and b.
func (a addr) clashes(b addr) bool {
	return a.port == b.port && a.port != 0 && (a.host == b.host || a.everywhere() || b.everywhere())
}
