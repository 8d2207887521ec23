package moq

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"trellis/wire/hang"
	"trellis/wire/moqlite"
)

func legacyPrefix(pts int64) []byte { return hang.AppendLegacyHeader(nil, uint64(pts)) }

// TestVersions: a publisher and a viewer of each pair of versions.
func TestVersions(t *testing.T) {
	for _, from := range moqlite.Versions() {
		for _, to := range moqlite.Versions() {
			t.Run(fmt.Sprintf("%d to %d", from, to), func(t *testing.T) {
				run(t, nil, func(e *env) { publishAndWatch(e, from, to) })
			})
		}
	}
}

func publishAndWatch(e *env, from, to moqlite.Version) {
	t := e.t
	publisher, viewer := e.client(from, "/"), e.client(to, "/")
	c := e.camera(publisher, "room/alice.hang")
	event := e.announced(viewer, "room", "room/alice.hang")
	if want := publisher.HopID(); from > moqlite.Version03 && to > moqlite.Version03 && event.Hops[0] != want {
		t.Errorf("first hop %d, want the publisher's %d", event.Hops[0], want)
	}
	if len(event.Hops) != 2 || to > moqlite.Version03 && event.Hops[1] != e.server.hop {
		t.Errorf("hops %d, want the publisher's and %d", event.Hops, e.server.hop)
	}

	catalog := e.subscribe(viewer, "room/alice.hang", "catalog.json", moqlite.Delivery{Priority: 100})
	if got := e.next(catalog); string(got.Payload) != catalogJSON {
		t.Errorf("catalog %q", got.Payload)
	}

	video := e.subscribe(viewer, "room/alice.hang", "video/hd", moqlite.Delivery{Priority: 60, MaxLatency: time.Second})
	if to >= moqlite.Version05 && video.Info().Timescale != 1_000_000 {
		t.Errorf("track info %+v, want microseconds", video.Info())
	}
	for i := range 50 {
		size := 100
		if i%10 == 0 {
			size = 40_000
		}
		want := c.frame(i%10 == 0, size)
		sent := time.Now()
		got := e.next(video)
		if !bytes.Equal(got.Payload, want) || got.Group != uint64(i/10) || got.Index != uint64(i%10) {
			t.Fatalf("frame %d: got %d/%d with %d bytes", i, got.Group, got.Index, len(got.Payload))
		}
		if to >= moqlite.Version05 && got.Time != c.pts(i) {
			t.Errorf("frame %d: time %d, want %d", i, got.Time, c.pts(i))
		}
		if transit := got.Arrived.Sub(sent); size == 100 && i > 0 && transit > 2*oneWay+5*time.Millisecond {
			t.Errorf("frame %d took %v, want twice %v", i, transit, oneWay)
		}
		e.sleep(40*time.Millisecond - min(time.Since(sent), 40*time.Millisecond))
	}
	c.broadcast.Close()
	for {
		if _, err := video.Next(e.timeout(5 * time.Second)); err != nil {
			if !endOfStream(err) {
				t.Errorf("end: %v, want io.EOF", err)
			}
			break
		}
	}
}
