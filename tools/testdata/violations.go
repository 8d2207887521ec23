// Deliberate violations: lint-violations.sh puts this file into a package of its own, runs the linter with the
// repository's configuration and wants every line marked "want" to be complained of by the linter named there.

package violations // want revive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log" // want depguard
	"log/slog"
	"math/rand" // want depguard
	"net/http"
	"os"
	"sort"
	"time"
)

func init() {} // want gochecknoinits

func Undocumented() {} // want revive

// Color is an enum.
type Color int

// The colours.
const (
	Red Color = iota
	Green
)

// BadError is a sentinel with the wrong name.
var BadError = errors.New("bad") // want errname

// Loud has an error string that is a sentence.
func Loud() error { return errors.New("Something went wrong.") } // want revive

// Mixed has both kinds of receivers.
type Mixed struct{ n int } // want recvcheck

// Get reads.
func (m Mixed) Get() int { return m.n }

// Set writes.
func (this *Mixed) Set(n int) { this.n = n } // want revive

// Violations holds one of each, where a line can hold it.
func Violations(n int, ctx context.Context, logger *slog.Logger, c Color) error { // want revive
	fmt.Println("x")            // want forbidigo gofumpt goimports
	<-time.After(time.Second)   // want forbidigo
	slog.Info("x")              // want forbidigo
	log.Print(rand.Int())
	logger.Info("x", "a", 1)                                // want sloglint
	logger.Info("x"+os.Args[0], slog.Int("a", 1))           // want sloglint
	logger.Info("x", slog.Int("camelCase", 1))              // want sloglint
	os.Remove("x")                                          // want errcheck
	d := time.Duration(n) * time.Second * time.Millisecond  // want durationcheck
	resp, err := http.Get("http://127.0.0.1")               // want noctx bodyclose
	if err == io.EOF {                                      // want errorlint
		return fmt.Errorf("x: %v", err) // want errorlint
	}
	if err != nil {
		return nil // want nilerr
	}
	switch c { // want exhaustive
	case Red:
	}
	made := make([]int, 5)
	made = append(made, n)                               // want makezero
	sort.Slice(made, func(i, j int) bool { return made[i] < made[j] }) // want modernize
	for range 3 {
		ctx = context.WithValue(ctx, c, n) // want fatcontext
	}
	io.EOF = nil            // want reassign
	len := int(n)           // want predeclared
	x := int(len)           // want unconvert
	fmt.Fprintln(os.Stderr, x)
	x = 2                   // want ineffassign wastedassign
	fmt.Fprintln(os.Stderr, resp.StatusCode, d) //nolint // want nolintlint
	req, _ := http.NewRequestWithContext(ctx, "GET", "", nil) // want usestdlibvars
	return other(req.Context(), 1) // want contextcheck
}

func other(_ context.Context, same int) error { // want unparam
	var s []int // want prealloc
	for i := range 10 {
		s = append(s, i)
	}
	fmt.Fprintln(os.Stderr, s, "recieve") // want misspell
	go detached()
	return nil
}

func detached() {}

func unusedFunc() {} // want unused
