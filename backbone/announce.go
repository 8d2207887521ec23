package backbone

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"trellis/internal/relay"
	"trellis/wire"
	"trellis/wire/peer"
)

// remote is a broadcast that entered at another node, as we announce it here.
type remote struct {
	claim
	broadcast *relay.Broadcast // nil where the table knows a newer publisher
	path      []string
}

// knowledge parses a message about records.
func knowledge[M peer.Message](l *link, body []byte, parse func([]byte) (M, error)) (func(), error) {
	msg, err := parse(body)
	return func() { l.mesh.learn(l, msg) }, err
}

// learn takes what a peer tells of records.
func (m *Mesh) learn(l *link, msg peer.Message) {
	now := time.Now()
	m.changed(m.know.Receive(l.peer.Node, msg, now))
	if msg.Type() != peer.TypeAdvert {
		return
	}
	m.metrics.adverts.Inc()
	m.metrics.nodes.Set(float64(len(m.adverts.records)))
	if m.know.doubled && now.Sub(m.doubleSaid) >= 10*time.Second {
		m.doubleSaid = now
		m.log.Error("another process uses our node id", slog.String("peer", l.peer.Node), slog.String("ours", bootTime(m.boot)))
	}
	m.know.doubled = false
}

// watchLocal follows the broadcasts that enter here, for our own record.
func (m *Mesh) watchLocal(ctx context.Context) error {
	w := m.cfg.Table.WatchAnnounced("")
	defer w.Close()
	for {
		e, err := w.Next(ctx)
		if err != nil {
			return err
		}
		if err := m.call(ctx, func() { m.localChanged(e) }); err != nil {
			return err
		}
	}
}

func (m *Mesh) localChanged(e relay.AnnounceEvent) {
	now := time.Now()
	if e.Active && e.Local {
		v := peer.BroadcastValue{Epoch: e.Epoch, PublisherID: e.PublisherID}
		m.adverts.set(peer.EntryBroadcast, string(e.Name), v.Append(nil), now)
		return
	}
	if _, ours := m.adverts.own().broadcasts[e.Name]; ours {
		m.adverts.set(peer.EntryBroadcast, string(e.Name), nil, now)
		m.forgetPlans(e.Name)
		// Another node's publisher may have waited behind ours.
		m.reconcile(e.Name)
	}
}

// reconcile makes the table say of a name what the records say.
func (m *Mesh) reconcile(name wire.Broadcast) {
	r := m.remotes[name]
	c, ok := m.adverts.holder(name)
	if r != nil && ok && r.claim == c && r.live() {
		return
	}
	if r != nil {
		delete(m.remotes, name)
	}
	// The holder may be older than what we announced, when a record has expired
	// or been withdrawn: then that must end first, or the table calls it stale.
	if r != nil && r.live() && (!ok || c.Epoch <= r.Epoch) {
		r.broadcast.End(relay.ErrEnded)
		m.log.Info("broadcast withdrawn", slog.String("broadcast", string(name)), slog.String("origin", r.origin))
	}
	if !ok {
		return
	}
	n := &remote{claim: c, path: m.pathFrom(c.origin)}
	b, err := m.cfg.Table.Announce(relay.Announcement{
		Name: name, Epoch: c.Epoch, PublisherID: c.PublisherID, Origin: c.origin, Path: n.path,
	}, m)
	switch {
	case err == nil:
		n.broadcast = b
		m.log.Info("broadcast announced", slog.String("broadcast", string(name)), slog.String("origin", c.origin))
	case errors.Is(err, relay.ErrStale):
		// A newer publisher is here. The other's node will hear of ours, and end its own.
	default:
		m.log.Warn("broadcast not announced", slog.String("broadcast", string(name)), slog.String("origin", c.origin), slog.Any("err", err))
	}
	m.remotes[name] = n
}

func (r *remote) live() bool { return r.broadcast != nil && r.broadcast.Context().Err() == nil }

// pathFrom returns the nodes from an origin to our best neighbour towards it.
func (m *Mesh) pathFrom(origin string) []string {
	q := Query{Origin: origin, Self: m.self.Node}
	for id, l := range m.links {
		q.Neighbours = append(q.Neighbours, Neighbour{Node: id, Cost: l.cost()})
	}
	all := m.cfg.Router.Rank(m.topology(), q)
	if len(all) == 0 {
		return []string{origin}
	}
	return all[0].Path
}

// pathsEvery is how often paths follow what changes elsewhere: figures, and links
// that they do not use. A path that is broken is replaced within a second.
const pathsEvery = 10 * time.Second

// refreshPaths tells the table by which path broadcasts come now, where that has
// changed. Finding paths takes a walk over all links of the cluster, so it is not
// done for every figure and every link.
func (m *Mesh) refreshPaths(now time.Time) {
	due := m.pathsStale && now.Sub(m.pathsAt) >= pathsEvery
	if m.pathsDirty && !due {
		for _, r := range m.remotes {
			if m.links[last(r.path)] == nil || !m.pathStands(r.path) {
				due = true
				break
			}
		}
	}
	m.pathsDirty = false
	if !due {
		return
	}
	m.pathsStale, m.pathsAt = false, now
	paths := map[string][]string{}
	for _, r := range m.remotes {
		path, ok := paths[r.origin]
		if !ok {
			path = m.pathFrom(r.origin)
			paths[r.origin] = path
		}
		if r.live() && !slices.Equal(path, r.path) {
			r.path = path
			r.broadcast.SetPath(path)
		}
	}
}
