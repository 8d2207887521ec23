package wire

import (
	"errors"
	"strings"
	"testing"
)

func TestParseBroadcast(t *testing.T) {
	for _, tc := range []struct {
		in string
		ok bool
	}{
		{"room/alice", true},
		{"a", true},
		{"søknad/æ", true},
		{"a.b/..c", true},
		{strings.Repeat("a/", 31) + "a", true},
		{strings.Repeat("x", 255), true},
		{"", false},
		{"/a", false},
		{"a/", false},
		{"a//b", false},
		{"a/../b", false},
		{".", false},
		{"a\x00b", false},
		{"a\u0085b", false},
		{"a\xffb", false},
		{strings.Repeat("a/", 32) + "a", false},
		{strings.Repeat("a/", 299) + "a", false},
		{strings.Repeat("x", 256), false},
		{strings.Repeat("x/", 20) + strings.Repeat("y", 1000), false},
	} {
		got, err := ParseBroadcast(tc.in)
		if (err == nil) != tc.ok {
			t.Errorf("ParseBroadcast(%q) = %v, want ok %v", tc.in, err, tc.ok)
		}
		if err == nil && string(got) != tc.in {
			t.Errorf("ParseBroadcast(%q) = %q", tc.in, got)
		}
		if err != nil && !errors.Is(err, ErrName) {
			t.Errorf("ParseBroadcast(%q): %v does not wrap ErrName", tc.in, err)
		}
	}
}

func TestPrefix(t *testing.T) {
	for _, tc := range []struct {
		name   Broadcast
		prefix Prefix
		suffix string
		ok     bool
	}{
		{"foo/bar", "foo", "bar", true},
		{"foo", "foo", "", true},
		{"foobar", "foo", "", false},
		{"foo/bar", "", "foo/bar", true},
		{"foo", "foo/bar", "", false},
		{"foo/bar/baz", "foo/bar", "baz", true},
	} {
		suffix, ok := tc.name.Suffix(tc.prefix)
		if suffix != tc.suffix || ok != tc.ok {
			t.Errorf("%q.Suffix(%q) = %q, %v; want %q, %v", tc.name, tc.prefix, suffix, ok, tc.suffix, tc.ok)
		}
	}
	if !Prefix("a").Covers("a/b") || Prefix("a/b").Covers("a") || Prefix("a").Covers("ab") {
		t.Error("Covers does not compare whole parts")
	}
}

func TestHopID(t *testing.T) {
	seen := map[uint64]string{}
	for _, id := range []string{"us-east-1", "us-east-2", "eu-west-1", ""} {
		h := HopID(id)
		if h == 0 || h >= 1<<53 {
			t.Errorf("HopID(%q) = %d, want 1..2^53-1", id, h)
		}
		if other, dup := seen[h]; dup {
			t.Errorf("HopID(%q) = HopID(%q)", id, other)
		}
		seen[h] = id
	}
}

// FuzzParseBroadcast holds that what parses is canonical and safe as a path.
func FuzzParseBroadcast(f *testing.F) {
	for _, s := range []string{"room/alice", "a//b", "../x", "a/%2e%2e/b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b, err := ParseBroadcast(s)
		if err != nil {
			return
		}
		again, err := ParseBroadcast(string(b))
		if err != nil || again != b || string(b) != s {
			t.Fatalf("ParseBroadcast(%q) = %q, again %q, %v", s, b, again, err)
		}
		if strings.Contains("/"+s+"/", "/../") || strings.Contains(s, "//") {
			t.Fatalf("ParseBroadcast accepted %q", s)
		}
	})
}
