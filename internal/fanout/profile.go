package fanout

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
)

// obey does what a server is told on its standard input, until that ends: "profile
// DIR" begins a profile of the CPU, and "profiled" ends it and adds the memory in
// use. Each line is answered with "ok", or with what is wrong.
func obey(in io.Reader, out io.Writer) {
	var p profile
	for lines := bufio.NewScanner(in); lines.Scan(); {
		answer := "ok"
		var err error
		if dir, ok := strings.CutPrefix(lines.Text(), "profile "); ok {
			err = p.begin(dir)
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
	errs := []error{p.cpu.Close()}
	p.cpu = nil
	runtime.GC() // what is garbage is not in use
	for _, name := range []string{"allocs", "heap", "goroutine"} {
		f, err := os.Create(filepath.Join(p.dir, name+".pprof"))
		if err == nil {
			err = errors.Join(pprof.Lookup(name).WriteTo(f, 0), f.Close())
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
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
