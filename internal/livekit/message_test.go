package livekit

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"

	"trellis/internal/proto3"
)

// TestRequestBytes: the bytes of short messages are written down; ping and leave are
// as long as those of livekit-client in recordings of it.
func TestRequestBytes(t *testing.T) {
	for _, c := range []struct {
		name string
		r    Request
		want string
	}{
		{"ping", Request{Ping: 1795348292779}, "820107" + "08abc9e398a034"},
		{"leave", Request{Leave: true}, "4202" + "1001"},
		{"answer", Request{Answer: &Description{Type: "answer", SDP: "v=0", ID: 73}}, "120f" + "0a06616e73776572" + "1203763d30" + "1849"},
		{"trickle", Request{Trickle: &Trickle{Candidate: "{}", Target: Subscriber, Final: true}}, "1a08" + "0a027b7d" + "1001" + "1801"},
		{"trickle of the publisher", Request{Trickle: &Trickle{Candidate: "{}"}}, "1a04" + "0a027b7d"},
	} {
		if got := hex.EncodeToString(c.r.Append(nil)); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// response encodes what a server would say.
func response(r Response) []byte {
	switch {
	case r.Join != nil:
		join := proto3.Number(nil, 6, protowire.EncodeBool(r.Join.SubscriberPrimary))
		join = proto3.Number(join, 11, r.Join.PingInterval)
		return proto3.Message(nil, 1, proto3.Message(join, 12, proto3.Text(nil, 2, r.Join.Server)))
	case r.Offer != nil:
		return proto3.Message(nil, 3, r.Offer.append(nil))
	case r.Trickle != nil:
		return proto3.Message(nil, 4, r.Trickle.append(nil))
	case r.Leave != nil:
		return proto3.Message(nil, 8, proto3.Number(nil, 2, r.Leave.Reason))
	}
	return proto3.Message(nil, 20, proto3.Number(nil, 1, 1795348292779)) // a pong
}

var responses = []Response{
	{},
	{Join: &Join{SubscriberPrimary: true, PingInterval: 5, Server: "1.13.5"}},
	{Offer: &Description{Type: "offer", SDP: "v=0\r\n", ID: 73}},
	{Trickle: &Trickle{Candidate: `{"candidate":""}`, Target: Subscriber, Final: true}},
	{Leave: &Leave{Reason: 3}},
}

func TestParseResponse(t *testing.T) {
	for _, want := range responses {
		b := response(want)
		got, err := ParseResponse(b)
		if d := cmp.Diff(want, got); err != nil || d != "" {
			t.Errorf("%x: %v: %s", b, err, d)
		}
		for n := 1; n < len(b); n++ {
			if _, err := ParseResponse(b[:n]); err == nil {
				t.Errorf("%x: %d of %d bytes were taken", b, n, len(b))
			}
		}
	}
}

// TestUnknownFields: what a later server adds is passed over, whatever its type.
func TestUnknownFields(t *testing.T) {
	trickle := proto3.Text(nil, 1, "{}")
	trickle = protowire.AppendFixed32(protowire.AppendTag(trickle, 90, protowire.Fixed32Type), 7)
	trickle = protowire.AppendFixed64(protowire.AppendTag(trickle, 91, protowire.Fixed64Type), 7)
	trickle = protowire.AppendVarint(protowire.AppendTag(trickle, 92, protowire.VarintType), 7)
	trickle = protowire.AppendGroup(protowire.AppendTag(trickle, 93, protowire.StartGroupType), 93, nil)
	got, err := ParseResponse(proto3.Message(nil, 4, trickle))
	if err != nil || got.Trickle == nil || got.Trickle.Candidate != "{}" {
		t.Errorf("%+v, %v", got, err)
	}
}

func FuzzParseResponse(f *testing.F) {
	for _, r := range responses {
		f.Add(response(r))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseResponse(b)
		if err != nil {
			return
		}
		again, err := ParseResponse(response(r))
		if d := cmp.Diff(r, again); err != nil || d != "" {
			t.Errorf("%v: %s", err, d)
		}
	})
}

func BenchmarkParseResponse(b *testing.B) {
	raw := response(Response{Offer: &Description{Type: "offer", SDP: string(bytes.Repeat([]byte("a=rtcp-mux\r\n"), 200)), ID: 74}})
	b.ReportAllocs()
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		if _, err := ParseResponse(raw); err != nil {
			b.Fatal(err)
		}
	}
}
