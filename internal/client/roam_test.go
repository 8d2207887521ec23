package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"trellis/edge/framing"
	"trellis/edge/whip/whipclient"
)

// fakeNode delivers a broadcast of groups of five objects, one every 20 ms since
// start, to whoever subscribes: from the beginning of the group that is on.
type fakeNode struct {
	start time.Time
	delay time.Duration // how much later than others it delivers
	next  int
	away  chan struct{} // closed: leave
	where string
	ends  time.Time // when the session ends; zero: never
	why   error
}

const fakeGroup = 5

func (f *fakeNode) subscribe(now time.Time) *fakeNode {
	f.next = int(now.Sub(f.start)/(20*time.Millisecond)) / fakeGroup * fakeGroup
	if f.away == nil {
		f.away = make(chan struct{})
	}
	return f
}

func (f *fakeNode) Next(ctx context.Context) (received, error) {
	due := f.start.Add(time.Duration(f.next)*20*time.Millisecond + f.delay)
	if !f.ends.IsZero() && due.After(f.ends) {
		due = f.ends
	}
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return received{}, context.Cause(ctx)
	}
	if !f.ends.IsZero() && !time.Now().Before(f.ends) {
		return received{}, f.why
	}
	i := f.next
	f.next++
	return received{
		group: uint64(i / fakeGroup), object: uint64(i % fakeGroup), placed: true, track: "audio", codec: framing.Opus,
		pts: int64(i) * 20_000, key: true, arrived: time.Now(), data: []byte{0xfc, 1},
	}, nil
}

func (f *fakeNode) Losses(bool) transportLosses { return transportLosses{groups: 1} }
func (f *fakeNode) Close(context.Context) error { return nil }
func (f *fakeNode) Leaving() <-chan struct{}    { return f.away }
func (f *fakeNode) Elsewhere() string           { return f.where }

// fakeNodes is a dialer over several, by URL.
type fakeNodes struct {
	nodes  map[string]*fakeNode
	errs   map[string]error
	listed []string
	dialed []string
}

func (f *fakeNodes) dial(_ context.Context, where string) (feed, error) {
	f.dialed = append(f.dialed, where)
	if n := f.nodes[where]; n != nil {
		return n.subscribe(time.Now()), nil
	}
	return nil, f.errs[where]
}

func (f *fakeNodes) others() []string { return f.listed }

// roam runs a roaming feed that begins at first, for a time, and returns what came.
func roam(t *testing.T, first *fakeNode, nodes *fakeNodes, length time.Duration) (got []int, reconnects int, err error) {
	t.Helper()
	r := newRoaming(t.Context(), first.subscribe(time.Now()), nodes, 5*time.Second, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithTimeoutCause(t.Context(), length, errTimeUp)
	defer cancel()
	for {
		f, nerr := r.Next(ctx)
		if nerr != nil {
			err = nerr
			break
		}
		got = append(got, int(f.group)*fakeGroup+int(f.object))
	}
	if cerr := r.Close(t.Context()); cerr != nil {
		t.Error(cerr)
	}
	if l := r.Losses(true); l.groups != uint64(1+r.Reconnects()) {
		t.Errorf("%d groups lost over %d sessions of which each lost one", l.groups, 1+r.Reconnects())
	}
	return got, r.Reconnects(), err
}

// wantEach asserts that every object came once, and the last not before another.
func wantEach(t *testing.T, got []int, most int) {
	t.Helper()
	sorted := slices.Clone(got)
	slices.Sort(sorted)
	for i, o := range sorted {
		if i != o {
			t.Fatalf("object %d is missing or came twice: %v", i, got)
		}
	}
	if len(got) < most-1 || len(got) > most+1 {
		t.Errorf("%d objects, want %d", len(got), most)
	}
}

// A node asks us to leave: nothing is missing and nothing comes twice, whichever of
// the two is ahead.
func TestRoamFollowsTheNode(t *testing.T) {
	for _, delay := range []time.Duration{-40 * time.Millisecond, 0, 70 * time.Millisecond, 230 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			a := &fakeNode{start: start, delay: 50 * time.Millisecond, away: make(chan struct{}), where: "https://b"}
			b := &fakeNode{start: start, delay: 50*time.Millisecond + delay}
			nodes := &fakeNodes{nodes: map[string]*fakeNode{"https://b": b}}
			time.AfterFunc(1990*time.Millisecond, func() { close(a.away) })
			got, n, err := roam(t, a, nodes, 4*time.Second)
			if !errors.Is(err, errTimeUp) || n != 1 {
				t.Errorf("%v later: %d reconnects, %v", delay, n, err)
			}
			wantEach(t, got, int((3950*time.Millisecond-delay)/(20*time.Millisecond))+1)
		})
	}
}

// A node that names no other, or one that has nothing, is left when it ends.
func TestRoamStaysWhileItCan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		silent := &fakeNode{start: start, delay: time.Hour}
		for where, nodes := range map[string]*fakeNodes{
			"":               {},
			"https://gone":   {errs: map[string]error{"https://gone": errFake}},
			"https://silent": {nodes: map[string]*fakeNode{"https://silent": silent}},
		} {
			a := &fakeNode{start: time.Now(), away: make(chan struct{}), where: where}
			close(a.away)
			got, n, err := roam(t, a, nodes, 4*time.Second)
			if !errors.Is(err, errTimeUp) || n != 0 {
				t.Errorf("%q: %d reconnects, %v", where, n, err)
			}
			wantEach(t, got, 200)
		}
	})
}

// Sessions that just end are made anew: here if the node is there, or elsewhere.
func TestRoamComesBack(t *testing.T) {
	for name, tc := range map[string]struct {
		why  error
		errs map[string]error
		want string
	}{
		"WebRTC ended":      {errWHEPOver, nil, ""},
		"the node is gone":  {whipclient.ErrLost, map[string]error{"": errFake}, "https://b"},
		"the node is asked": {errWHEPOver, map[string]error{"": fmt.Errorf("refused: %w", errFake)}, "https://b"},
	} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			a := &fakeNode{start: start, ends: start.Add(2 * time.Second), why: tc.why}
			b := &fakeNode{start: start}
			nodes := &fakeNodes{errs: tc.errs, nodes: map[string]*fakeNode{tc.want: b}, listed: []string{"https://b"}}
			got, n, err := roam(t, a, nodes, 4*time.Second)
			if !errors.Is(err, errTimeUp) || n != 1 || nodes.dialed[len(nodes.dialed)-1] != tc.want {
				t.Errorf("%s: %d reconnects, dialled %q, %v", name, n, nodes.dialed, err)
			}
			wantEach(t, got, 200)
		})
	}
}

// The end of a broadcast is the end, and so is a refusal; a node that does not come
// back is waited for as long as there is patience.
func TestRoamEnds(t *testing.T) {
	for name, tc := range map[string]struct {
		why   error
		errs  map[string]error
		want  error
		after time.Duration
	}{
		"MoQ says that it is over": {io.EOF, nil, io.EOF, time.Second},
		"WebRTC, and not live":     {errWHEPOver, map[string]error{"": fmt.Errorf("%w: 409", errNotLive)}, io.EOF, time.Second},
		"something else":           {errFake, nil, errFake, time.Second},
		"nobody there":             {whipclient.ErrLost, map[string]error{"": errFake}, whipclient.ErrLost, 6 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			a := &fakeNode{start: start, ends: start.Add(time.Second), why: tc.why}
			_, n, err := roam(t, a, &fakeNodes{errs: tc.errs}, time.Minute)
			if !errors.Is(err, tc.want) || n != 0 || time.Since(start) < tc.after || time.Since(start) > tc.after+500*time.Millisecond {
				t.Errorf("%s: %v after %v, %d reconnects", name, err, time.Since(start), n)
			}
		})
	}
}

// A publisher that begins anew counts from nought again: its frames are new.
func TestMergeOfAnotherPublisher(t *testing.T) {
	m := newMerger()
	for _, tc := range []struct {
		group, object uint64
		want          bool
	}{
		{1000, 0, true},
		{1000, 0, false},
		{1000, 1, true},
		{999, 0, true},
		{1001, 0, true},
		{1000, 1, false},
		{1000, 2, true},
		{3, 0, true},
		{3, 0, false},
		{3, 1, true},
		{4, 0, true},
	} {
		if got := m.take(received{placed: true, track: "v", group: tc.group, object: tc.object}); got != tc.want {
			t.Errorf("group %d, object %d: %v", tc.group, tc.object, got)
		}
	}
}

func TestMoved(t *testing.T) {
	for _, tc := range []struct{ endpoint, base, want string }{
		{"https://a:4443/whep/room/x", "https://b.example", "https://b.example/whep/room/x"},
		{"https://a/", "https://b:1/?jwt=secret", "https://b:1/"},
		{"http://a/", "https://b", "https://b/"},
		{"https://a/", "http://b", ""},
		{"https://a/", "ftp://b", ""},
		{"https://a/", "", ""},
	} {
		if got, err := moved(tc.endpoint, tc.base); got != tc.want || (err == nil) != (tc.want != "") {
			t.Errorf("%s at %s: %q, %v", tc.endpoint, tc.base, got, err)
		}
	}
}
