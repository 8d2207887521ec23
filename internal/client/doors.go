package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"trellis/edge/whip/whipclient"
)

// doors finds the nodes at which a broadcast may be watched.
type doors struct {
	learned

	cfg WatchConfig
}

// learned are the other nodes that a node has named.
type learned struct {
	conn Connection

	mu    sync.Mutex // guards what follows
	bases []string   // best first
}

// errNotLive is returned by a dialer when a node knows of no such broadcast.
var errNotLive = errors.New("the broadcast is not live")

const (
	learnLimit = 2 * time.Second
	maxLearned = 8
	maxAnswer  = 1 << 20
)

func (d *doors) dial(ctx context.Context, where string) (feed, error) {
	cfg := d.cfg
	var err error
	if cfg.Connection, err = cfg.at(where); err != nil {
		return nil, err
	}
	f, err := connect(ctx, cfg, false)
	var status *whipclient.StatusError
	if errors.As(err, &status) && status.Alternate == "" &&
		(status.Status == http.StatusConflict || status.Status == http.StatusNotFound) {
		return nil, fmt.Errorf("%w: %w", errNotLive, err)
	}
	return f, err
}

// at is the connection to another node, or the same one if where is empty.
func (c Connection) at(where string) (Connection, error) {
	if where == "" {
		return c, nil
	}
	endpoint, err := moved(c.Target.Endpoint, where)
	c.Target.Endpoint = endpoint
	return c, err
}

// moved is the same endpoint at another node. Nobody sends us from TLS into the
// clear.
func moved(endpoint, base string) (string, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return "", err
	}
	to, err := url.Parse(base)
	if err != nil || to.Host == "" || to.Scheme != "http" && to.Scheme != "https" {
		return "", errors.New("the node names no usable URL of another") // which may hold a token
	}
	if u.Scheme == "https" && to.Scheme != "https" {
		return "", fmt.Errorf("the node sends us to %s in the clear", to.Host)
	}
	u.Scheme, u.Host = to.Scheme, to.Host
	return u.String(), nil
}

func (l *learned) others() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bases
}

// learn asks the node for others, for the case that it goes without a word. Nodes
// that do not say are not worth a complaint.
func (l *learned) learn(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, learnLimit)
	defer cancel()
	all, err := l.conn.edges(ctx)
	if err != nil {
		l.conn.Log.Debug("other edges", slog.Any("err", err))
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bases = all
}

// edges asks the node which other nodes have the broadcast.
func (c Connection) edges(ctx context.Context) ([]string, error) {
	u, err := url.Parse(c.Target.Endpoint)
	if err != nil {
		return nil, err
	}
	u.Path, u.RawQuery = "/v1/edges", url.Values{"broadcast": {string(c.Target.Broadcast)}}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	client := c.whip().HTTP
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }() // read to its end or of no more use
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", resp.StatusCode)
	}
	var answer struct {
		Node  string
		Edges []struct {
			Node, URL, State string
		}
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&answer); err != nil {
		return nil, err
	}
	var bases []string
	for _, e := range answer.Edges {
		if e.URL != "" && e.Node != answer.Node && len(bases) < maxLearned {
			bases = append(bases, e.URL)
		}
	}
	return bases, nil
}
