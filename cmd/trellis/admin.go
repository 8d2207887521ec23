package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// adminDoor is where a node on this machine takes commands.
type adminDoor struct {
	addr string
	http http.Client
}

const (
	defaultAdmin = "127.0.0.1:4480" // listen.admin's default
	// adminTimeout bounds one request: a node answers at once, or not at all.
	adminTimeout   = 5 * time.Second
	maxAdminAnswer = 16 << 20
)

// adminFlag gives cmd a flag for the node's address, and returns what is there
// once flags are parsed.
func (a *app) adminFlag(cmd *cobra.Command) func() *adminDoor {
	addr := cmd.Flags().String("admin", "", "`ADDRESS` of the node's admin interface (default TRELLIS_LISTEN_ADMIN, or "+defaultAdmin+")")
	return func() *adminDoor {
		d := &adminDoor{addr: *addr, http: http.Client{Timeout: adminTimeout}}
		for _, e := range a.env {
			if v, ok := strings.CutPrefix(e, "TRELLIS_LISTEN_ADMIN="); ok && d.addr == "" {
				d.addr = v
			}
		}
		if d.addr == "" {
			d.addr = defaultAdmin
		}
		return d
	}
}

// errNoNode says that nothing listens where a node was expected.
var errNoNode = errors.New("no node takes commands there")

// ask makes a request and decodes the answer into v.
func (d *adminDoor) ask(ctx context.Context, method, path string, query url.Values, v any) error {
	u := url.URL{Scheme: "http", Host: d.addr, Path: path, RawQuery: query.Encode()}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), http.NoBody)
	if err != nil {
		return err
	}
	resp, err := d.http.Do(req)
	if err != nil {
		if errors.Is(err, syscall.ECONNREFUSED) {
			err = errNoNode
		}
		return fmt.Errorf("%s of %s: %w", path, d.addr, err)
	}
	defer func() { _ = resp.Body.Close() }() // read to its end or of no more use
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAdminAnswer))
	if err != nil {
		return fmt.Errorf("%s of %s: %w", path, d.addr, err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s of %s: %s: %s", path, d.addr, resp.Status, strings.TrimSpace(string(body)))
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("%s of %s: %w", path, d.addr, err)
	}
	return nil
}
