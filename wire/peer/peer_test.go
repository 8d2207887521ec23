package peer_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trellis/wire"
	"trellis/wire/peer"
)

var update = flag.Bool("update", false, "write the golden vectors anew; a change of bytes is a new version")

// vector is one message, its bytes in testdata/<name>.hex, and how they parse.
type vector struct {
	name  string
	prose string
	value any
	enc   func() []byte
	parse func([]byte) (any, error)
}

func message[M peer.Message](name, prose string, m M, parse func([]byte) (M, error)) vector {
	return vector{
		name: name, prose: prose, value: m,
		enc: func() []byte { return peer.AppendMessage(nil, m) },
		parse: func(b []byte) (any, error) {
			t, body, rest, err := peer.ParseMessage(b)
			if err != nil {
				return nil, err
			}
			if t != m.Type() || len(rest) != 0 {
				return nil, errors.New("another message")
			}
			return parse(body)
		},
	}
}

func value[V interface{ Append([]byte) []byte }](name, prose string, v V, parse func([]byte) (V, error)) vector {
	return vector{
		name: name, prose: prose, value: v,
		enc:   func() []byte { return v.Append(nil) },
		parse: func(b []byte) (any, error) { return parse(b) },
	}
}

func frame(name, prose string, f peer.Frame) vector {
	return vector{
		name: name, prose: prose, value: f,
		enc: func() []byte {
			if f.End {
				return peer.AppendEnd(nil, f.Objects)
			}
			var c peer.FrameCoder
			return c.AppendObject(nil, f)
		},
		parse: func(b []byte) (any, error) {
			var c peer.FrameCoder
			got, n, err := c.Parse(b)
			if err == nil && n != len(b) {
				return nil, errors.New("bytes left over")
			}
			return got, err
		},
	}
}

// ingress is 2026-11-22 12:00:00 UTC in µs.
const ingress = 1795348800_000000

func vectors() []vector {
	name := wire.TrackName{Broadcast: "room/alice", Track: "video/hd"}
	return []vector{
		message("hello", "HELLO of us-east-1, lane 0, able to relay", peer.Hello{
			Revision: 1, Node: "us-east-1", Cluster: "example", Region: "us-east", Provider: "metal",
			Boot: ingress, Capabilities: peer.CapRelay,
		}, peer.ParseHello),
		message("goaway", "GOAWAY: draining, ten seconds", peer.GoAway{
			Code: wire.CodeGoingAway, DeadlineMs: 10_000, Reason: "upgrade",
		}, peer.ParseGoAway),
		message("lanes", "LANES: four", peer.Lanes{Count: 4}, peer.ParseLanes),
		message("advert", "ADVERT of eu-west-1 from 7 to 9, 20 ms old, 38 ms away: a link, and a broadcast withdrawn", peer.Advert{
			Node: "eu-west-1", Boot: ingress, Base: 7, Seq: 9, AgeMs: 20, Delay: 38 * time.Millisecond, Forgotten: 3,
			Entries: []peer.Entry{
				{Seq: 8, Kind: peer.EntryLink, Key: "us-east-1", Value: []byte{1, 2, 3}},
				{Seq: 9, Kind: peer.EntryBroadcast, Key: "room/alice", Withdrawn: true},
			},
		}, peer.ParseAdvert),
		message("advert_refresh", "ADVERT of eu-west-1 from 9 to 10 without entries: it is alive", peer.Advert{
			Node: "eu-west-1", Boot: ingress, Base: 9, Seq: 10,
		}, peer.ParseAdvert),
		value("entry_node", "value of a NODE entry", peer.NodeValue{
			Region: "eu-west", Provider: "metal", Capabilities: peer.CapRelay, State: peer.NodeDraining, Version: "v1",
			URL: "https://eu-west-1.example", Latitude: 5334, Longitude: -626, EgressMbps: 10_000, UsedMbps: 1200,
			MaxChildren: 32, MaxViewers: 2000, Viewers: 17, PriceMicroUSD: 20_000, Coordinate: []int64{-1250, 300},
		}, peer.ParseNodeValue),
		value("entry_link", "value of a LINK entry: 38, 40 and 45 ms, 1.5 ms jitter, 0.2 % loss", peer.LinkValue{
			DelayMin: 38 * time.Millisecond, DelayP50: 40 * time.Millisecond, DelayP95: 45 * time.Millisecond,
			Jitter: 1500 * time.Microsecond, LossPpm: 2000,
		}, peer.ParseLinkValue),
		value("entry_broadcast", "value of a BROADCAST entry", peer.BroadcastValue{
			Epoch: ingress, PublisherID: 1<<53 - 1,
		}, peer.ParseBroadcastValue),
		message("known", "KNOWN: two records, one of them 41.2 ms away, one our own", peer.Known{Records: []peer.KnownRecord{
			{Ref: peer.RefOf("us-east-1", ingress), Seq: 300, Delay: 41200 * time.Microsecond}, {Ref: peer.RefOf("b", 1), Seq: 1},
		}}, peer.ParseKnown),
		message("graft", "GRAFT: one record from 300 on, another from its beginning", peer.Graft{Records: []peer.GraftRecord{
			{Ref: peer.RefOf("us-east-1", ingress), Seq: 300}, {Ref: peer.RefOf("b", 1)},
		}}, peer.ParseGraft),
		message("prune", "PRUNE: one record", peer.Prune{Refs: []peer.Ref{peer.RefOf("us-east-1", ingress)}}, peer.ParsePrune),
		message("fresh", "FRESH: a record at 304, last changed at 300, 120 ms old, 41.2 ms away", peer.Fresh{Records: []peer.FreshRecord{
			{Ref: peer.RefOf("us-east-1", ingress), Seq: 304, Quiet: 4, AgeMs: 120, Delay: 41200 * time.Microsecond},
		}}, peer.ParseFresh),
		message("keep", "KEEP: the sender wants the link", peer.Keep{Wanted: true}, peer.ParseKeep),
		message("subscribe", "SUBSCRIBE 1 to video/hd of room/alice at the newest group, asked by two nodes", peer.Subscribe{
			ID: 1, Track: name, Epoch: ingress, Hops: []string{"ap-southeast-1", "us-east-1"},
		}, peer.ParseSubscribe),
		message("subscribe_resume", "SUBSCRIBE 2, resuming at object 17 of group 300", peer.Subscribe{
			ID: 2, Track: name, Epoch: ingress, Start: peer.Start{Resume: true, Group: 300, Object: 17}, Hops: []string{"us-east-1"},
		}, peer.ParseSubscribe),
		message("subscribe_standby", "SUBSCRIBE 3 on standby, by way of eu-west-1 and eu-north-1", peer.Subscribe{
			ID: 3, Track: name, Epoch: ingress, Hops: []string{"us-east-1"}, Mode: peer.ModeStandby, Route: []string{"eu-west-1", "eu-north-1"},
		}, peer.ParseSubscribe),
		message("subscribe_ok", "SUBSCRIBE_OK 1: video, priority 60, 500 ms, microseconds, from eu-west-1", peer.SubscribeOK{
			ID: 1, Path: []string{"eu-west-1"}, Info: wire.TrackInfo{
				Kind: wire.KindVideo, Priority: 60, MaxLatency: 500 * time.Millisecond, Timescale: 1_000_000,
			},
		}, peer.ParseSubscribeOK),
		message("subscribe_error", "SUBSCRIBE_ERROR 1: loop", peer.SubscribeError{
			ID: 1, Code: wire.CodeLoop, Reason: "us-east-1 is on the path",
		}, peer.ParseSubscribeError),
		message("subscribe_error_busy", "SUBSCRIBE_ERROR 2: busy, two nodes to ask instead", peer.SubscribeError{
			ID: 2, Code: wire.CodeBusy, Reason: "32 children", Alternatives: []string{"eu-west-2", "us-east-1"},
		}, peer.ParseSubscribeError),
		message("resume", "RESUME 3 at object 17 of group 300", peer.Resume{
			ID: 3, Start: peer.Start{Resume: true, Group: 300, Object: 17},
		}, peer.ParseResume),
		message("pause", "PAUSE 3", peer.Pause{ID: 3}, peer.ParsePause),
		message("refresh", "REFRESH 3", peer.Refresh{ID: 3}, peer.ParseRefresh),
		message("unsubscribe", "UNSUBSCRIBE 1: cancel", peer.Unsubscribe{ID: 1, Code: wire.CodeCancel}, peer.ParseUnsubscribe),
		message("track_end", "TRACK_END 1: closed after 321 group streams", peer.TrackEnd{ID: 1, Code: wire.CodeClosed, Streams: 321}, peer.ParseTrackEnd),
		message("demand", "DEMAND 1, full: 100000 viewers at one node 43 ms away, which plan 7 wants elsewhere, where it was refused; a relay", peer.Demand{
			ID: 1, Full: true, Entries: []peer.DemandEntry{
				{
					Node: "us-east-1", Viewers: 100_000, Parent: "eu-west-1", Version: 7, Obstacle: wire.CodeBusy,
					Age: peer.Age{State: peer.AgeMeasured, P50: 43 * time.Millisecond, Err: 900 * time.Microsecond},
				},
				{Node: "us-west-2", Age: peer.Age{State: peer.AgeUnsynchronised}},
			},
		}, peer.ParseDemand),
		message("demand_gone", "DEMAND 1, a difference: one node has left, another lost its parent", peer.Demand{
			ID: 1, Entries: []peer.DemandEntry{{Node: "us-east-1", Gone: true}, {Node: "b", Viewers: 2, Version: 8}},
		}, peer.ParseDemand),
		message("path", "PATH 1: now through us-east-1, at 40.5 ms within 1 ms", peer.Path{ID: 1, Hops: []peer.Hop{
			{Node: "eu-west-1"},
			{Node: "us-east-1", Age: peer.Age{State: peer.AgeMeasured, P50: 40500 * time.Microsecond, Err: time.Millisecond}},
		}}, peer.ParsePath),
		message("plan", "PLAN 1, version 7: us-east-1 from eu-west-1, hot by eu-north-1; no place for b", peer.Plan{
			ID: 1, Version: 7, Routes: []peer.Route{
				{
					Node: "us-east-1", Path: []string{"eu-west-1"}, Backup: []string{"eu-west-1", "eu-north-1"},
					Delay: 38 * time.Millisecond, BackupDelay: 61 * time.Millisecond, Bound: 80 * time.Millisecond, Protect: peer.MaxProtect,
					PriceMicroUSD: 90_000, Since: ingress, Reason: "cheaper", Note: "38 ms instead of 52 ms",
				},
				{Node: "b", Reason: "unreachable"},
			},
		}, peer.ParsePlan),
		value("probe", "probe 12 of a link with media, echoing probe 11", peer.Probe{
			Seq: 12, PeriodMs: 100, Sent: ingress, EchoSeq: 11, EchoSent: ingress - 50_000, EchoHeard: ingress - 10_000, Heard: 11,
		}, peer.ParseProbe),
		{
			name: "group", prose: "stream type and header: subscription 1, group 300, from object 17",
			value: peer.GroupHeader{Subscription: 1, Group: 300, Object: 17},
			enc:   func() []byte { return peer.GroupHeader{Subscription: 1, Group: 300, Object: 17}.Append(nil) },
			parse: func(b []byte) (any, error) {
				typ, n, err := peer.ParseStreamType(b)
				if err != nil || typ != peer.StreamGroup {
					return nil, errors.Join(err, errors.New("not a group"))
				}
				h, _, err := peer.ParseGroupHeader(b[n:])
				return h, err
			},
		},
		frame("object", "first object of a stream: 10 s in, ingress known to 1.2 ms, 1500 bytes", peer.Frame{
			Time: 10_000_000, Ingress: ingress, IngressErr: 1200, Size: 1500,
		}),
		frame("object_chunked", "first object of a stream: negative time, unsynchronised, size unknown", peer.Frame{
			Time: -40_000, Ingress: ingress, IngressErr: -1, Chunked: true,
		}),
		frame("end", "End of a group of 30 objects", peer.Frame{End: true, Objects: 30}),
	}
}

func TestGolden(t *testing.T) {
	for _, v := range vectors() {
		file := filepath.Join("testdata", v.name+".hex")
		got := v.enc()
		if *update {
			if err := os.WriteFile(file, []byte("# "+v.prose+"\n"+hex.EncodeToString(got)+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want := readHex(t, file)
		if !bytes.Equal(got, want) {
			t.Errorf("%s encodes to\n%x, want\n%x", v.name, got, want)
		}
		back, err := v.parse(want)
		if err != nil {
			t.Errorf("%s: %v", v.name, err)
		} else if d := cmp.Diff(v.value, back); d != "" {
			t.Errorf("%s: parsed value differs (-want +got):\n%s", v.name, d)
		}
	}
}

// TestPrefixes: every proper prefix of a message is refused as such.
func TestPrefixes(t *testing.T) {
	for _, v := range vectors() {
		whole := v.enc()
		for n := range whole {
			if _, err := v.parse(whole[:n]); !errors.Is(err, peer.ErrShort) {
				t.Errorf("%s cut to %d of %d bytes: %v, want ErrShort", v.name, n, len(whole), err)
			}
		}
	}
}

// TestBodyPrefixes: a body that is short of its fields is refused even where the
// message's length admits to it.
func TestBodyPrefixes(t *testing.T) {
	for _, v := range vectors() {
		m, ok := v.value.(peer.Message)
		if !ok {
			continue
		}
		body := m.Append(nil)
		for n := range body {
			if _, err := v.parse(peer.AppendMessage(nil, raw{m.Type(), body[:n]})); !errors.Is(err, peer.ErrShort) {
				t.Errorf("%s: body of %d of %d bytes: %v, want ErrShort", v.name, n, len(body), err)
			}
		}
	}
}

// TestLaterRevision: what stands behind the known fields is ignored.
func TestLaterRevision(t *testing.T) {
	for _, v := range vectors() {
		m, ok := v.value.(peer.Message)
		if !ok {
			continue
		}
		back, err := v.parse(peer.AppendMessage(nil, raw{m.Type(), append(m.Append(nil), "new fields"...)}))
		if err != nil {
			t.Errorf("%s with more fields: %v", v.name, err)
		} else if d := cmp.Diff(v.value, back); d != "" {
			t.Errorf("%s with more fields (-want +got):\n%s", v.name, d)
		}
	}
}

type raw struct {
	t    peer.Type
	body []byte
}

func (r raw) Type() peer.Type        { return r.t }
func (r raw) Append(b []byte) []byte { return append(b, r.body...) }

// TestLyingCounts: a count or length that the bytes cannot hold costs nothing.
func TestLyingCounts(t *testing.T) {
	huge := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff} // 2^62-1
	full := []byte{0x90, 0x00}                                     // no: 4096 needs two bytes
	full = append(full[:0], 0x50, 0x00)                            // 4096 as a varint
	advert := peer.Advert{Node: "n", Boot: 1, Seq: 1}.Append(nil)
	advert = advert[:len(advert)-1]
	for _, tc := range []struct {
		name  string
		in    []byte
		parse func([]byte) error
		want  error
	}{
		{"message of 2^62-1 bytes", append([]byte{1}, huge...), func(b []byte) error { _, _, _, err := peer.ParseMessage(b); return err }, peer.ErrBounds},
		{"advert of 2^62-1 entries", append(bytes.Clone(advert), huge...), func(b []byte) error { _, err := peer.ParseAdvert(b); return err }, peer.ErrBounds},
		{"advert of 4096 absent entries", append(bytes.Clone(advert), full...), func(b []byte) error { _, err := peer.ParseAdvert(b); return err }, peer.ErrShort},
		{"known of 2^62-1 records", huge, func(b []byte) error { _, err := peer.ParseKnown(b); return err }, peer.ErrBounds},
		{"graft of 4096 absent records", full, func(b []byte) error { _, err := peer.ParseGraft(b); return err }, peer.ErrShort},
		{"prune of 2^62-1 records", huge, func(b []byte) error { _, err := peer.ParsePrune(b); return err }, peer.ErrBounds},
		{"fresh of 2^62-1 records", huge, func(b []byte) error { _, err := peer.ParseFresh(b); return err }, peer.ErrBounds},
		{"quiet for longer than it is", peer.Fresh{Records: []peer.FreshRecord{{Seq: 3, Quiet: 4}}}.Append(nil), func(b []byte) error { _, err := peer.ParseFresh(b); return err }, peer.ErrMalformed},
		{"path of 2^62-1 hops", append([]byte{1}, huge...), func(b []byte) error { _, err := peer.ParsePath(b); return err }, peer.ErrBounds},
		{"demand of 2^62-1 nodes", append([]byte{1, 1}, huge...), func(b []byte) error { _, err := peer.ParseDemand(b); return err }, peer.ErrBounds},
		{"demand of 512 absent nodes", []byte{1, 1, 0x42, 0x00}, func(b []byte) error { _, err := peer.ParseDemand(b); return err }, peer.ErrShort},
		{"plan of 2^62-1 routes", append([]byte{1, 1}, huge...), func(b []byte) error { _, err := peer.ParsePlan(b); return err }, peer.ErrBounds},
		{"plan of 256 absent routes", []byte{1, 1, 0x41, 0x00}, func(b []byte) error { _, err := peer.ParsePlan(b); return err }, peer.ErrShort},
		{"protection of grade 4", peer.Plan{Routes: []peer.Route{{Node: "n", Protect: 4}}}.Append(nil), func(b []byte) error { _, err := peer.ParsePlan(b); return err }, peer.ErrBounds},
		{"subscribe in mode 2", peer.Subscribe{ID: 1, Track: wire.TrackName{Broadcast: "a", Track: "v"}, Mode: 2}.Append(nil), func(b []byte) error { _, err := peer.ParseSubscribe(b); return err }, peer.ErrBounds},
		{"nine alternatives", peer.SubscribeError{Alternatives: strings.Split("a,b,c,d,e,f,g,h,i", ",")}.Append(nil), func(b []byte) error { _, err := peer.ParseSubscribeError(b); return err }, peer.ErrBounds},
		{"chunk of 2^62-1 bytes", huge, func(b []byte) error { _, _, err := peer.ParseChunkSize(b); return err }, peer.ErrBounds},
		{"object of 2^62-1 bytes", append([]byte{5, 0, 0, 0}, huge...), func(b []byte) error { var c peer.FrameCoder; _, _, err := c.Parse(b); return err }, peer.ErrBounds},
		{"object without an error first", []byte{1, 0, 0, 0}, func(b []byte) error { var c peer.FrameCoder; _, _, err := c.Parse(b); return err }, peer.ErrMalformed},
		{"frame with unknown flags", []byte{9, 0, 0, 0}, func(b []byte) error { var c peer.FrameCoder; _, _, err := c.Parse(b); return err }, peer.ErrMalformed},
		{"chunk flag without object", []byte{2, 0, 0, 0}, func(b []byte) error { var c peer.FrameCoder; _, _, err := c.Parse(b); return err }, peer.ErrMalformed},
		{"node id with a slash", []byte{1, 3, 'a', '/', 'b', 0, 0, 0, 1, 0, 0}, func(b []byte) error { _, err := peer.ParseHello(b); return err }, peer.ErrMalformed},
		{"advert that goes back", peer.Advert{Node: "n", Boot: 1, Base: 2, Seq: 2}.Append(nil), func(b []byte) error { _, err := peer.ParseAdvert(b); return err }, peer.ErrMalformed},
		{"subscribe to ..", peer.Subscribe{ID: 1, Track: wire.TrackName{Broadcast: "a/../b", Track: "v"}}.Append(nil), func(b []byte) error { _, err := peer.ParseSubscribe(b); return err }, wire.ErrName},
		{"subscribe to 300 parts", peer.Subscribe{ID: 1, Track: wire.TrackName{Broadcast: wire.Broadcast(strings.Repeat("a/", 299) + "a"), Track: "v"}}.Append(nil), func(b []byte) error { _, err := peer.ParseSubscribe(b); return err }, wire.ErrName},
	} {
		if err := tc.parse(tc.in); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
		allocs := testing.AllocsPerRun(10, func() { _ = tc.parse(tc.in) }) // the error was looked at above
		if allocs > 40 {                                                   // an error and its text; a list would be thousands
			t.Errorf("%s: %v allocations", tc.name, allocs)
		}
	}
}

// TestFrameCoder: fields are differences within a stream.
func TestFrameCoder(t *testing.T) {
	frames := []peer.Frame{
		{Time: 1000, Ingress: ingress, IngressErr: 50, Size: 3},
		{Time: 21_000, Ingress: ingress + 20_010, IngressErr: 50, Size: 0},
		{Time: 11_000, Ingress: ingress + 20_020, IngressErr: -1, Chunked: true},
		{Time: 41_000, Ingress: ingress + 60_000, IngressErr: -1, Size: peer.MaxObjectBytes},
	}
	var enc, dec peer.FrameCoder
	var b []byte
	for _, f := range frames {
		b = enc.AppendObject(b, f)
	}
	b = peer.AppendEnd(b, 4)
	for i, want := range append(frames, peer.Frame{End: true, Objects: 4}) {
		// A reader of a stream asks again with each byte that comes.
		var got peer.Frame
		var n int
		var err error
		for have := range len(b) + 1 {
			if got, n, err = dec.Parse(b[:have]); !errors.Is(err, peer.ErrShort) {
				break
			}
		}
		if err != nil {
			t.Fatalf("frame %d: %v", i, err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("frame %d (-want +got):\n%s", i, d)
		}
		b = b[n:]
	}
	if len(b) != 0 {
		t.Errorf("%d bytes left", len(b))
	}
}

// TestFrameNeverPanics: what a publisher may put into Time must not stop a node.
func TestFrameNeverPanics(t *testing.T) {
	for _, v := range []int64{-1 << 63, 1<<63 - 1, 1 << 61, -1 << 61} {
		var enc, dec peer.FrameCoder
		b := enc.AppendObject(nil, peer.Frame{Time: v, Ingress: v, IngressErr: v})
		b = enc.AppendObject(b, peer.Frame{Time: -v, Ingress: -v, IngressErr: v})
		for range 2 {
			_, n, err := dec.Parse(b)
			if err != nil {
				t.Fatalf("time %d: %v", v, err)
			}
			b = b[n:]
		}
	}
}

func TestMaxBytes(t *testing.T) {
	const most = 1<<62 - 1
	if n := len(peer.Probe{most, most, most, most, most, most, most}.Append(nil)); n > peer.MaxProbeBytes {
		t.Errorf("probe of %d bytes", n)
	}
	if n := len(peer.GroupHeader{most, most, most}.Append(nil)); n > peer.MaxGroupHeaderBytes {
		t.Errorf("group header of %d bytes", n)
	}
	var c peer.FrameCoder
	if n := len(c.AppendObject(nil, peer.Frame{Time: 1 << 59, Ingress: 1 << 59, IngressErr: 1 << 59, Size: 8 << 20})); n > peer.MaxFrameBytes {
		t.Errorf("frame of %d bytes", n)
	}
}

func TestRouteLen(t *testing.T) {
	for _, r := range []peer.Route{
		{Node: "n"}, {Node: "us-east-1", Path: []string{"a", "b"}, Backup: []string{"c"}, Delay: time.Second, Protect: 2, Reason: "cheaper", Note: "x"},
	} {
		with := peer.Plan{Routes: []peer.Route{r}}.Append(nil)
		without := peer.Plan{}.Append(nil)
		if got, want := r.Len(), len(with)-len(without); got != want {
			t.Errorf("%+v: Len %d, takes %d", r, got, want)
		}
	}
}

func TestEntryLen(t *testing.T) {
	for _, e := range []peer.Entry{
		{Seq: 1, Kind: 1}, {Seq: 100, Kind: 3, Key: "room/alice", Value: make([]byte, 100)}, {Seq: 1 << 40, Kind: 3, Key: "x", Withdrawn: true},
	} {
		with := peer.Advert{Node: "n", Boot: 1, Seq: 1 << 41, Entries: []peer.Entry{e}}.Append(nil)
		without := peer.Advert{Node: "n", Boot: 1, Seq: 1 << 41}.Append(nil)
		if got, want := e.Len(), len(with)-len(without); got != want {
			t.Errorf("%+v: Len %d, takes %d", e, got, want)
		}
	}
}

func readHex(tb testing.TB, file string) []byte {
	tb.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	_, digits, ok := strings.Cut(string(text), "\n")
	if !ok || !strings.HasPrefix(string(text), "# ") {
		tb.Fatalf("%s: want a line of prose, then hex", file)
	}
	b, err := hex.DecodeString(strings.TrimSpace(digits))
	if err != nil {
		tb.Fatalf("%s: %v", file, err)
	}
	return b
}
