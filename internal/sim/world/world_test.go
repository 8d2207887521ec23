package world

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

func TestSmall(t *testing.T) {
	var r *Report
	began := time.Now()
	synctest.Test(t, func(t *testing.T) {
		var err error
		r, err = Run(t.Context(), Config{Nodes: 12, Viewers: 300, Duration: 10 * time.Second, Seed: 1, Clients: 2,
			Progress: func(p Progress) { fmt.Fprintln(os.Stderr, p) }})
		if err != nil {
			t.Fatal(err)
		}
	})
	t.Logf("took %v", time.Since(began))
	b, _ := json.MarshalIndent(r, "", " ")
	os.WriteFile("/tmp/r.json", b, 0o644)
	t.Logf("%+v %+v %v %v %v", r.Share, r.Joins, r.Broken, r.Notes, r.Accuracy)
}
