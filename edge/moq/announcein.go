package moq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"trellis/internal/relay"
	"trellis/wire"
	"trellis/wire/moqlite"
)

// discover learns what the client publishes, and publishes it to the node. It
// owns the publishers; all of them end with it.
func (ss *session) discover() {
	d := &discovery{session: ss, live: map[string]*publisher{}}
	err := d.run()
	d.endAll()
	if err != nil && ss.ctx.Err() == nil {
		// A client that does not publish may refuse to be asked.
		var protocol *moqlite.ProtocolError
		if _, refused := asRefusal(err); refused || errors.As(err, &protocol) {
			ss.note(err)
			ss.end(err)
			return
		}
		ss.log.Debug("client announces nothing", slog.Any("err", err))
	}
}

type discovery struct {
	session *session
	hop     uint64                // the client's own id, on 05
	live    map[string]*publisher // by suffix; nil where it was not accepted
}

func (d *discovery) run() error {
	ss := d.session
	st, err := ss.open(ss.ctx, moqlite.StreamAnnounce, moqlite.AnnounceRequest{ExcludeHop: ss.server.hop})
	if err != nil {
		return fmt.Errorf("ask for announcements: %w", err)
	}
	defer st.resetOn(ss.ctx)()
	if ss.version >= moqlite.Version05 {
		// A client that only watches may take its time, or never answer.
		body, err := st.message(0)
		if err != nil {
			return err
		}
		ok, err := moqlite.ParseAnnounceOK(body, ss.version)
		if err != nil {
			return err
		}
		d.hop = ok.Hop
	}
	if ss.version.HasInitial() {
		if err := d.initial(st); err != nil {
			st.reset(codeOf(err))
			return err
		}
	}
	for {
		body, err := st.message(0)
		if endOfStream(err) {
			st.finish()
			return nil
		}
		if err != nil {
			return err
		}
		m, err := moqlite.ParseAnnounce(body, ss.version)
		if err == nil {
			err = d.apply(m)
		}
		if err != nil {
			st.reset(codeOf(err))
			return err
		}
	}
}

// initial takes what a client of 02 publishes already.
func (d *discovery) initial(st *stream) error {
	body, err := st.message(0) // as above
	if err != nil {
		return err
	}
	m, err := moqlite.ParseAnnounceInit(body, d.session.version)
	if err != nil {
		return err
	}
	for _, suffix := range m.Suffixes {
		if err := d.apply(moqlite.Announce{Active: true, Suffix: suffix}); err != nil {
			return err
		}
	}
	return nil
}

// apply takes one announcement. An error ends the session; what only concerns
// the one broadcast is counted and logged.
func (d *discovery) apply(m moqlite.Announce) error {
	ss := d.session
	old, known := d.live[m.Suffix]
	if !m.Active {
		if known {
			delete(d.live, m.Suffix)
			d.end(old, nil)
		}
		return nil
	}
	switch {
	case known && ss.version < moqlite.Version05:
		return refuse(wire.CodeProtocol, refuseMalformed, fmt.Sprintf("%q announced twice", m.Suffix))
	case !known && len(d.live) >= ss.cfg.MaxPublications:
		return refuse(wire.CodeTooMany, refusePublications, "too many broadcasts announced")
	}
	id := d.publisherID(m)
	if old != nil && old.id == id && old.alive() {
		return nil // another path of the same publisher: nothing changes for us
	}
	if old != nil {
		d.end(old, relay.ErrReplaced)
	}
	p, err := d.publish(m, id)
	if err != nil {
		ss.note(err)
		ss.log.Info("broadcast refused", slog.String("broadcast", m.Suffix), slog.Any("cause", err))
	}
	d.live[m.Suffix] = p
	return nil
}

// publisherID is the first hop that is known: it stays the same for as long as
// the content goes on.
func (d *discovery) publisherID(m moqlite.Announce) uint64 {
	for _, hop := range append(slices.Clone(m.Hops), d.hop) {
		if id := hop & hopIDMask; id != 0 {
			return id
		}
	}
	return d.session.mintedID
}

func (d *discovery) publish(m moqlite.Announce, id uint64) (*publisher, error) {
	ss := d.session
	name, err := ss.absolute(m.Suffix)
	switch {
	case err != nil:
		return nil, refuse(wire.CodeDecode, refuseName, err.Error())
	case slices.Contains(m.Hops, ss.server.hop):
		return nil, refuse(wire.CodeLoop, refuseLoop, "it came through this node")
	case ss.currentRole() == moqlite.RoleSubscriber || !ss.grant.CanPublish(name):
		return nil, refuse(wire.CodeUnauthorized, refuseScope, "not covered by the token")
	}
	p := &publisher{session: ss, path: m.Suffix, name: name, id: id}
	// The table gives the epoch only after it has told its watchers, among which
	// may be this session: until then the name alone says that it is ours.
	ss.mu.Lock()
	before := ss.publishing[name]
	ss.publishing[name] = p
	ss.mu.Unlock()
	b, err := ss.cfg.Table.Announce(relay.Announcement{
		Name: name, PublisherID: id, Origin: ss.cfg.NodeID, Local: true,
	}, p)
	if err != nil {
		ss.mu.Lock()
		if before == nil {
			delete(ss.publishing, name)
		} else {
			ss.publishing[name] = before
		}
		ss.mu.Unlock()
		return nil, err
	}
	p.announced(b)
	ss.metrics.publications.Inc()
	ss.log.Info("broadcast began", slog.String("broadcast", string(name)))
	return p, nil
}

func (d *discovery) end(p *publisher, cause error) {
	if p == nil {
		return
	}
	ss := d.session
	ss.mu.Lock()
	if ss.publishing[p.name] == p {
		delete(ss.publishing, p.name)
	}
	ss.mu.Unlock()
	p.broadcast().End(cause)
	ss.metrics.publications.Dec()
	ss.log.Info("broadcast ended", slog.String("broadcast", string(p.name)), slog.Any("cause", context.Cause(p.broadcast().Context())))
}

// endAll ends what is left: in order if the client said that it leaves, else
// with what happened to it.
func (d *discovery) endAll() {
	cause := context.Cause(d.session.ctx)
	if leftInOrder(cause) {
		cause = nil
	}
	for suffix, p := range d.live {
		delete(d.live, suffix)
		d.end(p, cause)
	}
}
