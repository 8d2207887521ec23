package relay

import "time"

// evictOverLocked brings the track below its limits. The newest group is never
// evicted for them: its own limit is MaxGroupBytes.
func (t *Track) evictOverLocked() {
	cfg := &t.table.cfg
	for t.live > cfg.MaxGroups && t.evictOldestLocked(DropCacheGroups) {
	}
	for t.bytes > cfg.MaxTrackBytes && t.evictOldestLocked(DropCacheBytes) {
	}
	for t.table.bytes.Load() > cfg.MaxBytes && t.evictOldestLocked(DropCacheBytes) {
	}
	// When even the newest groups of all tracks exceed the node's memory, the
	// track that grows pays.
	if t.table.bytes.Load() > cfg.MaxBytes+int64(cfg.MaxGroupBytes) && t.newest != nil {
		t.abortLocked(t.newest, DropCacheBytes)
		t.evictLocked(t.newest, DropCacheBytes)
	}
}

// evictOldestLocked evicts the group with the lowest sequence, except the newest.
func (t *Track) evictOldestLocked(r DropReason) bool {
	var oldest *group
	for _, g := range t.groups {
		if s, _ := g.state(); s != groupEvicted && g != t.newest && (oldest == nil || g.seq < oldest.seq) {
			oldest = g
			if g.arrival == t.base {
				break // in order, as almost always
			}
		}
	}
	if oldest == nil {
		return false
	}
	t.evictLocked(oldest, r)
	return true
}

func (t *Track) evictLocked(g *group, r DropReason) {
	s, _ := g.state()
	if s == groupEvicted {
		return
	}
	g.setEndLocked(groupEvicted, r)
	g.head, g.tail = nil, nil
	g.addBytesLocked(-g.bytes)
	t.live--
	t.floor = max(t.floor, g.seq+1)
	for len(t.groups) > 0 {
		if s, _ := t.groups[0].state(); s != groupEvicted {
			break
		}
		t.groups[0] = nil
		t.groups = t.groups[1:]
		t.base++
	}
}

// sweep does what depends on time: it evicts what is too old and closes the
// track when nobody has wanted it for a while.
func (t *Track) sweep(now time.Time) {
	cfg := &t.table.cfg
	t.mu.Lock()
	retention := min(max(cfg.Retention, t.info.MaxLatency), maxRetention)
	for _, g := range t.groups {
		if !g.orphaned.IsZero() && now.Sub(g.orphaned) >= cfg.Orphan {
			t.abortLocked(g, DropUpstreamLost)
			g.orphaned = time.Time{}
		}
	}
	for {
		var old *group
		for _, g := range t.groups {
			if s, _ := g.state(); s != groupEvicted && !g.superseded.IsZero() && now.Sub(g.superseded) >= retention {
				old = g
				break
			}
		}
		if old == nil {
			break
		}
		t.evictLocked(old, DropCacheAge)
	}
	t.ages.turn(now)
	// Decided under the lock: a reader that comes later finds the track closed
	// and opens a new one.
	unwanted := !t.pushed && len(t.subList) == 0 && now.Sub(t.idleSince) >= cfg.Linger && t.endLocked(ErrUnwanted)
	t.mu.Unlock()
	if unwanted {
		t.cancel(ErrUnwanted)
		t.broadcast.forget(t)
	}
}

// release gives the track's cache back when its broadcast is gone.
func (t *Track) release() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, g := range t.groups {
		if s, _ := g.state(); s != groupEvicted {
			g.addBytesLocked(-g.bytes)
			g.bytes = 0
		}
	}
}
