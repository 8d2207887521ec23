package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// crowdCommand is the first argument of a process that is a crowd of viewers.
const crowdCommand = "crowd"

// crowdCounts is what all viewers of a crowd have received so far. Ages are in
// microseconds, of what came since the counts before.
type crowdCounts struct {
	Frames  uint64  `json:"frames"`
	Packets uint64  `json:"packets"`
	Bytes   uint64  `json:"bytes"`
	Lost    uint64  `json:"lost"`
	AgeP50  float64 `json:"age_p50_us"`
	AgeP99  float64 `json:"age_p99_us"`
}

// crowd is a process of viewers. It answers every line with its counts, and ends
// with its standard input.
type crowd struct {
	process *exec.Cmd
	ask     io.WriteCloser
	answers *bufio.Reader
}

// startCrowd starts the process and returns when all viewers are watching.
func startCrowd(ctx context.Context, kind, url string, n int) (*crowd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &crowd{process: exec.CommandContext(ctx, self, crowdCommand, kind, url, fmt.Sprint(n))}
	c.process.Stderr = os.Stderr
	if c.ask, err = c.process.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.answers = bufio.NewReader(out)
	if err := c.process.Start(); err != nil {
		return nil, err
	}
	if _, err := c.counts(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s viewers: %w", kind, err), c.close())
	}
	return c, nil
}

// counts asks the viewers what they have received.
func (c *crowd) counts() (crowdCounts, error) {
	var counts crowdCounts
	if _, err := io.WriteString(c.ask, "\n"); err != nil {
		return counts, err
	}
	line, err := c.answers.ReadBytes('\n')
	if err != nil {
		return counts, err
	}
	return counts, json.Unmarshal(line, &counts)
}

// close ends the viewers and waits for them.
func (c *crowd) close() error {
	return errors.Join(c.ask.Close(), c.process.Wait())
}
