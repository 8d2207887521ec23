package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"trellis/internal/client"
)

func TestClientCommandLines(t *testing.T) {
	s := newShell(t)
	if err := os.WriteFile("bad.ivf", []byte("not media"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		code int
		args string
		want string
	}{
		{exitUsage, "publish", "at least 1 arg"},
		{exitUsage, "publish https://localhost/whip/a", "no file to publish"},
		{exitUsage, "publish x.ivf localhost", "no host"},
		{exitUsage, "publish x.ivf https://localhost/a", "give the protocol"},
		{exitUsage, "publish --clip av1 moq://localhost/a", "want h264 or vp8"},
		{exitUsage, "publish --clip vp8 x.ivf moq://localhost/a", "one of them"},
		{exitUsage, "watch --cert-hash 12 moq://localhost/a", "64 hexadecimal digits"},
		{exitUsage, "watch --token t --token-file f moq://localhost/a", "one of them"},
		{exitUsage, "watch --nonsense moq://localhost/a", "nonsense"},
		{exitFailed, "publish missing.ivf moq://localhost/a", "missing.ivf"},
		{exitFailed, "publish bad.ivf moq://localhost/a", "want IVF"},
		{exitFailed, "watch --token-file missing moq://localhost/a", "missing"},
	} {
		out, why := s.run(tc.code, "", strings.Fields(tc.args)...)
		if !strings.Contains(why, tc.want) || out != "" {
			t.Errorf("trellis %s: %q and %q, want %q", tc.args, out, why, tc.want)
		}
	}
}

// Even a command that fails ends with its one JSON object.
func TestClientJSON(t *testing.T) {
	s := newShell(t)
	out, _ := s.run(exitFailed, "", "publish", "--json", "missing.ivf", "moq://localhost/a")
	var r client.PublishReport
	if err := json.Unmarshal([]byte(out), &r); err != nil || strings.Count(out, "\n") != 1 {
		t.Errorf("%q: %v", out, err)
	}
}
