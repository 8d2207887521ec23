package discovery

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// scripted is a source that the test speaks for.
type scripted struct {
	answers chan Snapshot

	mu     sync.Mutex
	report Report
}

func (s *scripted) Watch(ctx context.Context, seen func(Snapshot)) error {
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case a := <-s.answers:
			seen(a)
		}
	}
}

func (s *scripted) Report() Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.report
}

// story is a Stable under test, in virtual time.
type story struct {
	*testing.T
	*Stable
	source *scripted
	seen   []string
	mu     sync.Mutex
	life   map[string]Life
	end    func()
}

func begin(t *testing.T, cfg StableConfig) *story {
	t.Helper()
	s := &story{T: t, source: &scripted{answers: make(chan Snapshot)}}
	cfg.Source, cfg.Self, cfg.Cluster = s.source, "self", "test"
	cfg.Life = func(context.Context) map[string]Life {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.life
	}
	var err error
	if s.Stable, err = NewStable(cfg); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		done <- s.Watch(ctx, func(n Snapshot) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.seen = append(s.seen, ids(n.Nodes))
		})
	}()
	s.end = func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want canceled", err)
		}
	}
	synctest.Wait()
	return s
}

func (s *story) answer(text string) {
	s.source.answers <- Snapshot{Nodes: nodes(text)}
	synctest.Wait()
}

func (s *story) alive(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.life = lives(text)
}

func (s *story) problem(text string) {
	s.source.mu.Lock()
	defer s.source.mu.Unlock()
	s.source.report.Problem = text
}

func (s *story) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (s *story) want(list string, reason Reason) {
	s.Helper()
	s.mu.Lock()
	last := "nothing"
	if len(s.seen) > 0 {
		last = s.seen[len(s.seen)-1]
	}
	s.mu.Unlock()
	st := s.State()
	if last != list || st.Reason != reason || st.Degraded != (reason != ReasonNone) {
		s.Errorf("told %q, state %+v; want %q, %q", last, st, list, reason)
	}
}

func TestStable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "state", "peers.json")
		s := begin(t, StableConfig{Advice: true, File: file})
		s.pass(time.Second)
		s.want("nothing", ReasonNever)
		if s.State().Known {
			t.Error("a list is known before there was one")
		}
		s.answer("a b c self")
		s.alive("a b c")
		s.want("a b c self", ReasonNone)
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("saved list: %v, %v, want mode 0600", info, err)
		}

		s.answer("")
		s.want("a b c self", ReasonEmpty)
		s.answer("self")
		s.want("a b c self", ReasonPanic)
		s.answer("a b c d self")
		s.want("a b c d self", ReasonNone)
		s.problem("no route to consul")
		s.pass(24 * time.Hour)
		s.want("a b c d self", ReasonUnreachable)
		if st := s.State(); st.Detail != "no route to consul" || st.Refused[ReasonEmpty] != 1 || st.Refused[ReasonPanic] != 1 {
			t.Errorf("state %+v", st)
		}

		// It comes back without c, which lives, and without d, which does not.
		s.problem("")
		s.answer("a b self")
		s.pass(forgetAfter + 2*time.Second)
		s.want("a b c self", ReasonNone)
		if st := s.State(); len(st.Unlisted) != 1 || st.Unlisted[0] != "c" {
			t.Errorf("unlisted %v, want c", st.Unlisted)
		}
		s.alive("a b")
		s.pass(forgetAfter + 2*time.Second)
		s.want("a b self", ReasonNone)
		s.end()

		// A restart without the source.
		s = begin(t, StableConfig{Advice: true, File: file})
		s.want("a b self", ReasonNone) // before the first look at the source
		s.problem("refused")
		s.pass(time.Second)
		s.want("a b self", ReasonSaved)
		s.problem("")
		s.answer("b e self")
		s.want("a b e self", ReasonNone)
		s.pass(forgetAfter + 2*time.Second)
		s.want("b e self", ReasonNone)
		s.end()
		if list, _, err := LoadSaved(file, "test"); err != nil || ids(list.Nodes) != "b e self" {
			t.Errorf("saved %q, %v", ids(list.Nodes), err)
		}
	})
}

// TestStableWhileFailing: what a source said before it failed takes nobody away
// that falls silent while it fails.
func TestStableWhileFailing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := begin(t, StableConfig{Advice: true})
		s.alive("a b c")
		s.answer("a b c")
		s.answer("a b")
		s.problem("down")
		s.alive("")
		s.pass(time.Hour)
		s.want("a b c", ReasonUnreachable)
		s.problem("")
		s.pass(forgetAfter + 2*time.Second)
		s.want("a b", ReasonNone)
		s.end()
	})
}

// TestObeyed: an operator's own list is an order.
func TestObeyed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := begin(t, StableConfig{})
		s.alive("a b c")
		s.answer("a b c")
		s.answer("a")
		s.want("a", ReasonNone)
		s.answer("")
		s.want("", ReasonNone)
		s.end()
	})
}

func TestSavedList(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "peers.json")
	full := Node{ID: "a", Region: "r", Provider: "p", Addr: "[2001:db8::1]:4443", Facts: Facts{
		URL: "https://a.example", Version: "1.2", Class: ClassLarge, Latitude: -33.9, Longitude: 18.4,
	}}
	now := time.Unix(1_700_000_000, 0)
	if err := Save(file, "test", []Node{full, node("b")}, now); err != nil {
		t.Fatal(err)
	}
	list, at, err := LoadSaved(file, "test")
	if err != nil || !at.Equal(now) || len(list.Nodes) != 2 || list.Nodes[0] != full || list.Nodes[1] != node("b") {
		t.Errorf("%+v, %v, %v", list, at, err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*.new")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if _, _, err := LoadSaved(file, "prod"); err == nil {
		t.Error("the list of another cluster was read")
	}
	for name, text := range map[string]string{
		"no JSON": "{", "another version": `{"version": 2, "cluster": "test"}`,
		"a bad node": `{"version": 1, "cluster": "test", "nodes": [{"id": "a", "region": "r", "addr": "a"}]}`,
		"twice":      `{"version": 1, "cluster": "test", "nodes": [{"id": "a", "region": "r", "addr": "a:1"}, {"id": "a", "region": "r", "addr": "a:1"}]}`,
		"no place":   `{"version": 1, "cluster": "test", "nodes": [{"id": "a", "region": "r", "addr": "a:1", "latitude": 91}]}`,
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := LoadSaved(file, "test"); err == nil {
			t.Errorf("%s was read", name)
		}
	}
}

// TestUnwritable: a list that cannot be saved is said so, and the list is used.
func TestUnwritable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		blocked := filepath.Join(dir, "a-file")
		if err := os.WriteFile(blocked, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		s := begin(t, StableConfig{Advice: true, File: filepath.Join(blocked, "peers.json")})
		s.answer("a b")
		s.want("a b", ReasonNone)
		if s.State().SaveError == "" {
			t.Error("no word of the list not being saved")
		}
		if err := os.Remove(blocked); err != nil {
			t.Fatal(err)
		}
		s.pass(saveRetry + 2*time.Second)
		if s.State().SaveError != "" {
			t.Errorf("%s: want it saved by now", s.State().SaveError)
		}
		s.end()
	})
}
