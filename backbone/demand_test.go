package backbone

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"trellis/internal/relay"
	"trellis/routing/control"
	"trellis/wire"
	"trellis/wire/peer"
)

func TestDemandDiff(t *testing.T) {
	entry := func(node string, viewers uint64) peer.DemandEntry {
		return peer.DemandEntry{Node: node, Viewers: viewers, Parent: "p"}
	}
	was := map[string]peer.DemandEntry{"a": entry("a", 1), "b": entry("b", 2), "c": entry("c", 3)}
	is := map[string]peer.DemandEntry{"a": entry("a", 1), "b": entry("b", 5), "d": entry("d", 4)}
	want := []peer.DemandEntry{entry("b", 5), {Node: "c", Gone: true}, entry("d", 4)}
	if d := cmp.Diff(want, demandDiff(was, is)); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if got := demandDiff(is, is); got != nil {
		t.Errorf("of the same: %+v", got)
	}
}

func TestAgeMeter(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var a ageMeter
	a.restart(start)
	add := func(after, age time.Duration, err int64) {
		now := start.Add(after)
		a.add(relay.ObjectHeader{Ingress: now.Add(-age).UnixMicro(), IngressErr: err}, now, now)
	}
	at := func(after time.Duration) peer.Age { return a.value(start.Add(after)) }
	add(100*time.Millisecond, time.Minute, 100) // from the cache
	if got := at(200 * time.Millisecond); got.State != peer.AgeUnknown {
		t.Errorf("before anything came as it was made: %+v", got)
	}
	for i := range 200 {
		add(ageRest+time.Duration(i)*time.Millisecond, 40*time.Millisecond, 900)
	}
	for i := range 20 { // a few are late
		add(2*ageRest+time.Duration(i)*time.Millisecond, time.Second, 900)
	}
	if want, got := (peer.Age{State: peer.AgeMeasured, P50: 40 * time.Millisecond, Err: 900 * time.Microsecond}), at(3*ageRest); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	add(3*ageRest, 40*time.Millisecond, -1)
	if got := at(3 * ageRest); got.State != peer.AgeUnsynchronised {
		t.Errorf("%+v, want it to be unsynchronised", got)
	}
	if got := at(4*ageRest + ageStale); got.State != peer.AgeUnknown {
		t.Errorf("after a long silence: %+v", got)
	}
	const ms = time.Millisecond
	for _, tc := range []struct {
		a, b  time.Duration
		moved bool
	}{
		{40 * ms, 41 * ms, false}, {40 * ms, 43 * ms, true}, {2 * ms, 2 * ms, false}, {100 * ms, 104 * ms, false}, {100 * ms, 106 * ms, true},
	} {
		x := peer.Age{State: peer.AgeMeasured, P50: tc.a}
		y := peer.Age{State: peer.AgeMeasured, P50: tc.b}
		if got := ageMoved(x, y); got != tc.moved {
			t.Errorf("from %v to %v: moved %v", x.P50, y.P50, got)
		}
	}
}

func TestChangeRing(t *testing.T) {
	var r changeRing
	for v := range uint64(maxChanges + 3) {
		r.add(Change{Version: v})
	}
	all := r.all()
	if len(all) != maxChanges || all[0].Version != maxChanges+2 || all[maxChanges-1].Version != 3 {
		t.Errorf("%+v", all)
	}
}

// TestLinkFlaps: a link that has come back is trusted after a while, which grows.
func TestLinkFlaps(t *testing.T) {
	f := newLinkFlaps()
	key, now := [2]string{"a", "b"}, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	up, down := map[[2]string]bool{key: true}, map[[2]string]bool{}
	want := func(what string, calm bool) {
		t.Helper()
		if got := f.calm(key, now); got != calm {
			t.Errorf("%s: calm %v", what, got)
		}
	}
	f.saw(up, now)
	want("new", true)
	f.saw(down, now)
	want("gone", false)
	now = now.Add(time.Minute)
	f.saw(up, now)
	want("just back", false)
	now = now.Add(minCalm)
	want("back for a while", true)
	f.saw(down, now)
	f.saw(up, now)
	now = now.Add(minCalm)
	want("after a second failure", false)
	now = now.Add(minCalm)
	want("twice as long", true)
	now = now.Add(2 * flapMemory)
	f.forget(now)
	if len(f.gone) != 0 {
		t.Errorf("%d links are remembered", len(f.gone))
	}
}

func TestRateMeter(t *testing.T) {
	var r rateMeter
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range uint64(20) {
		r.add(i*125_000, now.Add(time.Duration(i)*time.Second))
	}
	if r.mbps < 0.99 || r.mbps > 1.01 {
		t.Errorf("%v Mbit/s, want 1", r.mbps)
	}
	r.add(0, now.Add(time.Minute)) // another counter
	if r.mbps < 0.99 || r.mbps > 1.01 {
		t.Errorf("%v Mbit/s after the counter began anew, want 1", r.mbps)
	}
}

func TestValve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newValve(true)
		if v.flow(func(error) {}) {
			t.Error("a shut valve lets something flow")
		}
		v.open(relay.Start{Resume: true, Group: 7})
		v.open(relay.Start{Resume: true, Group: 9}) // it flows already
		start, turned, paused := v.look()
		if start.Group != 7 || !turned || paused {
			t.Errorf("open: %+v, %v, %v", start, turned, paused)
		}
		ctx, stop := context.WithCancelCause(t.Context())
		if !v.flow(stop) {
			t.Error("an open valve lets nothing flow")
		}
		v.shut()
		v.shut()
		if !errors.Is(context.Cause(ctx), errPaused) || !v.isPaused() {
			t.Errorf("after it was shut: %v", context.Cause(ctx))
		}
	})
}

// TestRouteOnTheWire: what the wire cannot say is left out.
func TestRouteOnTheWire(t *testing.T) {
	long := make([]string, peer.MaxHops+1)
	for i := range long {
		long[i] = "n"
	}
	r := wireRoute(control.Route{Node: "n", Path: long, Backup: long[1:], Protect: 9, Price: -1, Note: string(make([]byte, 1000))})
	if _, err := peer.ParsePlan(peer.Plan{Routes: []peer.Route{r}}.Append(nil)); err != nil {
		t.Error(err)
	}
	if len(r.Path) != 0 || len(r.Backup) != peer.MaxHops || r.Protect != peer.MaxProtect {
		t.Errorf("%+v", r)
	}
}

func TestDefaultProtect(t *testing.T) {
	for kind, want := range map[wire.Kind]control.Protection{
		wire.KindAudio: control.ProtectHot, wire.KindVideo: control.ProtectWarm, wire.KindCatalog: control.ProtectHot, wire.KindData: control.ProtectHot,
	} {
		if got := DefaultProtect(wire.TrackName{}, kind); got != want {
			t.Errorf("%v: %d, want %d", kind, got, want)
		}
	}
}

// TestStalePlan: a route that is not newer than ours changes nothing.
func TestStalePlan(t *testing.T) {
	counters, err := newMetrics(nil)
	if err != nil {
		t.Fatal(err)
	}
	m := &Mesh{metrics: counters}
	u := &upstream{plan: following{version: 5, route: peer.Route{Node: "n", Path: []string{"a"}}}}
	for _, version := range []uint64{4, 5} {
		m.adopt(u, version, peer.Route{Node: "n", Path: []string{"b"}}, time.Now())
		if u.plan.version != 5 || u.plan.route.Path[0] != "a" || u.plan.changes.n != 0 {
			t.Errorf("version %d was adopted after 5: %+v", version, u.plan)
		}
	}
}
