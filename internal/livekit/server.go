package livekit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// Server is a running livekit-server.
type Server struct {
	// URL is its base, with the scheme http.
	URL string
	// Media is where its UDP packets come from.
	Media netip.AddrPort

	cmd  *exec.Cmd
	said *tail
	done chan struct{}
	err  error // set when done is closed
}

// settings are livekit-server's own but for these: it is reached on loopback alone,
// by one UDP port, as ICE-lite, without TCP and TURN; and it only says what goes
// wrong. Data tracks and RED are off, because our node has neither. What ends the
// part of rtc is empty or sendSide.
const settings = `port: %d
bind_addresses: ["127.0.0.1"]
rtc:
  udp_port: %d
  tcp_port: 0
  node_ip: 127.0.0.1
  use_external_ip: false
  use_ice_lite: true
  enable_loopback_candidate: true
  interfaces:
    includes: ["%s"]
  ips:
    includes: ["127.0.0.1/32"]%s
audio:
  active_red_encoding: false
enable_data_tracks: false
logging:
  level: warn
  pion_level: error
keys:
  %s: %s
`

// sendSide lets the server estimate bandwidths itself, from transport-wide feedback.
// Otherwise it relies on those that receivers send (REMB).
const sendSide = `
  congestion_control:
    use_send_side_bwe: true`

const startLimit = 20 * time.Second

// Config are the settings that comparisons vary.
type Config struct {
	// SendSide turns on the server's own estimator of bandwidths, which its
	// defaults do not.
	SendSide bool
}

// Start starts a server, and returns when it answers. It ends with ctx, or when it
// is closed.
func Start(ctx context.Context, program string, cfg Config) (*Server, error) {
	lo, err := loopback()
	if err != nil {
		return nil, err
	}
	http, media, err := freePorts()
	if err != nil {
		return nil, err
	}
	s := &Server{
		URL:   fmt.Sprintf("http://127.0.0.1:%d", http),
		Media: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), media),
		said:  &tail{}, done: make(chan struct{}),
	}
	more := ""
	if cfg.SendSide {
		more = sendSide
	}
	config := fmt.Sprintf(settings, http, media, lo, more, apiKey, apiSecret)
	s.cmd = exec.CommandContext(ctx, program, "--config-body", config)
	s.cmd.Stdout, s.cmd.Stderr = s.said, s.said
	endWithUs(s.cmd)
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		s.err = s.cmd.Wait()
		close(s.done)
	}()
	if err := s.await(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// PID is the number of its process.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Done is closed when the server has ended.
func (s *Server) Done() <-chan struct{} { return s.done }

// Err says how it ended, with its last words, after Done.
func (s *Server) Err() error { return fmt.Errorf("livekit-server ended: %w: %s", s.err, s.said) }

// Close ends the server. It has nothing to lose.
func (s *Server) Close() error {
	err := s.cmd.Process.Kill()
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	<-s.done
	return err
}

// await asks until the server answers.
func (s *Server) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("livekit-server did not answer within %v", startLimit))
	defer cancel()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		if answers(ctx, s.URL) {
			return nil
		}
		select {
		case <-again.C:
		case <-s.done:
			return s.Err()
		case <-ctx.Done():
			return fmt.Errorf("%w: %s", context.Cause(ctx), s.said)
		}
	}
}

func answers(ctx context.Context, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return false
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, res.Body)
	return errors.Join(err, res.Body.Close()) == nil && res.StatusCode == http.StatusOK
}

// freePorts finds a TCP and a UDP port that nobody uses. Somebody may take them
// before the server does, which then says so and ends.
func freePorts() (tcp int, udp uint16, err error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0") //nolint:noctx // it does not block
	if err != nil {
		return 0, 0, err
	}
	c, err := net.ListenPacket("udp4", "127.0.0.1:0") //nolint:noctx // as above
	if err != nil {
		return 0, 0, errors.Join(err, l.Close())
	}
	at, err := netip.ParseAddrPort(l.Addr().String())
	media, mediaErr := netip.ParseAddrPort(c.LocalAddr().String())
	return int(at.Port()), media.Port(), errors.Join(err, mediaErr, l.Close(), c.Close())
}

// loopback names the interface: lo, lo0.
func loopback() (string, error) {
	all, err := net.Interfaces()
	if err != nil {
		return "", err
	}
	for _, i := range all {
		if i.Flags&net.FlagLoopback != 0 && i.Flags&net.FlagUp != 0 {
			return i.Name, nil
		}
	}
	return "", errors.New("no loopback interface is up")
}

// tail keeps the last of what a process says.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailBytes = 4 << 10

// Write implements io.Writer.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	if n := len(t.text) - tailBytes; n > 0 {
		t.text = append(t.text[:0], t.text[n:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.text))
}
