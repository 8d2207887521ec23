package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const workedExample = "../../routing/testdata/worked-example.json"

// planApp runs trellis plan and returns what it printed.
func planApp(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	a := &app{stdin: strings.NewReader(""), stdout: &out, stderr: &errs}
	code = a.run(t.Context(), append([]string{"plan"}, args...))
	return code, out.String(), errs.String()
}

func TestPlanWorkedExample(t *testing.T) {
	dir := t.TempDir()
	plan, svg := filepath.Join(dir, "plan.json"), filepath.Join(dir, "plan.svg")
	args := []string{"--scenario", workedExample, "--out", plan, "--svg", svg, "--backup", "node", "--explain", "C", "--fail", "R"}
	code, out, errs := planApp(t, args...)
	if code != exitOK || errs != "" {
		t.Fatalf("code %d, %s", code, errs)
	}
	var s planSummary
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		t.Fatal(err)
	}
	if !s.Proven || s.InBound != 130 || s.Reachable != 130 || s.LateMs != 330 || s.CostUSD != 0.108 || s.GapPercent != 0 {
		t.Errorf("summary %s", out)
	}
	if s.Blast.Node != "R" || s.Blast.Viewers != 85 || s.Blast.Unprotected != 5 {
		t.Errorf("blast radius %+v, want R with 85 viewers, of whom D's 5 have no backup", s.Blast)
	}
	if len(s.Explain) != 1 || s.Explain[0].Parent != "R" || s.Explain[0].SlackMs != 2 || s.Explain[0].Backup != "S" {
		t.Errorf("explanation %+v", s.Explain)
	}
	if f := s.Fail[0]; f.OnBackup != 60 || f.LateOnIt != 20 || f.Dark != 5 || f.Untouched != 50 {
		t.Errorf("loss of R: %+v", f)
	}
	if b, err := os.ReadFile(svg); err != nil || !bytes.HasPrefix(b, []byte("<svg")) {
		t.Errorf("picture: %.20s, %v", b, err)
	}
	first, err := os.ReadFile(plan)
	if err != nil {
		t.Fatal(err)
	}
	if code, _, errs := planApp(t, append(args, "--prev", plan)...); code != exitOK {
		t.Fatalf("with --prev: code %d, %s", code, errs)
	}
	if again, err := os.ReadFile(plan); err != nil || !bytes.Equal(first, again) {
		t.Errorf("the running plan was optimal, and yet:\n%s\n%s", first, again)
	}
}

func TestPlanRefuses(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.json")
	if err := os.WriteFile(bad, []byte("{\"nodes\": [],\n \"tracks\": [{\"id\": 3}]}"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "plan.json")
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--out", out}, exitUsage, "--scenario and --out are required"},
		{[]string{"--scenario", bad, "--out", out}, exitFailed, "line 2: tracks[0].id: must be a string, not a number"},
		{[]string{"--scenario", workedExample, "--out", out, "--backup", "planet"}, exitUsage, `"planet"`},
		{[]string{"--scenario", workedExample, "--out", out, "--explain", "X"}, exitUsage, `no node "X"`},
		{[]string{"--scenario", workedExample, "--out", out, "--fail", "mars"}, exitUsage, `"mars" is no node, region or provider`},
		{[]string{"--scenario", filepath.Join(dir, "none.json"), "--out", out}, exitFailed, "no such file"},
	} {
		code, _, errs := planApp(t, c.args...)
		if code != c.code || !strings.Contains(errs, c.want) || strings.Count(errs, "\n") != 1 {
			t.Errorf("%v: code %d, stderr %q; want %d and %q on one line", c.args, code, errs, c.code, c.want)
		}
		if _, err := os.Stat(out); err == nil {
			t.Errorf("%v: a plan was written", c.args)
		}
	}
}
