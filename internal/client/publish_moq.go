package client

import (
	"context"
	"fmt"
	"time"

	"trellis/edge/moq/moqclient"
	"trellis/internal/media"
	"trellis/wire"
	"trellis/wire/hang"
	"trellis/wire/moqlite"
)

// Names of the tracks that we publish, as browsers call them.
const (
	videoTrack = "video/hd"
	audioTrack = "audio/data"
)

// audioGroup is how many Opus packets make a group: 100 ms, so that a stream is
// not needed for each of them.
const audioGroup = 5

// moqSink publishes over MoQ. Presentation times are times of day, which lets
// watchers whose clock is right see how old each frame is.
type moqSink struct {
	session   *moqclient.Session
	name      string
	list      []*playTrack
	broadcast *moqclient.Broadcast
	tracks    []moqTrack
	start     time.Time // of PTS zero
}

type moqTrack struct {
	writer  *moqclient.TrackWriter
	audio   bool
	group   *moqclient.GroupWriter
	objects int // in group
}

func dialMoQSink(ctx context.Context, c Connection, tracks []*playTrack) (sink, error) {
	session, err := moqclient.Dial(ctx, c.moq())
	if err != nil {
		return nil, err
	}
	return &moqSink{session: session, name: string(c.Target.Broadcast), list: tracks}, nil
}

// Begin implements sink.
func (s *moqSink) Begin(start time.Time) (err error) {
	s.start = start
	if s.broadcast, err = s.session.Publish(s.name); err != nil {
		return fmt.Errorf("announce: %w", err)
	}
	if err := s.addCatalog(s.list); err != nil {
		return err
	}
	for _, t := range s.list {
		name, kind := videoTrack, wire.KindVideo
		if t.info.Codec.Audio() {
			name, kind = audioTrack, wire.KindAudio
		}
		w, err := s.broadcast.AddTrack(name, moqlite.TrackInfo{
			Priority: kind.DefaultPriority(), Timescale: wire.MicrosecondTimescale,
		})
		if err != nil {
			return fmt.Errorf("add track %s: %w", name, err)
		}
		s.tracks = append(s.tracks, moqTrack{writer: w, audio: t.info.Codec.Audio()})
	}
	return nil
}

// addCatalog publishes what the tracks are.
func (s *moqSink) addCatalog(tracks []*playTrack) error {
	b, err := catalogOf(tracks).Marshal()
	if err != nil {
		return fmt.Errorf("catalog: %w", err)
	}
	w, err := s.broadcast.AddTrack(hang.CatalogTrack, moqlite.TrackInfo{
		Priority: wire.PriorityCatalog, Timescale: wire.MicrosecondTimescale,
	})
	if err != nil {
		return fmt.Errorf("add track %s: %w", hang.CatalogTrack, err)
	}
	g, err := w.NewGroup()
	if err != nil {
		return fmt.Errorf("catalog: %w", err)
	}
	if err := g.Write(time.Now().UnixMicro(), b); err != nil {
		return fmt.Errorf("catalog: %w", err)
	}
	g.Close()
	return nil
}

// catalogOf describes the tracks.
func catalogOf(tracks []*playTrack) hang.Catalog {
	var c hang.Catalog
	for _, t := range tracks {
		if t.info.Codec.Audio() {
			c.Audio = &hang.Audio{Renditions: map[string]hang.AudioConfig{audioTrack: {
				Codec: t.desc.String(), SampleRate: float64(t.info.Codec.ClockRate()),
				NumberOfChannels: float64(max(t.info.Channels, 1)),
			}}}
			continue
		}
		v := hang.VideoConfig{
			Codec: t.desc.String(), CodedWidth: float64(t.desc.Width), CodedHeight: float64(t.desc.Height),
			Framerate: t.info.FrameRate, OptimizeForLatency: true,
		}
		if v.Framerate > 0 {
			v.JitterMs = 1000 / v.Framerate
		}
		c.Video = &hang.Video{Renditions: map[string]hang.VideoConfig{videoTrack: v}}
	}
	return c
}

func (s *moqSink) Write(i int, f media.Frame) error {
	t := &s.tracks[i]
	if t.group == nil || t.audio && t.objects == audioGroup || !t.audio && f.Key {
		g, err := t.writer.NewGroup()
		if err != nil {
			return err
		}
		t.group, t.objects = g, 0
	}
	t.objects++
	pts := s.start.Add(f.PTS).UnixMicro()

	return t.group.Write(pts, hang.Legacy{PTSMicros: uint64(pts), Payload: f.Data}.Append(nil))
}

func (s *moqSink) Done() <-chan struct{} { return s.session.Context().Done() }
func (s *moqSink) Err() error            { return context.Cause(s.session.Context()) }

// Leaving and Elsewhere implement leaver.
func (s *moqSink) Leaving() <-chan struct{} { return s.session.Draining() }
func (s *moqSink) Elsewhere() string        { return s.session.Elsewhere() }

func (s *moqSink) Close(context.Context) error {
	if s.broadcast != nil {
		s.broadcast.Close()
	}
	return s.session.Close()
}
