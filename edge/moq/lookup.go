package moq

import (
	"trellis/internal/relay"
	"trellis/wire"
	"trellis/wire/moqlite"
)

// serveTrack tells what a track is like (05). To find out, the track is opened;
// the relay keeps it open for the SUBSCRIBE that follows.
func (ss *session) serveTrack(st *stream) error {
	m, err := request(ss, st, moqlite.ParseTrack)
	if err != nil {
		return err
	}
	name, err := ss.trackName(m.Broadcast, m.Name)
	if err != nil {
		return err
	}
	sub, err := ss.cfg.Table.Subscribe(name, relay.SubscribeOptions{Kind: relay.ReaderMoQ})
	if err != nil {
		return err
	}
	defer sub.Close()
	info, err := ss.awaitInfo(ss.ctx, sub)
	if err != nil {
		return err
	}
	return st.send(moqlite.TrackInfo{
		Priority: info.Priority, Ordered: info.Ordered, MaxLatency: info.MaxLatency, Timescale: info.Timescale,
	})
}

// serveFetch sends one group out of the cache.
func (ss *session) serveFetch(st *stream) error {
	m, err := request(ss, st, moqlite.ParseFetch)
	if err != nil {
		return err
	}
	name, err := ss.trackName(m.Broadcast, m.Track)
	if err != nil {
		return err
	}
	sub, err := ss.cfg.Table.Subscribe(name, relay.SubscribeOptions{
		Kind: relay.ReaderMoQ, Start: relay.Start{Resume: true, Group: m.Group},
	})
	if err != nil {
		return err
	}
	defer sub.Close()
	if _, err := ss.awaitInfo(ss.ctx, sub); err != nil {
		return err
	}
	// Groups are in order of arrival: the one asked for may stand behind others.
	for {
		reader, err := sub.TryNextGroup()
		if err != nil || reader == nil {
			return refuse(wire.CodeNotFound, refuseUnknown, "the group is not in the cache")
		}
		if reader.Seq() == m.Group {
			defer reader.Close()
			return ss.sendFetched(st, reader)
		}
		reader.Close()
	}
}

// sendFetched writes frames whole, so that it can tell their size.
func (ss *session) sendFetched(st *stream, reader *relay.GroupReader) error {
	var at int64
	var frame []byte
	for {
		c, err := reader.Next(ss.ctx)
		if endOfStream(err) {
			return nil
		}
		if err != nil {
			return err
		}
		frame = append(frame, c.Payload...)
		if !c.Last {
			continue
		}
		b := moqlite.FrameHeader{Delta: c.Time - at, Size: uint64(len(frame))}.Append(make([]byte, 0, maxFrameHeader+len(frame)), ss.version)
		at = c.Time
		if err := st.write(append(b, frame...)); err != nil {
			return err
		}
		frame = frame[:0]
	}
}
