package world

import (
	"testing"
	"testing/synctest"
)

// TestFailures is a short version of `trellis-bench failures`.
func TestFailures(t *testing.T) {
	for _, kind := range FailureKinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			var all []*Failure
			for seed := range uint64(2) {
				var f *Failure
				synctest.Test(t, func(t *testing.T) {
					var err error
					if f, err = FailOnce(t.Context(), kind, seed); err != nil {
						t.Fatal(err)
					}
				})
				if f == nil {
					return
				}
				all = append(all, f)
			}
			s := Summarize(kind, all)
			t.Logf("%d runs, simulated: video p50 %.0f ms, max %.0f; audio p50 %.0f ms, max %.0f, %d above; %d lost",
				s.Runs, s.Video.P50Ms, s.Video.MaxMs, s.Audio.P50Ms, s.Audio.MaxMs, s.Above, s.Lost)
			for _, v := range s.Broken {
				t.Error(v)
			}
			for _, f := range s.Worst {
				t.Logf("%+v", f)
			}
		})
	}
}
