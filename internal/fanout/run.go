package fanout

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// Config describes a comparison.
type Config struct {
	Load

	// Viewers are the audiences to measure, one after another.
	Viewers []int `json:"viewers"`
	// Peers are what to compare with, see Peers.
	Peers []string `json:"peers"`
	// Rounds is how often all are measured, in turns. Medians are reported.
	Rounds int `json:"rounds"`
	// Slice is how long each measurement takes.
	Slice time.Duration `json:"slice_ns"`
	// LiveKit is the directory of livekit-server, see livekit.Find.
	LiveKit string `json:"-"`
	// Self is the command that runs a process of this package: it is called with
	// ServerCommand or LoadCommand and their arguments.
	Self []string `json:"-"`
	// Profiles is a directory for profiles of our server, one for each measurement;
	// empty for none. They cost something themselves.
	Profiles string `json:"profiles,omitempty"`
	// Progress is told what is going on. May be nil.
	Progress func(string) `json:"-"`
}

// Measurement is one slice of one server with so many viewers.
type Measurement struct {
	Peer    string `json:"peer"`
	Viewers int    `json:"viewers"`
	Round   int    `json:"round"`
	// Invalid says why the figures are not to be used; empty if they are.
	Invalid string `json:"invalid,omitempty"`

	NsPerPacket float64 `json:"cpu_ns_per_packet"`
	Cores       float64 `json:"cores"`
	RSSKB       float64 `json:"rss_kb_per_viewer"`
	JoinMs      float64 `json:"join_cpu_ms"`
	P50Ms       float64 `json:"p50_ms"`
	P99Ms       float64 `json:"p99_ms"`
	LostPercent float64 `json:"lost_percent"`
	LoadCores   float64 `json:"load_cores"`
	Packets     uint64  `json:"packets"`
	// Latency is of frames, from when one was due to its last packet at a viewer.
	Latency *Histogram `json:"latency,omitempty"`
}

// What makes a measurement invalid: the load did not do its part.
const (
	maxPublishLate = 10.0 // ms, p99
	minPublished   = 0.98 // of the frames that were due
)

// Run measures all, in turns.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	if cfg.Kind == "" {
		cfg.Kind = WebRTC
	}
	for _, p := range cfg.Peers {
		if err := Check(p, PeersOf(cfg.Kind), cfg.LiveKit); err != nil {
			return nil, err
		}
	}
	r := newReport(cfg)
	for round := range cfg.Rounds {
		for _, n := range cfg.Viewers {
			order := append([]string{Ours}, cfg.Peers...)
			if round%2 == 1 {
				slices.Reverse(order)
			}
			for _, peer := range order {
				if cfg.Progress != nil {
					cfg.Progress(fmt.Sprintf("round %d of %d: %s, %d viewers", round+1, cfg.Rounds, peer, n))
				}
				m, err := cfg.measure(ctx, peer, n, round)
				if err != nil {
					return nil, fmt.Errorf("%s with %d viewers: %w", peer, n, err)
				}
				r.Measurements = append(r.Measurements, m)
			}
		}
	}
	r.conclude()
	return r, nil
}

// process is a child that answers lines.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func (cfg *Config) start(ctx context.Context, args ...string) (*process, error) {
	return start(ctx, cfg.Self, args...)
}

// start runs a process of this package; self is the command that does so.
func start(ctx context.Context, self []string, args ...string) (*process, error) {
	args = append(slices.Clone(self), args...)
	p := &process{cmd: exec.CommandContext(ctx, args[0], args[1:]...)} //nolint:gosec // it is ourselves
	p.cmd.Stderr = os.Stderr
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewReader(out)
	return p, p.cmd.Start()
}

func (p *process) close() error { return errors.Join(p.in.Close(), p.cmd.Wait()) }

// ask sends a line and reads the counts.
func (p *process) ask(line string) (Counts, error) {
	var c Counts
	if _, err := io.WriteString(p.in, line+"\n"); err != nil {
		return c, err
	}
	answer, err := p.out.ReadBytes('\n')
	if err != nil {
		return c, fmt.Errorf("the load ended: %w", err)
	}
	if err := json.Unmarshal(answer, &c); err != nil {
		return c, err
	}
	if c.Error != "" {
		return c, errors.New(c.Error)
	}
	return c, nil
}

// measure starts a server and a load, and looks at them for a slice.
func (cfg *Config) measure(ctx context.Context, peer string, n, round int) (m Measurement, err error) {
	m = Measurement{Peer: peer, Viewers: n, Round: round}
	server, err := cfg.start(ctx, ServerCommand, peer, cfg.LiveKit, cfg.arg())
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, server.close()) }()
	served, err := ReadServed(server.out)
	if err != nil {
		return m, err
	}
	w := witness{pid: served.PID}
	of := cfg.Load
	of.MoQ = served.MoQ
	join := func(publishes bool) (*process, error) {
		of.Publishes = publishes
		return cfg.start(ctx, LoadCommand, peer, served.URL, of.arg())
	}
	if peer != QUICBulk && peer != QUICFrames {
		if w.publisher, err = join(true); err != nil {
			return m, err
		}
		defer func() { err = errors.Join(err, w.publisher.close()) }()
	}
	if w.load, err = join(false); err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, w.load.close()) }()
	if peer == QUICBulk {
		n = 1 // there is no more to have
	}
	if _, err := w.load.ask("join 1"); err != nil { // the server's own memory is not the viewers'
		return m, err
	}
	pid := served.PID
	before, err := usage(pid)
	if err != nil {
		return m, err
	}
	if _, err := w.load.ask("join " + strconv.Itoa(n)); err != nil {
		return m, err
	}
	joined, err := usage(pid)
	if err != nil {
		return m, err
	}
	if err := settle(ctx, time.Second); err != nil {
		return m, err
	}
	if cfg.Profiles != "" && peer == Ours {
		if err := server.tell(fmt.Sprintf("profile %s", filepath.Join(cfg.Profiles, fmt.Sprintf("viewers-%d-round-%d", n, round+1)))); err != nil {
			return m, fmt.Errorf("profile: %w", err)
		}
		defer func() {
			if told := server.tell("profiled"); told != nil {
				err = errors.Join(err, fmt.Errorf("profile: %w", told))
			}
		}()
	}
	if err := cfg.slice(ctx, &m, w); err != nil {
		return m, err
	}
	if n > 1 {
		after, err := rssOf(pid)
		if err != nil {
			return m, err
		}
		m.RSSKB = (float64(after) - float64(before.rss)) / 1024 / float64(n-1)
		// While they joined, those that had joined were watching: half of them on average.
		watching := joined.wall.Sub(before.wall).Seconds() * m.Cores / 2
		m.JoinMs = max((joined.cpu-before.cpu).Seconds()-watching, 0) * 1e3 / float64(n-1)
	}
	return m, nil
}

// witness is what a measurement looks at.
type witness struct {
	pid             int // the server's
	load, publisher *process
}

// counts asks the load, and the publisher if there is one.
func (w *witness) counts() (Counts, error) {
	c, err := w.load.ask("counts")
	if err != nil || w.publisher == nil {
		return c, err
	}
	p, err := w.publisher.ask("counts")
	c.Published, c.LateP99Ms = p.Published, p.LateP99Ms
	return c, err
}

// slice is the measurement itself.
func (cfg *Config) slice(ctx context.Context, m *Measurement, w witness) error {
	if _, err := w.counts(); err != nil {
		return err
	}
	pid := w.pid
	from, err := usage(pid)
	if err != nil {
		return err
	}
	loadFrom, err := cpuOf(w.load.cmd.Process.Pid)
	if err != nil {
		return err
	}
	if err := settle(ctx, cfg.Slice); err != nil {
		return err
	}
	c, err := w.counts()
	if err != nil {
		return err
	}
	to, err := usage(pid)
	if err != nil {
		return err
	}
	loadTo, err := cpuOf(w.load.cmd.Process.Pid)
	if err != nil {
		return err
	}
	seconds := to.wall.Sub(from.wall).Seconds()
	m.Packets, m.Latency = c.Packets, c.Latency
	m.P50Ms, m.P99Ms = millis(c.Latency.Quantile(0.5)), millis(c.Latency.Quantile(0.99))
	m.Cores, m.LoadCores = (to.cpu-from.cpu).Seconds()/seconds, (loadTo-loadFrom).Seconds()/seconds
	if c.Packets == 0 {
		return errors.New("no packet came")
	}
	m.NsPerPacket = float64((to.cpu - from.cpu).Nanoseconds()) / float64(c.Packets)
	m.LostPercent = 100 * float64(c.Lost) / float64(c.Lost+c.Packets)
	every, _ := cfg.video()
	switch due := seconds / every.Seconds(); {
	case w.publisher == nil:
	case float64(c.Published) < minPublished*due-1:
		m.Invalid = fmt.Sprintf("the publisher wrote %d of %.0f frames", c.Published, due)
	case c.LateP99Ms > maxPublishLate:
		m.Invalid = fmt.Sprintf("the publisher was %.1f ms late (p99)", c.LateP99Ms)
	}
	return nil
}

// used is what a process has used so far.
type used struct {
	cpu  time.Duration
	rss  uint64
	wall time.Time
}

func usage(pid int) (u used, err error) {
	if u.cpu, err = cpuOf(pid); err != nil {
		return u, err
	}
	u.rss, err = rssOf(pid)
	u.wall = time.Now()
	return u, err
}

// settle waits, unless the run is interrupted.
func settle(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
