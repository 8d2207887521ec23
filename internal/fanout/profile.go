package fanout

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"runtime/pprof"
	"strings"
)

// obey does what a server is told on its standard input, until that ends: "profile
// DIR" begins a profile of the CPU, and "profiled" ends it and adds the memory in
// use; "memory DIR" writes that alone. Each is answered with "ok", or with what is
// wrong. "look" is answered with a memory.
func obey(in io.Reader, out io.Writer) {
	var p profile
	for lines := bufio.NewScanner(in); lines.Scan(); {
		answer := "ok"
		var err error
		if dir, ok := strings.CutPrefix(lines.Text(), "profile "); ok {
			err = p.begin(dir)
		} else if dir, ok := strings.CutPrefix(lines.Text(), "memory "); ok {
			err = errors.Join(os.MkdirAll(dir, 0o755), inUse(dir)) //nolint:gosec // profiles are for everybody
		} else if lines.Text() == "look" {
			answer = look()
		} else {
			err = p.end()
		}
		if err != nil {
			answer = err.Error()
		}
		_, _ = fmt.Fprintln(out, answer) // whoever reads it is gone, then
	}
}

// profile is a profile being taken.
type profile struct {
	dir string
	cpu *os.File
}

func (p *profile) begin(dir string) (err error) {
	p.dir = dir
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // profiles are for everybody
		return err
	}
	if p.cpu, err = os.Create(filepath.Join(dir, "cpu.pprof")); err != nil {
		return err
	}
	return pprof.StartCPUProfile(p.cpu)
}

func (p *profile) end() error {
	if p.cpu == nil {
		return errors.New("no profile was begun")
	}
	pprof.StopCPUProfile()
	err := p.cpu.Close()
	p.cpu = nil
	return errors.Join(err, inUse(p.dir))
}

// inUse writes profiles of what there is.
func inUse(dir string) (err error) {
	runtime.GC() // what is garbage is not in use
	for _, name := range []string{"allocs", "heap", "goroutine"} {
		err = errors.Join(err, inUseOf(name, filepath.Join(dir, name+".pprof")))
	}
	return err
}

func inUseOf(name, path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(pprof.Lookup(name).WriteTo(f, 0), f.Close())
}

// memory is what a server's process holds on to, after garbage collection.
type memory struct {
	Heap       uint64 `json:"heap"` // bytes of objects
	Objects    uint64 `json:"objects"`
	Goroutines int    `json:"goroutines"`
}

func look() string {
	runtime.GC()
	runtime.GC() // what finalizers and pools held in the first
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/gc/heap/objects:objects"}}
	metrics.Read(sample)
	b, err := json.Marshal(memory{sample[0].Value.Uint64(), sample[1].Value.Uint64(), runtime.NumGoroutine()})
	if err != nil {
		panic(err) // there is nothing in it that has no JSON
	}
	return string(b)
}

// look asks a server what it holds on to.
func (p *process) look() (m memory, err error) {
	if _, err := io.WriteString(p.in, "look\n"); err != nil {
		return m, err
	}
	line, err := p.out.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &m)
	}
	if err != nil {
		return m, fmt.Errorf("the server ended: %w", err)
	}
	return m, nil
}

// tell has a server do what a line says.
func (p *process) tell(line string) error {
	if _, err := io.WriteString(p.in, line+"\n"); err != nil {
		return err
	}
	answer, err := p.out.ReadString('\n')
	if err != nil {
		return fmt.Errorf("the server ended: %w", err)
	}
	if answer = strings.TrimSpace(answer); answer != "ok" {
		return errors.New(answer)
	}
	return nil
}
