package client

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"trellis/wire"
)

// Protocol is how a client talks to a node.
type Protocol string

// The protocols. Which of WHIP and WHEP it is depends on what is done.
const (
	WHIP Protocol = "whip"
	WHEP Protocol = "whep"
	MoQ  Protocol = "moq"
)

// ErrTarget is wrapped by errors about the address of a broadcast.
var ErrTarget = errors.New("unusable URL")

// Target is where a broadcast is published or watched.
type Target struct {
	Protocol Protocol
	// Endpoint is the WHIP or WHEP endpoint, or the MoQ session's address. It
	// carries no token.
	Endpoint string
	// Broadcast is the name.
	Broadcast wire.Broadcast
	// Token was in the URL's query as "jwt", empty if there was none.
	Token string
}

// ParseTarget understands these forms, where the path after the door is the name
// of the broadcast:
//
//	http(s)://host/whip/room/alice    WHIP
//	http(s)://host/whep/room/alice    WHEP
//	moqs://host:port/room/alice       MoQ over WebTransport
//	moq://host:port/room/alice        the same, for development: the certificate's
//	                                  hash is fetched in the clear
//	http(s)://host:port/room/alice    MoQ, when protocol says so
//
// protocol overrides what the URL says; empty leaves it to the URL.
func ParseTarget(raw string, protocol Protocol) (Target, error) {
	u, err := url.Parse(raw)
	if err != nil {
		// The error of url.Parse quotes the URL, which may hold a token.
		return Target{}, fmt.Errorf("%w: cannot be parsed", ErrTarget)
	}
	if u.Host == "" {
		return Target{}, fmt.Errorf("%w: no host in %q", ErrTarget, u.Path)
	}
	t := Target{Token: u.Query().Get("jwt")}
	door, name, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	scheme := u.Scheme
	switch {
	case scheme == "moq" || scheme == "moqs":
		scheme = map[string]string{"moq": "http", "moqs": "https"}[scheme]
		if protocol != "" && protocol != MoQ {
			return Target{}, fmt.Errorf("%w: scheme %s is not for %s", ErrTarget, u.Scheme, protocol)
		}
		t.Protocol = MoQ
	case scheme != "http" && scheme != "https":
		return Target{}, fmt.Errorf("%w: scheme %q; want https, http, moqs or moq", ErrTarget, scheme)
	case protocol != "":
		t.Protocol = protocol
	case door == string(WHIP) || door == string(WHEP):
		t.Protocol = Protocol(door)
	default:
		return Target{}, fmt.Errorf("%w: neither /whip/ nor /whep/ in %q; give the protocol", ErrTarget, u.Path)
	}
	switch t.Protocol {
	case WHIP, WHEP:
		if door == string(WHIP) || door == string(WHEP) {
			// One URL serves for publishing and for watching: the door is what differs.
			u.Path = "/" + string(t.Protocol) + "/" + name
		} else {
			name = strings.TrimPrefix(u.Path, "/")
			u.Path = "/" + string(t.Protocol) + "/" + name
		}
		u.RawPath = ""
		t.Endpoint = (&url.URL{Scheme: scheme, Host: u.Host, Path: u.Path}).String()
	case MoQ:
		name = strings.TrimPrefix(u.Path, "/")
		t.Endpoint = (&url.URL{Scheme: scheme, Host: u.Host, Path: "/"}).String()
	default:
		return Target{}, fmt.Errorf("%w: protocol %q; want whip, whep or moq", ErrTarget, protocol)
	}
	if t.Broadcast, err = wire.ParseBroadcast(name); err != nil {
		return Target{}, fmt.Errorf("%w: %w", ErrTarget, err)
	}
	return t, nil
}
