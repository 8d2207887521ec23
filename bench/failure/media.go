package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"trellis/edge/moq/moqclient"
	"trellis/wire"
	"trellis/wire/hang"
	"trellis/wire/moqlite"
)

// broadcastName is what all runs publish.
const broadcastName = "failure/show"

// stream is one track of what is published. Its names are those by which nodes
// know kinds of tracks.
type stream struct {
	track    string
	kind     wire.Kind
	interval time.Duration
	group    int // objects
	size     int // bytes of an object
}

// streams are a picture of 1.9 Mbit/s and a sound of 48 kbit/s.
var streams = []stream{
	{"video/hd", wire.KindVideo, 33 * time.Millisecond, 30, 8000},
	{"audio/data", wire.KindAudio, 20 * time.Millisecond, 5, 120},
}

// payload is number, time in ns, and the checksum of the whole with it at zero.
func payload(n uint64, at time.Time, size int) []byte {
	b := make([]byte, size)
	binary.BigEndian.PutUint64(b, n)
	binary.BigEndian.PutUint64(b[8:], uint64(at.UnixNano()))
	binary.BigEndian.PutUint32(b[16:], crc32.ChecksumIEEE(b))
	return b
}

func parsePayload(b []byte) (n uint64, err error) {
	frame, err := hang.ParseLegacy(b)
	if err != nil {
		return 0, err
	}
	b = append([]byte(nil), frame.Payload...)
	if len(b) < 20 {
		return 0, errors.New("an object is too short")
	}
	sum := binary.BigEndian.Uint32(b[16:])
	clear(b[16:20])
	if crc32.ChecksumIEEE(b) != sum {
		return 0, errors.New("an object is not what was sent")
	}
	return binary.BigEndian.Uint64(b), nil
}

// publisher publishes the streams until its context ends.
type publisher struct {
	mu   sync.Mutex
	sent map[string][]time.Time // per track, by number
}

// times returns when the objects of a track were sent, by number.
func (p *publisher) times(track string) []time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.sent[track])
}

func moqURL(at netip.AddrPort) string { return "https://" + at.String() + "/" }

// publish runs until ctx ends.
func (p *publisher) publish(ctx context.Context, at netip.AddrPort) error {
	session, err := moqclient.Dial(ctx, moqclient.Config{URL: moqURL(at), Insecure: true})
	if err != nil {
		return fmt.Errorf("publisher: %w", err)
	}
	defer session.Close() //nolint:errcheck // the run is over
	b, err := session.Publish(broadcastName)
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, s := range streams {
		w, err := b.AddTrack(s.track, moqlite.TrackInfo{Priority: s.kind.DefaultPriority(), Timescale: wire.MicrosecondTimescale})
		if err != nil {
			return err
		}
		g.Go(func() error { return p.play(ctx, s, w) })
	}
	return g.Wait()
}

func (p *publisher) play(ctx context.Context, s stream, w *moqclient.TrackWriter) error {
	var g *moqclient.GroupWriter
	start := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for n := uint64(0); ; n++ {
		timer.Reset(time.Until(start.Add(time.Duration(n) * s.interval)))
		select {
		case <-ctx.Done():
			if g != nil {
				g.Close()
			}
			return nil
		case <-timer.C:
		}
		if n%uint64(s.group) == 0 {
			if g != nil {
				g.Close()
			}
			var err error
			if g, err = w.NewGroup(); err != nil {
				return err
			}
		}
		now := time.Now()
		p.mu.Lock()
		p.sent[s.track] = append(p.sent[s.track], now)
		p.mu.Unlock()
		micros := now.UnixMicro()
		frame := hang.Legacy{PTSMicros: uint64(micros), Payload: payload(n, now, s.size)}.Append(nil)
		if err := g.Write(micros, frame); err != nil {
			return err
		}
	}
}

// arrival is an object at a viewer.
type arrival struct {
	n  uint64
	at time.Time
}

// viewer receives all streams at one edge.
type viewer struct {
	edge string

	mu   sync.Mutex
	came map[string][]arrival
	err  error // of what came: the first thing that was wrong with it
}

// watch runs until ctx ends. What happens to single groups is no error: it shows
// as objects that do not come.
func (v *viewer) watch(ctx context.Context, at netip.AddrPort) error {
	session, err := moqclient.Dial(ctx, moqclient.Config{URL: moqURL(at), Insecure: true})
	if err != nil {
		return fmt.Errorf("viewer at %s: %w", v.edge, err)
	}
	defer session.Close() //nolint:errcheck // the run is over
	announced, err := session.Announcements(ctx, broadcastName)
	if err != nil {
		return fmt.Errorf("viewer at %s: %w", v.edge, err)
	}
	if _, err := announced.Wait(ctx, broadcastName); err != nil {
		return fmt.Errorf("viewer at %s: %w", v.edge, err)
	}
	announced.Close()
	g, ctx := errgroup.WithContext(ctx)
	for _, s := range streams {
		g.Go(func() error { return v.follow(ctx, session, s) })
	}
	err = g.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("viewer at %s: %w", v.edge, err)
}

// patience is how old a group may get before the edge gives it up: what was lost
// on the way is to be seen, and not what an edge leaves out for a slow viewer.
const patience = 10 * time.Second

func (v *viewer) follow(ctx context.Context, session *moqclient.Session, s stream) error {
	sub, err := session.Subscribe(ctx, broadcastName, s.track, moqlite.Delivery{Priority: s.kind.DefaultPriority(), Ordered: true, MaxLatency: patience})
	if err != nil {
		return fmt.Errorf("%s: %w", s.track, err)
	}
	defer sub.Close()
	var groups sync.WaitGroup
	defer groups.Wait()
	for {
		g, err := sub.NextGroup(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", s.track, err)
		}
		groups.Go(func() {
			defer g.Close()
			for {
				o, err := g.Next(ctx)
				if err != nil {
					return
				}
				v.take(s.track, o)
			}
		})
	}
}

func (v *viewer) take(track string, o moqclient.Object) {
	n, err := parsePayload(o.Payload)
	v.mu.Lock()
	defer v.mu.Unlock()
	if err != nil {
		v.err = errors.Join(v.err, fmt.Errorf("%s: %s, group %d, object %d: %w", v.edge, track, o.Group, o.Index, err))
		return
	}
	v.came[track] = append(v.came[track], arrival{n, o.Arrived})
}

// arrived reports whether all streams flow.
func (v *viewer) arrived() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.came) == len(streams)
}
