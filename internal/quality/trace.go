package quality

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"trellis/internal/impair"
)

// trace writes down what each packet towards the viewer did on the path, for who
// looks for the reason of what a viewer saw. A nil trace writes nothing.
type trace struct {
	name string // of its files, without what they end in
	file *os.File

	mu  sync.Mutex
	csv *bufio.Writer
}

// openTrace opens the trace of one profile with one server, if any is wanted.
func (c *Config) openTrace(server string, p *Profile) (*trace, error) {
	if c.Trace == "" {
		return &trace{}, nil
	}
	if err := os.MkdirAll(c.Trace, 0o755); err != nil { //nolint:gosec // a trace is for everybody
		return nil, err
	}
	t := &trace{name: filepath.Join(c.Trace, p.Name+"-"+server)}
	var err error
	if t.file, err = os.Create(t.name + ".csv"); err != nil {
		return nil, err
	}
	t.csv = bufio.NewWriterSize(t.file, 1<<20)
	_, err = t.csv.WriteString("ms since 1970,ms on the path,drop,bytes,payload type,sequence number,timestamp,ssrc\n")
	return t, err
}

// passed notes a packet, if it is RTP: RFC 7983, Section 7, and RFC 5761, Section 4.
func (t *trace) passed(p impair.Passage) {
	b := p.Payload
	if len(b) < 12 || b[0]>>6 != 2 || b[1] >= 192 && b[1] < 224 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.csv == nil {
		return
	}
	word := func(i int) uint32 {
		return uint32(b[i])<<24 | uint32(b[i+1])<<16 | uint32(b[i+2])<<8 | uint32(b[i+3])
	}
	// What cannot be written is found when the file is closed.
	_, _ = fmt.Fprintf(t.csv, "%.2f,%.2f,%s,%d,%d,%d,%d,%d\n", float64(p.At.UnixMicro())/1e3, float64(p.Took)/float64(time.Millisecond),
		p.Drop, len(b), b[1]&0x7f, word(0)&0xffff, word(4), word(8))
}

// close ends the trace, with what the pages have told.
func (t *trace) close(r *recording) error {
	if t.csv == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	doc, err := json.Marshal(struct {
		Began     float64     `json:"began"`
		Frames    []frame     `json:"frames"`
		Seen      []seen      `json:"seen"`
		Published []published `json:"published"`
	}{float64(r.began.UnixMicro()) / 1e3, r.frames, r.seen, r.published})
	if err == nil {
		err = os.WriteFile(t.name+".json", doc, 0o644) //nolint:gosec // as above
	}
	err = errors.Join(err, t.csv.Flush(), t.file.Close())
	t.csv = nil
	return err
}
