package config

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
)

// door is one listener.
type door struct {
	name     string
	key      string // the setting that its address came from
	text     string
	protocol string
	addr     addr
	ok       bool // addr is known
}

// doors lists the listeners; those that take their address from another
// setting are blamed on it.
func (l *loader) doors(c Listen) []door {
	key := func(own, text, other string) string {
		if text == "" {
			return other
		}
		return own
	}
	all := []door{
		{name: "quic", key: "listen.quic", text: c.QUIC, protocol: "udp"},
		{name: "http", key: key("listen.http", c.HTTP, "listen.quic"), text: c.HTTPAddr(), protocol: "tcp"},
		{name: "webrtc", key: "listen.webrtc", text: c.WebRTC, protocol: "udp"},
		{name: "webrtc_tcp", key: key("listen.webrtc_tcp", c.WebRTCTCP, "listen.webrtc"), text: c.WebRTCTCPAddr(), protocol: "tcp"},
		{name: "admin", key: "listen.admin", text: c.Admin, protocol: "tcp"},
	}
	for i := range all {
		d := &all[i]
		if d.text == Off {
			continue
		}
		a, f := parseAddr(d.text, listened)
		d.addr, d.ok = a, f == nil
	}
	return all
}

func (l *loader) checkListen(c Listen) {
	for _, f := range []struct {
		key, text string
		may       bool // may be left empty, or off
	}{
		{"listen.quic", c.QUIC, false},
		{"listen.http", c.HTTP, c.HTTP == ""},
		{"listen.webrtc", c.WebRTC, false},
		{"listen.webrtc_tcp", c.WebRTCTCP, c.WebRTCTCP == "" || c.WebRTCTCP == Off},
		{"listen.admin", c.Admin, c.Admin == Off},
	} {
		if f.may {
			continue
		}
		if _, fault := parseAddr(f.text, listened); fault != nil {
			l.wrong(f.key, fault.what, fault.fix)
		}
	}
	doors := l.doors(c)
	for i, a := range doors {
		for _, b := range doors[:i] {
			if !a.ok || !b.ok || a.protocol != b.protocol || !a.addr.clashes(b.addr) {
				continue
			}
			blamed, other := a.key, b.key
			if l.isDefault(blamed) { // whoever was given an address can be given another
				blamed, other = other, blamed
			}
			l.wrong(blamed, fmt.Sprintf("%s port %d is taken by %s", a.protocol, a.addr.port, other), "choose another port")
		}
	}
	for _, text := range c.PublicAddresses {
		if ip, err := netip.ParseAddr(text); err != nil || ip.IsUnspecified() {
			l.wrong("listen.public_addresses", fmt.Sprintf("%q is not an IP address", text), "write addresses without ports, such as 203.0.113.7")
		}
	}
}

// checkReach holds the rules about who can reach a node: nobody beyond the
// machine without keys, nobody beyond it to the admin interface, and no token
// over HTTP in the clear.
func (l *loader) checkReach(c *Config) {
	blamed := map[string]bool{}
	for _, d := range l.doors(c.Listen) {
		if !d.ok || d.addr.loopback() || blamed[d.key] {
			continue
		}
		switch {
		case d.name == "admin":
			l.wrong(d.key, d.text+" can be reached from elsewhere, and the admin interface asks for no password", "listen on loopback: 127.0.0.1:"+strconv.Itoa(d.addr.port))
		case c.Auth.Keys == "":
			blamed[d.key] = true
			l.wrong(d.key, d.text+" can be reached from elsewhere, but no auth.keys say who may use it", "set auth.keys (trellis token key makes them), or listen on loopback: 127.0.0.1:"+strconv.Itoa(d.addr.port))
		case d.name == "http" && c.Web.Cert == "" && !c.Web.PlainHTTP:
			l.wrong(d.key, d.text+" would take tokens over HTTP in the clear", "set web.cert and web.key; or web.plain_http behind a proxy that adds TLS; or listen.http on loopback")
		}
	}
}

// parseAddr reads "host:port".
func parseAddr(text string, use int) (addr, *fault) {
	const fix = "write host:port, such as 127.0.0.1:4443"
	host, portText, err := net.SplitHostPort(text)
	if err != nil {
		return addr{}, &fault{fmt.Sprintf("%q is not an address", text), fix}
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil || port == 0 && use == dialled {
		return addr{}, &fault{fmt.Sprintf("%q is not a port", portText), "write a number from 1 to 65535"}
	}
	if use == dialled {
		if host == "" {
			return addr{}, &fault{fmt.Sprintf("%q has no host", text), "write the host that other nodes reach it at"}
		}
		return addr{host, int(port)}, nil
	}
	if _, err := netip.ParseAddr(host); err != nil && host != "" && host != "localhost" {
		return addr{}, &fault{fmt.Sprintf("%q is not an IP address of this machine", host), "listen on an IP address, on localhost, or on every address: :" + portText}
	}
	return addr{host, int(port)}, nil
}
