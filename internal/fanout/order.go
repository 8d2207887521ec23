package fanout

import (
	"fmt"
	"slices"
	"sync"
)

// orders follow the objects of a session's tracks over MoQ. The zero orders has seen
// none.
type orders struct {
	mu     sync.Mutex
	tracks map[string]*order
}

// order follows one track. Groups have streams of their own, so an older one may come
// after a newer one; but each comes once, and in it each object, in turn.
type order struct {
	group, index uint64 // of the last object
	before       []uint64
}

// groupsKept is of how many groups it is known that they came.
const groupsKept = 64

// object takes note of one. It says what is wrong with it, if something is.
func (o *orders) object(track string, group, index uint64) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	t := o.tracks[track]
	if t == nil {
		if o.tracks == nil {
			o.tracks = map[string]*order{}
		}
		o.tracks[track] = &order{group: group, index: index}
		return "" // it may begin in the middle
	}
	last := *t
	t.group, t.index = group, index
	switch {
	case group == last.group && index == last.index+1:
	case group == last.group:
		return fmt.Sprintf("object %d of group %d after %d", index, group, last.index)
	case index != 0:
		return fmt.Sprintf("group %d begins with object %d", group, index)
	case slices.Contains(t.before, group):
		return fmt.Sprintf("group %d came before", group)
	}
	if group != last.group {
		t.before = append(t.before[max(0, len(t.before)-groupsKept+1):], last.group)
	}
	return ""
}
