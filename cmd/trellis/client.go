package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"trellis/internal/client"
)

// clientFlags are what publish and watch have in common.
type clientFlags struct {
	protocol  string
	token     string
	tokenFile string
	insecure  bool
	certHash  string
	timeout   time.Duration
	duration  time.Duration
	json      bool
	verbose   bool
}

func (c *clientFlags) add(f *pflag.FlagSet, protocols string) {
	f.StringVar(&c.protocol, "protocol", "", protocols+"; if the URL does not say")
	f.StringVar(&c.token, "token", "", "`TOKEN` that allows it; TRELLIS_TOKEN and --token-file do not show in the list of processes")
	f.StringVar(&c.tokenFile, "token-file", "", "`FILE` with the token")
	f.BoolVar(&c.insecure, "insecure", false, "accept any certificate: for development")
	f.StringVar(&c.certHash, "cert-hash", "", "accept exactly the certificate with this SHA-256, in hexadecimal `DIGITS`")
	f.DurationVar(&c.timeout, "timeout", 10*time.Second, "how long to wait for the connection, and for a broadcast that is not there yet")
	f.DurationVar(&c.duration, "for", 0, "end after so long; 0 is never")
	f.BoolVar(&c.json, "json", false, "end with one JSON object on standard output")
	f.BoolVar(&c.verbose, "verbose", false, "log to standard error")
}

// connection puts flags, environment and URL together.
func (c *clientFlags) connection(a *app, url string) (client.Connection, error) {
	target, err := client.ParseTarget(url, client.Protocol(c.protocol))
	if err != nil {
		return client.Connection{}, &usageError{err}
	}
	conn := client.Connection{Target: target, Insecure: c.insecure, Timeout: c.timeout, Log: slog.New(slog.DiscardHandler)}
	if c.verbose {
		conn.Log = slog.New(slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	if conn.Token, err = c.findToken(a.env); err != nil {
		return client.Connection{}, err
	}
	if c.certHash != "" {
		// Tools print fingerprints with colons between the bytes.
		hash, err := hex.DecodeString(strings.ReplaceAll(c.certHash, ":", ""))
		if err != nil || len(hash) != 32 {
			return client.Connection{}, usagef("--cert-hash: want 64 hexadecimal digits")
		}
		conn.CertHash = hash
	}
	return conn, nil
}

// findToken takes the flag, the file or the environment, in this order.
func (c *clientFlags) findToken(env []string) (string, error) {
	switch {
	case c.token != "" && c.tokenFile != "":
		return "", usagef("--token and --token-file: give one of them")
	case c.token != "":
		return c.token, nil
	case c.tokenFile != "":
		b, err := os.ReadFile(c.tokenFile)
		if err != nil {
			return "", err
		}
		return strings.TrimSpace(string(b)), nil
	}
	for _, e := range env {
		if token, ok := strings.CutPrefix(e, "TRELLIS_TOKEN="); ok {
			return token, nil
		}
	}
	return "", nil
}

// finish ends a command. The JSON object is printed also when something went wrong;
// a table only when there is something in it.
func finish[R any](cmd *cobra.Command, asJSON bool, report R, show func(io.Writer, R) error, err error) error {
	if !asJSON {
		return errors.Join(err, show(cmd.OutOrStdout(), report))
	}
	b, jerr := json.Marshal(report)
	if jerr != nil {
		return errors.Join(err, jerr)
	}
	_, werr := fmt.Fprintf(cmd.OutOrStdout(), "%s\n", b)
	return errors.Join(err, werr)
}
