package main

import (
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// statusLine is one line that changes while a command runs, on a terminal only.
type statusLine struct{ bar *progressbar.ProgressBar }

// newStatusLine returns a line that shows progress towards a length of time, or
// only that something is going on when length is zero.
func newStatusLine(w io.Writer, length time.Duration) statusLine {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return statusLine{}
	}
	limit := int64(-1)
	if length > 0 {
		limit = length.Milliseconds()
	}
	return statusLine{progressbar.NewOptions64(limit,
		progressbar.OptionSetWriter(f),
		progressbar.OptionSetWidth(12),
		progressbar.OptionSetElapsedTime(false),
		progressbar.OptionSetPredictTime(false),
		progressbar.OptionClearOnFinish(),
	)}
}

// show replaces the line; seconds is how far things are.
func (s statusLine) show(text string, seconds float64) {
	if s.bar == nil {
		return
	}
	s.bar.Describe(text)
	_ = s.bar.Set64(int64(seconds * 1000)) // a terminal that is gone is not worth stopping for
}

// close removes the line.
func (s statusLine) close() {
	if s.bar != nil {
		_ = s.bar.Clear() // as above
	}
}
