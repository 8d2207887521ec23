package moq

import (
	"context"
	"errors"
	"io"
	"slices"

	"trellis/internal/relay"
	"trellis/wire"
	"trellis/wire/moqlite"
)

// maxHops bounds the chain of an announcement; other implementations refuse more.
const maxHops = 32

// announcer tells a client which broadcasts there are below a prefix.
type announcer struct {
	session *session
	stream  *stream
	prefix  wire.Prefix
	exclude uint64                    // the client's own hop id, 0 for none
	live    map[wire.Broadcast]uint64 // announced, with the publisher's id
}

func (ss *session) serveAnnounce(st *stream) error {
	m, err := request(ss, st, moqlite.ParseAnnounceRequest)
	if err != nil {
		return err
	}
	prefix, err := wire.ParsePrefix(moqlite.CleanPath(string(ss.root) + "/" + m.Prefix))
	if err != nil {
		return refuse(wire.CodeDecode, refuseName, err.Error())
	}
	a := &announcer{session: ss, stream: st, prefix: prefix, exclude: m.ExcludeHop & hopIDMask, live: map[wire.Broadcast]uint64{}}
	watch := ss.cfg.Table.WatchAnnounced(prefix)
	defer watch.Close()
	// The request lasts for as long as the client keeps its half open.
	if !ss.start(func() {
		defer watch.Close()
		// Nothing is expected; whatever comes, the read ends with the stream.
		_, _ = io.Copy(io.Discard, st.in)
	}) {
		return context.Cause(ss.ctx)
	}
	if err := a.sendInitial(watch); err != nil {
		return err
	}
	for {
		event, err := watch.Next(ss.ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if b := a.update(nil, event); len(b) > 0 {
			if err := st.write(b); err != nil {
				return err
			}
		}
	}
}

// sendInitial sends what is there already, on 05 with its number in front, on 02 in one
// message.
func (a *announcer) sendInitial(watch *relay.AnnounceWatch) error {
	var initial []byte
	for {
		event, ok, err := watch.TryNext()
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if !ok {
			break
		}
		initial = a.update(initial, event)
	}
	var b []byte
	if a.session.version.HasInitial() {
		var init moqlite.AnnounceInit
		for name := range a.live {
			suffix, _ := name.Suffix(a.prefix) // it was below when it was announced
			init.Suffixes = append(init.Suffixes, suffix)
		}
		return a.stream.send(init)
	}
	if a.session.version >= moqlite.Version05 {
		ok := moqlite.AnnounceOK{Hop: a.session.server.hop, Active: uint64(len(a.live))}
		b = moqlite.AppendMessage(nil, ok, a.session.version)
	}
	if b = append(b, initial...); len(b) == 0 {
		return nil
	}
	return a.stream.write(b)
}

// update appends what the client must be told because of an event.
func (a *announcer) update(b []byte, event relay.AnnounceEvent) []byte {
	v := a.session.version
	suffix, below := event.Name.Suffix(a.prefix)
	if !below {
		return b
	}
	known, isLive := a.live[event.Name]
	hops := chain(event.Announcement, a.session.server, v)
	if !event.Active || !a.visible(event.Announcement, hops) {
		if isLive {
			delete(a.live, event.Name)
			b = moqlite.AppendMessage(b, moqlite.Announce{Suffix: suffix}, v)
		}
		return b
	}
	if isLive && v < moqlite.Version05 {
		// Before 05 a second "active" breaks the protocol. Another path of the same
		// publisher is not worth an interruption, another publisher is one.
		if known == event.PublisherID {
			return b
		}
		b = moqlite.AppendMessage(b, moqlite.Announce{Suffix: suffix}, v)
	}
	a.live[event.Name] = event.PublisherID
	return moqlite.AppendMessage(b, moqlite.Announce{Active: true, Suffix: suffix, Hops: hops}, v)
}

// visible reports whether the client may and needs to know of a broadcast: its
// token covers it, it is not its own, and did not come through it.
func (a *announcer) visible(ann relay.Announcement, hops []uint64) bool {
	switch ss := a.session; {
	case len(hops) > maxHops || !ss.grant.CanSubscribe(ann.Name):
		return false
	case a.exclude != 0 && slices.Contains(hops, a.exclude):
		return false
	default:
		return !ss.owns(ann.Name, ann.Epoch)
	}
}

// chain returns the hop ids of a broadcast, its publisher first. On 05 the client
// knows us from ANNOUNCE_OK; before, we are the last of the chain.
func chain(ann relay.Announcement, s *Server, v moqlite.Version) []uint64 {
	hops := make([]uint64, 0, len(ann.Path)+2)
	hops = append(hops, ann.PublisherID)
	for _, node := range ann.Path {
		hops = append(hops, wire.HopID(node))
	}
	if v < moqlite.Version05 {
		hops = append(hops, s.hop)
	}
	return hops
}
