package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"trellis/internal/node"
)

func (a *app) drainCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "drain",
		Short: "Send the clients and children of a node away, within a deadline; the node stays",
		Long: "The node says that it is not ready, refuses newcomers and names them another node, moves other nodes to other\n" +
			"parents before they leave it, and asks clients to go. What is left at the deadline is ended. Then the node does\n" +
			"nothing until trellis undrain, or until it is stopped. On a node that drains already, the deadline is set anew.",
		Example: "  trellis drain --deadline 2m --wait && systemctl restart trellis",
		Args:    cobra.NoArgs,
	}
	f := cmd.Flags()
	door := a.adminFlag(cmd)
	deadline := f.Duration("deadline", 30*time.Second, "how long it may take")
	wait := f.Bool("wait", false, "wait until the node is drained, and show what remains")
	asJSON := f.Bool("json", false, "end with one JSON object on standard output")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *deadline < 0 {
			return usagef("--deadline %v: must not be negative", *deadline)
		}
		d := door()
		var s node.DrainStatus
		err := d.ask(cmd.Context(), http.MethodPost, "/v1/drain", url.Values{"deadline": {deadline.String()}}, &s)
		if err == nil && *wait {
			s, err = a.awaitDrained(cmd.Context(), d, s)
		}
		if err != nil {
			return err
		}
		return showDrain(cmd.OutOrStdout(), s, *asJSON)
	}
	return cmd
}

func (a *app) undrainCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "undrain",
		Short: "Let a node that was drained serve again",
		Args:  cobra.NoArgs,
	}
	door := a.adminFlag(cmd)
	asJSON := cmd.Flags().Bool("json", false, "end with one JSON object on standard output")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var s node.DrainStatus
		if err := door().ask(cmd.Context(), http.MethodPost, "/v1/undrain", nil, &s); err != nil {
			return err
		}
		return showDrain(cmd.OutOrStdout(), s, *asJSON)
	}
	return cmd
}

// drainPoll is how often a waiting command asks how far the node is.
const drainPoll = 250 * time.Millisecond

// awaitDrained waits until the node is drained, or gone. Somebody else may have
// it serve again meanwhile.
func (a *app) awaitDrained(ctx context.Context, d *adminDoor, s node.DrainStatus) (node.DrainStatus, error) {
	line := newStatusLine(a.stderr, time.Duration(s.DeadlineS*float64(time.Second)))
	defer line.close()
	ticker := time.NewTicker(drainPoll)
	defer ticker.Stop()
	for s.State == node.Draining {
		line.show(fmt.Sprintf("draining: %s, %.0f s left", remains(s.Remaining), s.LeftS), s.DeadlineS-s.LeftS)
		select {
		case <-ctx.Done():
			return s, fmt.Errorf("the node goes on draining: %w", context.Cause(ctx))
		case <-ticker.C:
		}
		var now node.DrainStatus
		switch err := d.ask(ctx, http.MethodGet, "/v1/drain", nil, &now); {
		case errors.Is(err, errNoNode):
			return s, fmt.Errorf("the node ended while it drained, with %s left", remains(s.Remaining))
		case err != nil:
			return s, err
		}
		s = now
	}
	if s.State != node.Drained {
		return s, errors.New("somebody has the node serve again")
	}
	return s, nil
}

func remains(r node.Remaining) string {
	return fmt.Sprintf("%d children, %d viewers, %d publishers", r.Children, r.Viewers, r.Publishers)
}

func showDrain(w io.Writer, s node.DrainStatus, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(s)
	}
	var text string
	switch s.State {
	case node.Draining:
		text = fmt.Sprintf("draining: %s, %.0f s left", remains(s.Remaining), s.LeftS)
	case node.Drained:
		text = fmt.Sprintf("drained in %.1f s; ended at the deadline: %s", s.TookS, remains(s.Ended))
	case node.Serving:
		text = "serving: " + remains(s.Remaining)
	}
	_, err := fmt.Fprintln(w, text)
	return err
}
