package fanout

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// SoakConfig describes a soak: one node in a process of its own, and clients in
// another, on real sockets and by the real clock.
type SoakConfig struct {
	SoakLoad

	// Length is how long clients come and go.
	Length time.Duration `json:"length_ns"`
	// Every is the time between two looks at the node.
	Every time.Duration `json:"every_ns"`
	// Self is the command that runs a process of this package, see Config.
	Self []string `json:"-"`
	// Profiles is a directory for profiles of the node's memory, after the warm-up and
	// after all have left; empty for none.
	Profiles string `json:"-"`
	// Progress is told what is going on. May be nil.
	Progress func(string) `json:"-"`
}

func (c SoakConfig) withDefaults() (SoakConfig, error) {
	c.Viewers = cmp.Or(c.Viewers, 20)
	c.Staying = cmp.Or(c.Staying, c.Viewers*2/5)
	c.Guests = cmp.Or(c.Guests, 2)
	c.Stay = cmp.Or(c.Stay, 80*time.Second)
	c.Every = cmp.Or(c.Every, min(10*time.Second, c.Length/12))
	c.Seed = cmp.Or(c.Seed, 1)
	if c.Progress == nil {
		c.Progress = func(string) {}
	}
	if c.Length < time.Minute || c.Viewers < 2 || c.Staying < 1 || c.Staying > c.Viewers {
		return c, fmt.Errorf("soak: %d viewers, %d of them staying, for %v: want a minute or more, two viewers or more, and one or more that stay",
			c.Viewers, c.Staying, c.Length)
	}
	c.Stay = min(c.Stay, c.Length/2)
	return c, nil
}

// warmUp is the part of a soak that its slope leaves out: buffers, pools and caches
// grow to what they need.
func (c SoakConfig) warmUp() time.Duration { return min(10*time.Minute, c.Length/4) }

// returnWithin is how long sessions, goroutines and files may take to be gone: clients
// that said nothing are given up after 8 s (rtc.Config), and tracks that nobody reads
// are kept for 5 s (relay.Config).
const returnWithin = 30 * time.Second

// Sample is one look at the node.
type Sample struct {
	At         time.Duration `json:"at_ns"`
	Heap       uint64        `json:"heap_bytes"` // after garbage collection
	Objects    uint64        `json:"heap_objects"`
	RSS        uint64        `json:"rss_bytes"`
	Goroutines int           `json:"goroutines"`
	FDs        int           `json:"fds"`
	WHIP       int           `json:"whip"`
	WHEP       int           `json:"whep"`
	MoQ        int           `json:"moq"`
	Broadcasts int           `json:"broadcasts"`
}

func (s Sample) sessions() int { return s.WHIP + s.WHEP + s.MoQ }

// soak is one run.
type soak struct {
	cfg    SoakConfig
	server *process
	served Served
	load   *process
	start  time.Time
	report SoakReport
}

// Soak runs one. The error says that it could not; what it found is in the report.
func Soak(ctx context.Context, cfg SoakConfig) (_ *SoakReport, err error) {
	if cfg, err = cfg.withDefaults(); err != nil {
		return nil, err
	}
	s := &soak{cfg: cfg, start: time.Now()}
	if s.server, err = start(ctx, cfg.Self, ServerCommand, Ours, "", Load{}.arg()); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.server.close()) }()
	if s.served, err = ReadServed(s.server.out); err != nil {
		return nil, err
	}
	cfg.MoQ = s.served.MoQ
	arg, err := json.Marshal(cfg.SoakLoad)
	if err != nil {
		return nil, err
	}
	if s.load, err = start(ctx, cfg.Self, SoakLoadCommand, s.served.URL, string(arg)); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.load.close()) }()
	s.report = SoakReport{
		Began: s.start.UTC().Truncate(time.Second), Config: cfg,
		Machine: fmt.Sprintf("%d processors, %s/%s, %s", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version()),
	}
	if err := s.run(ctx); err != nil {
		return nil, fmt.Errorf("soak: %w", err)
	}
	s.report.judge()
	return &s.report, nil
}

func (s *soak) run(ctx context.Context) error {
	if err := settle(ctx, time.Second); err != nil {
		return err
	}
	// The first look opens the connection over which all others are made.
	if _, err := s.look(ctx); err != nil {
		return err
	}
	var err error
	if s.report.Baseline, err = s.look(ctx); err != nil {
		return err
	}
	if _, err := s.ask("begin"); err != nil {
		return err
	}
	s.start = time.Now()
	before, err := s.cpu()
	if err != nil {
		return err
	}
	if err := s.watch(ctx); err != nil {
		return err
	}
	after, err := s.cpu()
	if err != nil {
		return err
	}
	for i := range after {
		s.report.Cores[i] = (after[i] - before[i]).Seconds() / time.Since(s.start).Seconds()
	}
	if _, err := s.ask("unwatch"); err != nil {
		return err
	}
	// While pictures still come: nothing else than their silence ends those who left
	// without a word.
	if err := s.until(ctx, s.report.watched); err != nil {
		return err
	}
	if s.report.Counts, err = s.ask("unpublish"); err != nil {
		return err
	}
	if err := s.until(ctx, s.report.left); err != nil {
		return err
	}
	if s.report.Drops, err = s.reasons(ctx); err != nil {
		return err
	}
	return s.memory("after")
}

// watch looks at the node until the time is over.
func (s *soak) watch(ctx context.Context) error {
	warm := false
	for {
		if err := settle(ctx, s.cfg.Every-time.Since(s.start)%s.cfg.Every); err != nil {
			return err
		}
		sample, err := s.look(ctx)
		if err != nil {
			return err
		}
		s.report.Samples = append(s.report.Samples, sample)
		c, err := s.ask("counts")
		if err != nil {
			return err
		}
		s.cfg.Progress(fmt.Sprintf("%v: heap %.2f MB, RSS %.1f MB, %d goroutines, %d fds, %d sessions; %d joined, %d packets, most wraps %d %s",
			sample.At.Round(time.Second), float64(sample.Heap)/1e6, float64(sample.RSS)/1e6, sample.Goroutines, sample.FDs, sample.sessions(),
			c.Joins, c.Packets, c.MostWraps, cmp.Or(c.Error, c.FirstWrong)))
		if !warm && sample.At >= s.cfg.warmUp() {
			warm = true
			if err := s.memory("warm"); err != nil {
				return err
			}
		}
		if sample.At >= s.cfg.Length {
			return nil
		}
	}
}

// until waits until nothing is left, by the latest look, but not for ever. How long it
// takes adds up.
func (s *soak) until(ctx context.Context, left func() []string) error {
	began := time.Now()
	for {
		var err error
		if s.report.After, err = s.look(ctx); err != nil {
			return err
		}
		if took := time.Since(began); len(left()) == 0 || took > returnWithin {
			s.report.ReturnedIn += took
			return nil
		}
		if err := settle(ctx, time.Second/2); err != nil {
			return err
		}
	}
}

// ask says a line to the clients' process.
func (s *soak) ask(line string) (c SoakCounts, err error) {
	if _, err := io.WriteString(s.load.in, line+"\n"); err != nil {
		return c, err
	}
	answer, err := s.load.out.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(answer, &c)
	}
	if err != nil {
		return c, fmt.Errorf("the clients' process ended: %w", err)
	}
	return c, nil
}

// look asks the node, and the kernel about it.
func (s *soak) look(ctx context.Context) (Sample, error) {
	m, err := s.server.look()
	if err != nil {
		return Sample{}, err
	}
	out := Sample{At: time.Since(s.start), Heap: m.Heap, Objects: m.Objects, Goroutines: m.Goroutines}
	if out.RSS, err = rssOf(s.served.PID); err != nil {
		return out, err
	}
	if out.FDs, err = fdsOf(s.served.PID); err != nil {
		return out, err
	}
	var status struct {
		Sessions   struct{ MoQ, WHIP, WHEP int }
		Broadcasts []json.RawMessage
	}
	err = s.get(ctx, "/v1/status", func(r io.Reader) error { return json.NewDecoder(r).Decode(&status) })
	out.WHIP, out.WHEP, out.MoQ, out.Broadcasts = status.Sessions.WHIP, status.Sessions.WHEP, status.Sessions.MoQ, len(status.Broadcasts)
	return out, err
}

func (s *soak) get(ctx context.Context, path string, read func(io.Reader) error) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.served.Admin+path, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	err = read(resp.Body)
	// What is left must be read for the connection to serve again.
	_, rest := io.Copy(io.Discard, resp.Body)
	return errors.Join(err, rest, resp.Body.Close())
}

// reasons reads the counters that have a reason, or another word for one, from the
// node's metrics (the text format of Prometheus), those that are not zero.
func (s *soak) reasons(ctx context.Context) (map[string]float64, error) {
	all := map[string]float64{}
	err := s.get(ctx, "/metrics", func(r io.Reader) error {
		lines := bufio.NewScanner(r)
		for lines.Scan() {
			name, value, ok := strings.Cut(lines.Text(), "} ")
			if !ok || !strings.HasPrefix(name, "trellis_") || !strings.Contains(name, "_total{") {
				continue
			}
			if v, err := strconv.ParseFloat(value, 64); err == nil && v != 0 {
				all[name+"}"] = v
			}
		}
		return lines.Err()
	})
	return all, err
}

func (s *soak) memory(when string) error {
	if s.cfg.Profiles == "" {
		return nil
	}
	return s.server.tell("memory " + filepath.Join(s.cfg.Profiles, when))
}

// cpu is what the node and the clients have used.
func (s *soak) cpu() (c [2]time.Duration, err error) {
	for i, pid := range []int{s.served.PID, s.load.cmd.Process.Pid} {
		if c[i], err = cpuOf(pid); err != nil {
			return c, err
		}
	}
	return c, nil
}
