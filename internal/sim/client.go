package sim

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"trellis/edge/moq/moqclient"
	"trellis/edge/whip/whipclient"
)

// Door says where a node's doors are, for clients.
type Door struct {
	MoQ  netip.AddrPort // UDP
	HTTP netip.AddrPort // TCP: WHIP and WHEP
}

// Client is a machine of a user's, at one door. What runs on it are the clients
// of the operator's tools, which know nothing of the simulation.
type Client struct {
	host  *Host
	door  Door
	token string
	clock clock // that it stamps what it publishes with

	mu         sync.Mutex
	transports []*quic.Transport
	http       *http.Transport
}

// NewClient puts a client onto a host. How far it is from the door is the
// network's business.
func NewClient(h *Host, door Door, token string) *Client {
	return &Client{host: h, door: door, token: token, http: &http.Transport{DialContext: h.DialContext}}
}

// StepClock puts the machine's clock forward, or back.
func (c *Client) StepClock(by time.Duration) { c.clock.ahead.Add(int64(by)) }

// Host returns the client's machine.
func (c *Client) Host() *Host { return c.host }

// Close closes what the client's sessions have left open: sockets.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.http.CloseIdleConnections()
	for _, t := range c.transports {
		if err := t.Close(); err != nil {
			return err
		}
		if err := t.Conn.Close(); err != nil {
			return err
		}
	}
	c.transports = nil
	return nil
}

// HTTP makes requests from the host.
func (c *Client) HTTP() *http.Client { return &http.Client{Transport: c.http} }

// moq opens a MoQ session.
func (c *Client) moq(ctx context.Context) (*moqclient.Session, error) {
	return moqclient.Dial(ctx, moqclient.Config{
		URL:      "https://" + c.door.MoQ.String() + "/?jwt=" + c.token,
		Insecure: true, // in a simulation nobody is in the middle
		DialQUIC: c.DialQUIC,
	})
}

// DialQUIC connects from a socket of its own.
func (c *Client) DialQUIC(ctx context.Context, addr string, tlsConf *tls.Config, conf *quic.Config) (*quic.Conn, error) {
	to, err := c.host.Net().ResolveUDPAddr("udp", addr)
	if err != nil {
		return nil, err
	}
	socket, err := c.host.ListenUDP(0)
	if err != nil {
		return nil, err
	}
	t := &quic.Transport{Conn: socket}
	c.mu.Lock()
	c.transports = append(c.transports, t)
	c.mu.Unlock()
	return t.DialEarly(ctx, to, tlsConf, conf)
}

// webRTC is what WHIP and WHEP have in common.
func (c *Client) webRTC(prefix, broadcast string) whipclient.Config {
	return whipclient.Config{
		URL:   fmt.Sprintf("http://%v/%s/%s", c.door.HTTP, prefix, strings.TrimPrefix(broadcast, "/")),
		Token: c.token,
		HTTP:  c.HTTP(),
		Net:   c.host.Net(),
		Clock: c.clock.now,
	}
}
