package moqlite

import (
	"bytes"
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trellis/wire"
)

// codec is one message type as the table tests see it.
type codec struct {
	parse func(b []byte, v Version) (Message, error)
	// values are encoded and read back on every version.
	values []Message
	// open marks a message that reaches to the end of the input, so that some
	// prefixes of it are messages too.
	open bool
}

func parser[M Message](parse func([]byte, Version) (M, error)) func([]byte, Version) (Message, error) {
	return func(b []byte, v Version) (Message, error) {
		m, err := parse(b, v)
		if err != nil {
			return nil, err
		}
		return m, nil
	}
}

func responseParser(typ uint64) func([]byte, Version) (Message, error) {
	return func(b []byte, v Version) (Message, error) {
		m, err := ParseResponse(typ, b, v)
		if err != nil {
			return nil, err
		}
		return m, nil
	}
}

var (
	maxVarint = uint64(1)<<62 - 1
	longPath  = strings.Repeat("søknad/", 31) + "x"
	delivery  = Delivery{Priority: 255, Ordered: true, MaxLatency: 90 * time.Second, Start: BoundAt(0), End: BoundAt(1 << 40)}
)

var codecs = map[string]codec{
	"Setup": {parse: parser(ParseSetup), values: []Message{
		Setup{}, Setup{Probe: ProbeIncrease, Role: RolePublisher, Origin: maxVarint, Path: "/a?jwt=b"},
	}},
	"AnnounceRequest": {parse: parser(ParseAnnounceRequest), values: []Message{AnnounceRequest{}, AnnounceRequest{Prefix: longPath}}},
	"AnnounceInit": {parse: parser(ParseAnnounceInit), values: []Message{
		AnnounceInit{}, AnnounceInit{Suffixes: []string{longPath, "", "a"}},
	}},
	"AnnounceOK": {parse: parser(ParseAnnounceOK), values: []Message{AnnounceOK{}, AnnounceOK{maxVarint, 70}}},
	"Announce": {parse: parser(ParseAnnounce), values: []Message{
		Announce{}, Announce{Active: true, Suffix: longPath, Hops: make([]uint64, 32)},
	}},
	"Track":           {parse: parser(ParseTrack), values: []Message{Track{}, Track{longPath, strings.Repeat("t", 256)}}},
	"TrackInfo":       {parse: parser(ParseTrackInfo), values: []Message{TrackInfo{255, true, time.Hour, maxVarint}, TrackInfo{Timescale: 1}}},
	"Subscribe":       {parse: parser(ParseSubscribe), values: []Message{Subscribe{}, Subscribe{maxVarint, longPath, "catalog.json", delivery}}},
	"SubscribeUpdate": {parse: parser(ParseSubscribeUpdate), values: []Message{SubscribeUpdate{}, SubscribeUpdate{delivery}}},
	"Response0":       {parse: responseParser(0)},
	"Response1":       {parse: responseParser(1)},
	"Response2":       {parse: responseParser(2)},
	"Group":           {parse: parser(ParseGroup), values: []Message{Group{}, Group{maxVarint, maxVarint}}},
	"Fetch":           {parse: parser(ParseFetch), values: []Message{Fetch{}, Fetch{longPath, "t", 1, maxVarint}}},
	"Probe":           {parse: parser(ParseProbe), values: []Message{Probe{}, Probe{BitrateBps: maxVarint}}},
	"Goaway":          {parse: parser(ParseGoaway), values: []Message{Goaway{}, Goaway{"https://example.com/"}}},
	"Datagram": {parse: parser(ParseDatagram), open: true, values: []Message{
		Datagram{Payload: []byte{}}, Datagram{maxVarint, maxVarint, maxVarint, []byte("payload")},
	}},
}

func TestRoundTrip(t *testing.T) {
	for name, codec := range codecs {
		for _, want := range codec.values {
			for _, v := range Versions() {
				b := want.Append([]byte("before"), v)[len("before"):]
				got, err := codec.parse(b, v)
				if err != nil {
					t.Errorf("%s %v %+v: %v", name, v, want, err)
					continue
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s %v (-want +got):\n%s", name, v, diff)
				}
			}
		}
	}
}

// Every proper prefix of a message is refused, and so is a byte too many.
func TestPrefixes(t *testing.T) {
	check := func(name string, m Message, v Version) {
		codec := codecs[name]
		b := m.Append(nil, v)
		end := len(b)
		if codec.open {
			end -= len(m.(Datagram).Payload)
		}
		for i := range end {
			if got, err := codec.parse(b[:i], v); err == nil {
				t.Errorf("%s %v %+v: %d of %d bytes parse as %+v", name, v, m, i, len(b), got)
			}
		}
		if codec.open {
			return
		}
		wantCode(t, wire.CodeWrongSize, func() error { _, err := codec.parse(append(b, 0), v); return err })
	}
	for name, codec := range codecs {
		for _, m := range codec.values {
			for _, v := range Versions() {
				check(name, m, v)
			}
		}
	}
	for _, tc := range golden {
		check(tc.codec, tc.want, tc.version)
	}
}

func wantCode(t *testing.T, code wire.Code, parse func() error) {
	t.Helper()
	err := parse()
	var protocol *ProtocolError
	if !errors.As(err, &protocol) || protocol.Code != code {
		t.Errorf("got %v, want a ProtocolError with code %v", err, code)
	}
}

func TestRefused(t *testing.T) {
	for _, tc := range []struct {
		what  string
		codec string
		body  []byte
		want  wire.Code
	}{
		{"a length beyond the body", "Track", []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 'x'}, wire.CodeWrongSize},
		{"not UTF-8", "Track", []byte{1, 0xff, 0}, wire.CodeDecode},
		{"a bool of 2", "TrackInfo", []byte{0, 2, 0, 1}, wire.CodeDecode},
		{"timescale zero", "TrackInfo", []byte{0, 0, 0, 0}, wire.CodeProtocol},
		{"33 parts", "AnnounceRequest", AnnounceRequest{Prefix: longPath + "/y"}.Append(nil, Version05), wire.CodeBounds},
		{"33 hops", "Announce", Announce{Hops: make([]uint64, 33)}.Append(nil, Version05), wire.CodeBounds},
		{"2^62 hops", "Announce", []byte{1, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, wire.CodeBounds},
		{"2^62 broadcasts", "AnnounceInit", []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, wire.CodeBounds},
		{"status 3", "Announce", []byte{3, 0, 0}, wire.CodeDecode},
		{"65 parameters", "Setup", []byte{0x40, 65}, wire.CodeTooMany},
		{"a parameter twice", "Setup", []byte{2, 5, 1, 9, 5, 1, 9}, wire.CodeProtocol},
		{"a parameter too long", "Setup", []byte{1, 5, 2, 9, 9}, wire.CodeWrongSize},
		{"a backward drop", "Response2", []byte{6, 4, 0}, wire.CodeBounds},
	} {
		_, err := codecs[tc.codec].parse(tc.body, Version05)
		var protocol *ProtocolError
		if !errors.As(err, &protocol) || protocol.Code != tc.want {
			t.Errorf("%s: got %v, want code %v", tc.what, err, tc.want)
		}
	}
	wantCode(t, wire.CodeUnexpected, func() error { _, err := ParseResponse(3, nil, Version05); return err })
	wantCode(t, wire.CodeUnexpected, func() error { _, err := ParseResponse(2, []byte{0, 0, 0}, Version04); return err })
	wantCode(t, wire.CodeUnexpected, func() error { _, err := ParseResponse(1, []byte{0, 0, 0}, Version02); return err })
}

func TestSetupUnknown(t *testing.T) {
	// Cost (4) and a grease parameter, an unknown role and a probe beyond 2.
	b := []byte{4, 4, 1, 9, 0x40, 0x99, 3, 1, 2, 3, 3, 1, 7, 1, 1, 9}
	got, err := ParseSetup(b, Version05)
	if want := (Setup{Probe: ProbeIncrease}); err != nil || got != want {
		t.Errorf("ParseSetup = %+v, %v; want %+v", got, err, want)
	}
}

func TestCleanPath(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "/": "", "//": "", "a": "a", "/a/": "a", "a//b": "a/b", "///a////b///": "a/b", "a/b": "a/b",
	} {
		if got := CleanPath(in); got != want {
			t.Errorf("CleanPath(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestVersions(t *testing.T) {
	for _, v := range Versions() {
		if got, ok := ParseVersion(v.String()); !ok || got != v || !v.Valid() {
			t.Errorf("ParseVersion(%q) = %v, %v", v.String(), got, ok)
		}
	}
	for _, s := range []string{"", "moql", "moq-lite-02", "moq-lite-06", "moqt-16", "moq-lite-05 "} {
		if v, ok := ParseVersion(s); ok {
			t.Errorf("ParseVersion(%q) = %v", s, v)
		}
	}
}

func TestMillisSaturate(t *testing.T) {
	b := append(TrackInfo{}.Append(nil, Version05)[:2], 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1)
	got, err := ParseTrackInfo(b, Version05)
	if err != nil || got.MaxLatency < math.MaxInt64-time.Second {
		t.Errorf("ParseTrackInfo = %+v, %v; want the longest duration", got, err)
	}
}

func TestNextTime(t *testing.T) {
	for _, tc := range []struct {
		previous, delta, want int64
		ok                    bool
	}{
		{0, 5, 5, true},
		{10, -15, -5, true},
		{-MaxTime, 2 * MaxTime, MaxTime, true},
		{0, MaxTime + 1, 0, false},
		{MaxTime, 1, 0, false},
		{MaxTime, math.MaxInt64, 0, false},
		{-MaxTime, math.MinInt64, 0, false},
	} {
		got, err := NextTime(tc.previous, tc.delta)
		if (err == nil) != tc.ok || got != tc.want {
			t.Errorf("NextTime(%d, %d) = %d, %v; want %d, ok %v", tc.previous, tc.delta, got, err, tc.want, tc.ok)
		}
	}
	for d, want := range map[int64]uint64{0: 0, -1: 1, 1: 2, -2: 3, maxDelta: 1<<62 - 2, -maxDelta: 1<<62 - 3} {
		if got := zigzag(d); got != want || unzigzag(got) != d {
			t.Errorf("zigzag(%d) = %d, want %d; back: %d", d, got, want, unzigzag(got))
		}
	}
}

type testFrame struct {
	delta   int64
	payload []byte
}

// readGroup reads a whole group stream.
func readGroup(r *Reader, v Version) (UniStreamType, Group, []testFrame, error) {
	typ, err := r.Varint()
	if err != nil {
		return 0, Group{}, nil, err
	}
	body, err := r.Message()
	if err != nil {
		return 0, Group{}, nil, err
	}
	group, err := ParseGroup(body, v)
	if err != nil {
		return 0, Group{}, nil, err
	}
	var frames []testFrame
	for {
		h, err := r.FrameHeader(v, 1<<20)
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return UniStreamType(typ), group, frames, nil
		}
		if err != nil {
			return 0, Group{}, nil, err
		}
		var payload bytes.Buffer
		if n, err := io.CopyN(&payload, r, int64(h.Size)); err != nil {
			return 0, Group{}, nil, errors.Join(io.ErrUnexpectedEOF, err)
		} else if n != int64(h.Size) {
			return 0, Group{}, nil, io.ErrUnexpectedEOF
		}
		frames = append(frames, testFrame{h.Delta, slices.Clone(payload.Bytes())})
	}
}
