package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"trellis/internal/ca"
	"trellis/internal/node"
)

// process is a node: `trellis serve` with a configuration of its own.
type process struct {
	id     string
	quic   netip.AddrPort // UDP, and TCP for HTTP
	webrtc netip.AddrPort
	admin  netip.AddrPort
	cmd    *exec.Cmd
	log    journal
	exited chan struct{}
}

// freePorts finds addresses that nobody listens on, for UDP and TCP. Somebody
// else may take one before the node does: then the run fails, and is repeated.
func freePorts(n int) ([]netip.AddrPort, error) {
	var all []netip.AddrPort
	for tries := 0; len(all) < n; tries++ {
		udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			return nil, err
		}
		defer udp.Close() //nolint:errcheck // it only keeps the port until all are found
		addr := udp.LocalAddr().(*net.UDPAddr).AddrPort()
		addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
		tcp, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(addr))
		if err != nil {
			if tries > 16*n {
				return nil, err
			}
			continue
		}
		defer tcp.Close() //nolint:errcheck // as above
		all = append(all, addr)
	}
	return all, nil
}

// configure writes what the node needs into dir.
func (p *process) configure(dir string, authority *ca.Authority, peers []string) error {
	credentials, err := authority.Issue(p.id, p.id, time.Hour, time.Now())
	if err != nil {
		return err
	}
	file := func(ext string) string { return filepath.Join(dir, p.id+ext) }
	if err := credentials.Save(file(".crt"), file(".key")); err != nil {
		return err
	}
	text := fmt.Sprintf(`node: {id: %[1]s, region: %[1]s, provider: loopback, cluster: failure, shutdown: 0s}
listen: {quic: "%[2]s", webrtc: "%[3]s", admin: "%[4]s"}
cluster: {cert: %[1]s.crt, key: %[1]s.key, ca: ca.crt}
discovery:
  peers:
%[5]slog: {level: info, format: json}
`, p.id, p.quic, p.webrtc, p.admin, strings.Join(peers, ""))
	return os.WriteFile(file(".yaml"), []byte(text), 0o600)
}

// start runs the node until ctx ends.
func (p *process) start(ctx context.Context, binary, dir string) error {
	p.cmd = exec.CommandContext(ctx, binary, "serve", "--config", filepath.Join(dir, p.id+".yaml"))
	p.cmd.Stderr = &p.log
	p.cmd.Stdout = &p.log
	if err := p.cmd.Start(); err != nil {
		return err
	}
	p.exited = make(chan struct{})
	go func() {
		_ = p.cmd.Wait() // it is killed sooner or later
		close(p.exited)
	}()
	return nil
}

func (p *process) signal(s os.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("%s: %w", p.id, err)
	}
	return nil
}

// stop ends the process, if it still runs.
func (p *process) stop() {
	if p.cmd == nil || p.cmd.Process == nil {
		return
	}
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.exited
}

// status asks the node.
func (p *process) status(ctx context.Context) (node.Status, error) {
	var s node.Status
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.admin.String()+"/v1/status", nil)
	if err != nil {
		return s, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return s, err
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	if resp.StatusCode != http.StatusOK {
		return s, fmt.Errorf("%s: %s", p.id, resp.Status)
	}
	return s, json.NewDecoder(resp.Body).Decode(&s)
}

const poll = 50 * time.Millisecond

// await asks the node until its status is as wanted.
func (p *process) await(ctx context.Context, what string, is func(node.Status) bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 15*time.Second, fmt.Errorf("%s: %s did not come about", p.id, what))
	defer cancel()
	for {
		if s, err := p.status(ctx); err == nil && is(s) {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-p.exited:
			return fmt.Errorf("%s has ended:\n%s", p.id, p.log.String())
		case <-time.After(poll):
		}
	}
}

// journal keeps what a node says.
type journal struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// maxJournal is more than a run says.
const maxJournal = 8 << 20

var errTalkative = errors.New("the node says too much")

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.buf.Len()+len(b) > maxJournal {
		return 0, errTalkative
	}
	return j.buf.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.String()
}

// entry is a line of a node's log.
type entry struct {
	Time time.Time `json:"time"`
	Msg  string    `json:"msg"`
	Peer string    `json:"peer"`
}

// first returns when the node first said something of a peer, after a time.
func (j *journal) first(msg, peer string, after time.Time) (time.Time, bool) {
	for line := range strings.Lines(j.String()) {
		var e entry
		if json.Unmarshal([]byte(line), &e) == nil && e.Msg == msg && e.Peer == peer && !e.Time.Before(after) {
			return e.Time, true
		}
	}
	return time.Time{}, false
}
