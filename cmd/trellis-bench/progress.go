package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"trellis/internal/sim/world"
)

// progress shows how far a run is: one line that is written over on a terminal,
// else a line now and then. Its clock is the real one, so it must be made outside
// of the bubble.
type progress struct {
	w     io.Writer
	tty   bool
	began time.Time
	quit  chan struct{}
	done  chan struct{}

	mu   sync.Mutex
	last world.Progress
	line string
}

func newProgress(f *os.File) *progress {
	p := &progress{w: f, tty: term.IsTerminal(int(f.Fd())), began: time.Now(), quit: make(chan struct{}), done: make(chan struct{})}
	go p.run()
	return p
}

// set is called from within the bubble. It never waits.
func (p *progress) set(s world.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = s
}

func (p *progress) run() {
	defer close(p.done)
	every := 10 * time.Second
	if p.tty {
		every = 250 * time.Millisecond
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-p.quit:
			return
		case <-tick.C:
			p.show()
		}
	}
}

func (p *progress) show() {
	p.mu.Lock()
	s := p.last
	p.mu.Unlock()
	took := time.Since(p.began)
	line := fmt.Sprintf("%6s  %-28s", took.Round(time.Second), s.Phase)
	if s.Of > 0 {
		line += fmt.Sprintf(" %3.0f %% of %v simulated", 100*s.Virtual.Seconds()/s.Of.Seconds(), s.Of.Round(time.Second))
		if left := took.Seconds() * (s.Of.Seconds()/max(s.Virtual.Seconds(), 0.1) - 1); s.Virtual > 3*time.Second {
			line += fmt.Sprintf(", about %v left", time.Duration(left*float64(time.Second)).Round(time.Second))
		}
	}
	if s.Viewers > 0 {
		line += fmt.Sprintf(", %d viewers", s.Viewers)
	}
	if p.tty {
		_, _ = fmt.Fprintf(p.w, "\r\x1b[K%s", line) // progress that nobody reads is no error
		return
	}
	if line != p.line {
		p.line = line
		_, _ = fmt.Fprintln(p.w, line)
	}
}

// end stops the showing and says how long it took.
func (p *progress) end() time.Duration {
	close(p.quit)
	<-p.done
	if p.tty {
		_, _ = fmt.Fprint(p.w, "\r\x1b[K")
	}
	return time.Since(p.began)
}
