package sdpfrag

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

// The example of RFC 9725, Section 4.3.2.
const trickle = "a=group:BUNDLE 0 1\r\n" +
	"m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n" +
	"a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1\r\n" +
	"a=end-of-candidates\r\n"

func TestParse(t *testing.T) {
	got, err := Parse(trickle)
	if err != nil {
		t.Fatal(err)
	}
	want := Fragment{Ufrag: "EsAw", Pwd: "P2uYro0UCOQ4zxjKXaWCBui1", Media: []Media{{
		MID: "0", End: true,
		Candidates: []string{"candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1"},
	}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	again, err := Parse(string(got.Append(nil)))
	if err != nil || !reflect.DeepEqual(again, want) {
		t.Errorf("written and read again: %+v, %v", again, err)
	}
}

func TestParseRefuses(t *testing.T) {
	for name, s := range map[string]string{
		"empty":             "",
		"no SDP":            "hello",
		"candidate on top":  "a=candidate:1 1 udp 1 192.0.2.1 1 typ host\r\n",
		"empty ufrag":       "a=ice-ufrag:\r\nm=audio 9 x 0\r\n",
		"two passwords":     "a=ice-pwd:a\r\nm=audio 9 x 0\r\na=ice-pwd:b\r\n",
		"long ufrag":        "a=ice-ufrag:" + strings.Repeat("x", 300) + "\r\n",
		"many lines":        strings.Repeat("a=x\r\n", 2000),
		"many candidates":   "m=audio 9 x 0\r\n" + strings.Repeat("a=candidate:1\r\n", 200),
		"nothing about ICE": "a=group:BUNDLE 0\r\n",
	} {
		if f, err := Parse(s); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %+v, %v", name, f, err)
		}
	}
}

func TestApply(t *testing.T) {
	const description = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n" +
		"m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=ice-ufrag:old\r\na=ice-pwd:older\r\n" +
		"a=candidate:9 1 udp 1 192.0.2.9 9 typ host\r\n"
	f, err := Parse(trickle)
	if err != nil {
		t.Fatal(err)
	}
	applied, err := f.Apply(description)
	if err != nil {
		t.Fatal(err)
	}
	got, err := FromDescription(applied)
	if err != nil || !reflect.DeepEqual(got, f) {
		t.Errorf("got %+v, %v from\n%s", got, err, applied)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(trickle)
	f.Add("a=ice-ufrag:a\na=ice-pwd:b\n")
	f.Add("m=x\na=mid:0\na=candidate:\n")
	f.Fuzz(func(t *testing.T, s string) {
		got, err := Parse(s)
		if err != nil {
			return
		}
		again, err := Parse(string(got.Append(nil)))
		if err != nil {
			t.Fatalf("%+v cannot be read again: %v", got, err)
		}
		if !reflect.DeepEqual(again, got) {
			t.Errorf("%+v came back as %+v", got, again)
		}
	})
}
