package auth

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestBearerToken(t *testing.T) {
	for _, tc := range []struct {
		values []string
		want   string
	}{
		{nil, ""},
		{[]string{"Bearer abc"}, "abc"},
		{[]string{"bearer abc"}, "abc"},
		{[]string{"Bearer  abc "}, "abc"},
		{[]string{"Basic abc"}, ""},
		{[]string{"Bearer"}, ""},
		{[]string{"abc"}, ""},
		{[]string{"Bearer a", "Bearer b"}, ""},
	} {
		if got := BearerToken(http.Header{"Authorization": tc.values}); got != tc.want {
			t.Errorf("BearerToken(%q) = %q, want %q", tc.values, got, tc.want)
		}
	}
}

func TestQueryToken(t *testing.T) {
	for in, want := range map[string]string{
		"https://n/room?jwt=abc":       "abc",
		"https://n/room":               "",
		"https://n/room?jwt=a&jwt=b":   "",
		"https://n/room?JWT=a":         "",
		"https://n/room?x=1&jwt=a.b-_": "a.b-_",
	} {
		u, err := url.Parse(in)
		if err != nil {
			t.Fatal(err)
		}
		if got := QueryToken(u); got != want {
			t.Errorf("QueryToken(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestRedactURL(t *testing.T) {
	for _, in := range []string{
		"https://n/room?jwt=hunter2", "https://n/room?jwt=hunter2&jwt=hunter2", "https://u:hunter2@n/?a=b",
		"https://n/?token=hunter2", "https://n/?access_token=hunter2&x=y",
	} {
		u, err := url.Parse(in)
		if err != nil {
			t.Fatal(err)
		}
		if got := RedactURL(u); strings.Contains(got, "hunter2") || !strings.Contains(got, "n/") {
			t.Errorf("RedactURL(%q) = %q", in, got)
		}
		if u.String() != in {
			t.Errorf("RedactURL changed its argument to %q", u)
		}
	}
}
