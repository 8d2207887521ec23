package moqlite

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/quic-go/quic-go/quicvarint"

	"trellis/wire"
)

// readVector returns the bytes of testdata/name.hex.
func readVector(tb testing.TB, name string) []byte {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".hex"))
	if err != nil {
		tb.Fatal(err)
	}
	var b []byte
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		part, err := hex.DecodeString(strings.Join(strings.Fields(line), ""))
		if err != nil {
			tb.Fatalf("%s: %v", name, err)
		}
		b = append(b, part...)
	}
	return b
}

// framing says what stands before the body in a vector.
type framing int

const (
	body     framing = iota // nothing
	message                 // the length
	stream                  // the type and the length
	response                // the response type and the length
)

// bobVideo is the track that the recorded clients asked for.
var bobVideo = Track{Broadcast: "room/bob.hang", Name: "video/hd"}

// golden lists every vector of one message. lite0x-group, which goes on with
// frames, has a test of its own.
var golden = []struct {
	name    string
	codec   string
	version Version
	framing framing
	typ     uint64
	want    Message
}{
	{"lite05-setup", "Setup", 5, stream, 1, Setup{Origin: 0xd2267783ef569}},
	{"lite05-setup-probe", "Setup", 5, stream, 1, Setup{Probe: ProbeReport, Role: RoleSubscriber, Origin: 0xd2267783ef569}},
	{"lite05-announce-request", "AnnounceRequest", 5, stream, 1, AnnounceRequest{"room", 0xd2267783ef569}},
	{"lite04-announce-request", "AnnounceRequest", 4, stream, 1, AnnounceRequest{"room", 0x149c274ef9ff39}},
	{"lite03-announce-request", "AnnounceRequest", 3, stream, 1, AnnounceRequest{Prefix: "room"}},
	{"lite05-announce-ok", "AnnounceOK", 5, message, 0, AnnounceOK{Hop: 0x1234, Active: 1}},
	{"lite05-announce-active", "Announce", 5, message, 0, Announce{true, "room/bob.hang", []uint64{7, 1000000}}},
	{"lite04-announce-active", "Announce", 4, message, 0, Announce{true, "bob.hang", []uint64{0x1b600bde2a9b8c}}},
	{"lite04-announce-ended", "Announce", 4, message, 0, Announce{Suffix: "bob.hang"}},
	{"lite03-announce-active", "Announce", 3, message, 0, Announce{true, "bob.hang", []uint64{0}}},
	{"lite02-announce-init", "AnnounceInit", 2, message, 0, AnnounceInit{[]string{"bob.hang", "ann/screen.hang"}}},
	{"lite02-announce-active", "Announce", 2, message, 0, Announce{Active: true, Suffix: "bob.hang"}},
	{"lite02-subscribe", "Subscribe", 2, stream, 2, Subscribe{3, "room/bob.hang", "video/hd", Delivery{Priority: 60, MaxLatency: latency02}}},
	{"lite02-subscribe-ok", "Response0", 2, message, 0, SubscribeOK{}},
	{"lite02-subscribe-update", "SubscribeUpdate", 2, message, 0, SubscribeUpdate{Delivery{Priority: 3, MaxLatency: latency02}}},
	{"lite05-track", "Track", 5, stream, 6, bobVideo},
	{"lite05-track-info", "TrackInfo", 5, message, 0, TrackInfo{Priority: 60, MaxLatency: 5 * time.Second, Timescale: 1000000}},
	{"lite04-subscribe", "Subscribe", 4, stream, 2, Subscribe{0, "room/bob.hang", "video/hd", Delivery{Priority: 60, MaxLatency: 500 * time.Millisecond}}},
	{"lite05-subscribe-update-body", "SubscribeUpdate", 5, body, 0, SubscribeUpdate{Delivery{Priority: 3}}},
	{"lite05-subscribe-update-body", "SubscribeUpdate", 3, body, 0, SubscribeUpdate{Delivery{Priority: 3}}},
	{"lite05-subscribe-start-body", "Response0", 5, body, 0, SubscribeStart{0}},
	{"lite05-subscribe-start", "Response0", 5, response, 0, SubscribeStart{17}},
	{"lite05-subscribe-end", "Response1", 5, response, 1, SubscribeEnd{300}},
	{"lite05-subscribe-drop", "Response2", 5, response, 2, SubscribeDrop{4, 6, wire.CodeOld}},
	{"lite04-subscribe-ok-body", "Response0", 4, body, 0, SubscribeOK{Delivery{Priority: 1, MaxLatency: 5 * time.Second}}},
	{"lite04-subscribe-ok-body-publish", "Response0", 4, body, 0, SubscribeOK{Delivery{Priority: 1, Ordered: true}}},
	{"lite04-subscribe-ok", "Response0", 4, response, 0, SubscribeOK{Delivery{Priority: 60, MaxLatency: 500 * time.Millisecond}}},
	{"lite04-subscribe-drop", "Response1", 4, response, 1, SubscribeDrop{4, 6, wire.CodeDropped}},
	{"lite05-fetch", "Fetch", 5, stream, 3, Fetch{"room/bob.hang", "video/hd", 60, 9}},
	{"lite05-probe", "Probe", 5, message, 0, Probe{2500000, 45 * time.Millisecond}},
	{"lite03-probe", "Probe", 3, message, 0, Probe{BitrateBps: 2500000}},
	{"lite05-goaway", "Goaway", 4, stream, 5, Goaway{}},
	{"lite05-datagram", "Datagram", 5, body, 0, Datagram{2, 40, 960000, []byte("opus")}},
}

func TestGolden(t *testing.T) {
	for _, tc := range golden {
		b := readVector(t, tc.name)
		var again []byte
		switch tc.framing {
		case body:
			again = tc.want.Append(nil, tc.version)
		case message:
			again = AppendMessage(nil, tc.want, tc.version)
		case stream, response:
			again = AppendMessage(quicvarint.Append(nil, tc.typ), tc.want, tc.version)
		}
		if !bytes.Equal(again, b) {
			t.Errorf("%s encodes as %x, want %x", tc.name, again, b)
		}

		r := NewReader(bytes.NewReader(b))
		text := b
		if tc.framing == stream || tc.framing == response {
			if typ, err := r.Varint(); err != nil || typ != tc.typ {
				t.Errorf("%s: type %d, %v; want %d", tc.name, typ, err, tc.typ)
			}
		}
		if tc.framing != body {
			var err error
			if text, err = r.Message(); err != nil {
				t.Errorf("%s: %v", tc.name, err)
			}
			if r.Buffered() != 0 {
				t.Errorf("%s: %d bytes left over", tc.name, r.Buffered())
			}
		}
		got, err := codecs[tc.codec].parse(text, tc.version)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
	}
}

// The status "updated" is read on 05 as "active", and not known before.
func TestAnnounceUpdated(t *testing.T) {
	b := readVector(t, "lite05-announce-updated-body")
	got, err := ParseAnnounce(b, Version05)
	if err != nil || !got.Active || got.Suffix != "" {
		t.Errorf("ParseAnnounce(%x) = %+v, %v", b, got, err)
	}
	wantCode(t, wire.CodeDecode, func() error { _, err := ParseAnnounce(b, Version04); return err })
}

func TestGoldenGroup(t *testing.T) {
	type frame struct {
		Delta   int64
		Payload string
	}
	for _, tc := range []struct {
		name    string
		version Version
		want    []frame
	}{
		{"lite05-group", Version05, []frame{{20000, "abc"}, {-1, ""}, {33333, "d"}}},
		{"lite04-group", Version04, []frame{{0, "abc"}, {0, ""}, {0, "d"}}},
	} {
		b := readVector(t, tc.name)
		again := AppendUniStream(nil, UniStreamGroup, Group{SubscribeID: 3, Sequence: 70}, tc.version)
		for _, f := range tc.want {
			again = FrameHeader{f.Delta, uint64(len(f.Payload))}.Append(again, tc.version)
			again = append(again, f.Payload...)
		}
		if !bytes.Equal(again, b) {
			t.Errorf("%s encodes as %x, want %x", tc.name, again, b)
		}

		typ, group, frames, err := readGroup(NewReader(bytes.NewReader(b)), tc.version)
		if err != nil || typ != UniStreamGroup || group != (Group{SubscribeID: 3, Sequence: 70}) {
			t.Errorf("%s: type %v, group %+v, %v", tc.name, typ, group, err)
		}
		var got []frame
		for _, f := range frames {
			got = append(got, frame{f.delta, string(f.payload)})
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
	}
}

// Every file in testdata is used above.
func TestVectorsAreUsed(t *testing.T) {
	used := map[string]bool{"lite05-group": true, "lite04-group": true, "lite05-announce-updated-body": true, "lite02-client-setup": true, "lite02-server-setup": true}
	for _, tc := range golden {
		used[tc.name] = true
	}
	files, err := filepath.Glob("testdata/*.hex")
	if err != nil || len(files) < len(used) {
		t.Fatalf("%d vectors, %v; want at least %d", len(files), err, len(used))
	}
	for _, file := range files {
		if name := strings.TrimSuffix(filepath.Base(file), ".hex"); !used[name] {
			t.Errorf("%s has no test", file)
		}
	}
}
