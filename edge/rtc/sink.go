package rtc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"trellis/edge/framing"
	"trellis/edge/rtc/transport"
	"trellis/wire"
)

// SinkWriter is where the packets of one track go for one viewer: an RTP payload
// with its extended sequence number and its marker. The payload is the caller's
// again when it returns.
type SinkWriter interface {
	WritePacket(index uint64, marker bool, payload []byte)
}

// sinkOut stands where a peer connection's transport would.
type sinkOut struct{ w SinkWriter }

// Send implements packetOut.
func (o *sinkOut) Send(_ *transport.Batch, header, payload []byte, _ uint32, index uint64) error {
	o.w.WritePacket(index, header[1]&0x80 != 0, payload)
	return nil
}

// SendRTCP implements packetOut: reports are for players.
func (*sinkOut) SendRTCP(*transport.Batch, []byte) error { return nil }

// Sinks are viewers of one broadcast that are there to be counted: they take the
// packets that a WebRTC viewer of this edge would be sent, out of the same lanes,
// before encryption and without a peer connection. Simulations use them where the
// number of viewers matters and not their transport.
//
// They are not sessions: no limit counts them. Run must have returned before the
// edge ends.
type Sinks struct {
	edge   *Edge
	tracks []*sinkTrack
}

type sinkTrack struct {
	kind framing.Codec

	mu      sync.Mutex
	hold    *laneHold
	viewers []*viewer
	room    []sinkViewer // for those that come
}

// sinkViewer is a viewer and its way out, in one piece.
type sinkViewer struct {
	viewer viewer
	out    sinkOut
}

// OpenSinks takes hold of the broadcast's picture and sound, as a viewer's
// request does.
func (e *Edge) OpenSinks(ctx context.Context, b wire.Broadcast) (*Sinks, error) {
	c, err := e.readCatalog(ctx, b, true, true)
	if err != nil {
		return nil, fmt.Errorf("sinks of %s: %w", b, err)
	}
	s := &Sinks{edge: e}
	add := func(key laneKey, codec string) error { //nolint:contextcheck // a lane outlives the viewer that it was opened for
		p, err := framing.ParseParams(codec)
		if err != nil {
			return fmt.Errorf("sinks of %s: %w", b, err)
		}
		key.broadcast, key.codec = b, p.Codec
		h, err := e.egress.hold(key, renditionsOf(c, key))
		if err != nil {
			s.release()
			return fmt.Errorf("sinks of %s: %w", b, err)
		}
		s.tracks = append(s.tracks, &sinkTrack{kind: key.codec, hold: h})
		return nil
	}
	if all := c.VideoTracks(); len(all) > 0 {
		if err := add(laneKey{container: all[0].Container}, all[0].Codec); err != nil {
			return nil, err
		}
	}
	if all := c.AudioTracks(); len(all) > 0 {
		if err := add(laneKey{container: all[0].Container, track: all[0].Track}, all[0].Codec); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Reserve makes room for n viewers. They then lie one behind the other, as a lane
// walks them: with a hundred thousand, what a packet costs is mostly waiting for
// the memory in which its viewer lies.
func (s *Sinks) Reserve(n int) {
	for _, t := range s.tracks {
		t.mu.Lock()
		t.room = make([]sinkViewer, n)
		t.mu.Unlock()
	}
}

// Add makes one more viewer, which gets a writer for each track. It begins as
// others do: with the first object of the newest group that is cached.
func (s *Sinks) Add(writer func(framing.Codec) SinkWriter) {
	for i, t := range s.tracks {
		t.mu.Lock()
		if len(t.room) == 0 {
			t.room = make([]sinkViewer, 1)
		}
		v := &t.room[0]
		t.room = t.room[1:]
		v.out.w = writer(t.kind)
		v.viewer = *newViewer(viewerConfig{
			out: &v.out, ssrc: uint32(i + 1), pt: uint8(96 + i), clockRate: t.kind.ClockRate(), audio: t.kind.Audio(),
		})
		t.viewers = append(t.viewers, &v.viewer)
		h := t.hold
		t.mu.Unlock()
		h.join(&v.viewer)
	}
}

// Run keeps the viewers on their tracks until ctx ends, and lets go of them. As
// for any viewer, a track that breaks off is waited for.
func (s *Sinks) Run(ctx context.Context) {
	defer s.release()
	var wg sync.WaitGroup
	for _, t := range s.tracks {
		wg.Go(func() { s.follow(ctx, t) })
	}
	wg.Wait()
}

func (s *Sinks) follow(ctx context.Context, t *sinkTrack) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.hold.life.Done():
		}
		if errors.Is(t.hold.err, io.EOF) {
			return // the publisher ended it
		}
		next, err := s.edge.resume(ctx, t.hold.key, t.hold.log)
		if err != nil {
			return
		}
		t.mu.Lock()
		before := t.hold
		t.hold = next
		viewers := t.viewers
		t.mu.Unlock()
		s.edge.egress.release(before)
		for _, v := range viewers {
			v.move() // it is ours again: the lane has ended
			next.join(v)
		}
	}
}

func (s *Sinks) release() {
	for _, t := range s.tracks {
		t.mu.Lock()
		h := t.hold
		t.mu.Unlock()
		s.edge.egress.release(h)
	}
}
