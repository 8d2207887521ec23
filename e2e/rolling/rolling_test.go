//go:build e2e

package rolling

import (
	"errors"
	"fmt"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

const broadcast = "room/film"

// TestRollingRestart restarts six nodes one after the other, as an upgrade does,
// with a viewer by MoQ and one by WHEP at each. Two more stay: one has the publisher,
// and one is started last, the fresh node that an upgrade begins with. Nothing is
// lost between nodes, MoQ viewers lose nothing at all, and nobody reconnects twice.
func TestRollingRestart(t *testing.T) {
	c := newCluster(t, "n1", "n2", "n3", "n4", "n5", "n6", "origin", "fresh")
	six, origin, fresh := c.nodes[:6], c.nodes[6], c.nodes[7]
	for _, n := range c.nodes[:7] {
		n.start()
	}
	for _, n := range c.nodes[:7] {
		c.until(n.id+" is up", 30*time.Second, func() error { _, err := n.status(); return err })
	}
	c.start("publisher", "publish", "--clip", "vp8", fmt.Sprintf("moq://127.0.0.1:%d/%s", origin.quic, broadcast))
	for _, n := range c.nodes[:7] {
		c.until(n.id+" is linked", 30*time.Second, func() error { return n.linked(6, broadcast) })
	}

	viewers := map[string]*process{}
	for _, n := range six {
		viewers["moq at "+n.id] = c.start("moq-"+n.id, "watch", "--json", "--verbose", fmt.Sprintf("moq://127.0.0.1:%d/%s", n.quic, broadcast))
		viewers["whep at "+n.id] = c.start("whep-"+n.id, "watch", "--json", "--verbose", fmt.Sprintf("http://127.0.0.1:%d/whep/%s", n.quic, broadcast))
	}
	for _, n := range six {
		c.until("viewers are at "+n.id, 20*time.Second, func() error {
			s, err := n.status()
			if err == nil && (s.Sessions.MoQ != 1 || s.Sessions.WHEP != 1) {
				err = fmt.Errorf("%+v", s.Sessions)
			}
			return err
		})
	}

	// Clients go first to nodes that have run for less than half as long as the one
	// that they leave.
	c.until("the others have run for a while", time.Minute, func() error {
		s, err := six[0].status()
		if err == nil && s.Node.UptimeS < 20 {
			err = fmt.Errorf("%.0f s", s.Node.UptimeS)
		}
		return err
	})
	fresh.start()
	linkedAll := func() {
		for _, n := range c.nodes {
			c.until(n.id+" is linked to all", 30*time.Second, func() error {
				return errors.Join(n.linked(7, broadcast), n.sees(8))
			})
		}
	}
	linkedAll()
	lost := uint64(0)
	for _, n := range six {
		s, err := n.status()
		c.must(err)
		lost += s.lostBetweenNodes()
		n.process.signal(syscall.SIGTERM)
		took, err := c.end(n.process, shutdown+10*time.Second)
		if err != nil {
			t.Errorf("%s ended with %v", n.id, err)
		}
		// It has a viewer by WHEP, whom nobody can move: so it takes its time, and no
		// more. Ending what is left takes up to another second or two.
		if took > shutdown+3*time.Second {
			t.Errorf("%s took %v to stop, its deadline is %v", n.id, took, shutdown)
		}
		t.Logf("%s stopped after %v", n.id, took.Round(10*time.Millisecond))
		n.start()
		linkedAll()
	}
	at := map[string]int{}
	for _, n := range c.nodes {
		s, err := n.status()
		c.must(err)
		lost += s.lostBetweenNodes()
		at[n.id] = s.Sessions.MoQ + s.Sessions.WHEP
	}
	t.Logf("viewers and publishers are now at %v", at)

	missing, most, silence := int64(0), 0, 0.0
	for name, p := range viewers {
		p.signal(syscall.SIGINT)
		if _, err := c.end(p, 20*time.Second); err != nil {
			t.Errorf("%s ended with %v", name, err)
			continue
		}
		r := c.report(p)
		if r.Reconnects > 1 {
			t.Errorf("%s reconnected %d times", name, r.Reconnects)
			c.show(p)
		}
		most = max(most, r.Reconnects)
		if len(r.Tracks) != 2 {
			t.Errorf("%s received %d tracks", name, len(r.Tracks))
		}
		for _, track := range r.Tracks {
			t.Logf("%s: %d reconnects, %s %d frames, %d lost, longest silence %.0f ms", name, r.Reconnects, track.Kind, track.Objects, track.Lost, track.LongestSilenceMs)
			if r.Protocol == "moq" {
				missing += track.Lost
				silence = max(silence, track.LongestSilenceMs)
			}
		}
	}
	if lost > 0 || missing > 0 {
		t.Errorf("%d groups were lost between nodes, %d frames are missing at MoQ viewers", lost, missing)
	}
	t.Logf("rolling restart of 6 nodes with 12 viewers: objects lost between nodes %d, missing at MoQ viewers %d, at most %d reconnect per client, longest silence by MoQ %.0f ms",
		lost, missing, most, silence)
}

// TestSecondSignal: a node that drains for an hour if it is let ends within a second
// of the second signal, and says that it did not end in order.
func TestSecondSignal(t *testing.T) {
	c := newCluster(t, "a")
	n := c.nodes[0]
	n.process = c.start("a", "serve", "--config", c.dir+"/a.yaml", "--node-shutdown", "1h")
	c.until("it is up", 20*time.Second, func() error { _, err := n.status(); return err })
	c.start("publisher", "publish", "--clip", "vp8", fmt.Sprintf("http://127.0.0.1:%d/whip/%s", n.quic, broadcast))
	c.until("it has a client", 20*time.Second, func() error {
		s, err := n.status()
		if err == nil && s.Sessions.WHIP == 0 {
			err = errors.New("nobody publishes")
		}
		return err
	})
	n.process.signal(syscall.SIGTERM)
	c.until("it drains", 5*time.Second, func() error {
		s, err := n.status()
		if err == nil && s.Node.Ready {
			err = errors.New("it is ready")
		}
		return err
	})
	n.process.signal(syscall.SIGTERM)
	took, err := c.end(n.process, 10*time.Second)
	var exit *exec.ExitError
	if took > time.Second || !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("ended after %v with %v, want at once and with 1", took, err)
	}
	t.Logf("a second signal ended the node after %v", took.Round(time.Millisecond))
}
