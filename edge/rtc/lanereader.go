package rtc

import (
	"cmp"
	"errors"
	"io"
	"slices"
	"time"

	"trellis/internal/relay"
)

const (
	// laneGroups bounds the groups that a lane reads side by side: more than
	// groupPatience of sound that comes with a group for each 20 ms.
	laneGroups = 16
	// groupPatience is how long a group that stands still may hold up a newer one
	// that is there: groups travel on streams of their own and overtake each other
	// when one loses a packet. A player's buffer covers about that much; a packet
	// lost once on a link of up to 150 ms of round trip is repaired within it.
	groupPatience = 200 * time.Millisecond
)

// laneReader reads the objects of a track whole and in order. Groups are taken
// by sequence; one that is not complete when a newer one is there is waited for,
// briefly. It belongs to the lane's goroutine, takes the time as an argument and
// never blocks.
type laneReader struct {
	sub  *relay.Subscription
	skip func(skip)

	groups  []*openGroup // by sequence; the first is being read
	last    uint64       // sequence + 1 of the newest group that was read from
	regular bool         // the last two groups followed one another without a hole
	held    bool         // the first group waits for one before it
	ended   error        // why the subscription ended
	object  []byte       // of the current object, when it came in pieces
}

type openGroup struct {
	reader  *relay.GroupReader
	arrived time.Time
	begun   bool // an object of it was returned
}

// laneInput is one whole object.
type laneInput struct {
	relay.ObjectHeader
	payload []byte
	// first says that the object is the first of its group.
	first bool
	// broken says that objects right before this one are missing.
	broken bool
}

// next returns the next object that is there. False: nothing until wake, or
// until the channels of ready yield.
func (r *laneReader) next(now time.Time) (in laneInput, ok bool, err error) {
	for {
		r.admit(now)
		if len(r.groups) == 0 {
			return laneInput{}, false, r.ended
		}
		g := r.groups[0]
		if r.held = r.waitsForEarlier(now); r.held {
			return laneInput{}, false, nil
		}
		c, ok, err := g.reader.TryNext()
		switch {
		case err != nil:
			if !errors.Is(err, io.EOF) {
				r.skip(skipAborted)
			}
			r.drop()
			continue
		case !ok:
			if deadline, waits := r.patience(); waits && !now.Before(deadline) {
				r.skip(skipStalled)
				r.drop()
				continue
			}
			return laneInput{}, false, nil
		}
		if in, ok := r.assemble(g, c); ok {
			return in, true, nil
		}
	}
}

// assemble adds a chunk and returns the object once it is whole.
func (r *laneReader) assemble(g *openGroup, c relay.Chunk) (laneInput, bool) {
	payload := c.Payload
	if !c.First || !c.Last {
		if c.First {
			r.object = r.object[:0]
		}
		r.object = append(r.object, c.Payload...)
		payload = r.object
	}
	if !c.Last {
		return laneInput{}, false
	}
	in := laneInput{ObjectHeader: c.ObjectHeader, payload: payload, first: c.Object == 0, broken: !g.begun && c.Object > 0}
	if !g.begun {
		g.begun = true
		seq := g.reader.Seq()
		r.regular = r.last == seq
		r.last = seq + 1
	}
	return in, true
}

// admit takes new groups from the subscription, in order of sequence.
func (r *laneReader) admit(now time.Time) {
	for len(r.groups) < laneGroups && r.ended == nil {
		g, err := r.sub.TryNextGroup()
		if err != nil {
			r.ended = err
			return
		}
		if g == nil {
			return
		}
		if g.Seq() < r.last { // what came after it has been sent
			r.skip(skipLate)
			g.Close()
			continue
		}
		i, _ := slices.BinarySearchFunc(r.groups, g.Seq(), func(o *openGroup, seq uint64) int {
			return cmp.Compare(o.reader.Seq(), seq)
		})
		r.groups = slices.Insert(r.groups, i, &openGroup{reader: g, arrived: now})
	}
}

// waitsForEarlier reports whether the first group that is there should wait for
// one before it that is not: only on tracks whose groups usually follow one
// another, and not for long.
func (r *laneReader) waitsForEarlier(now time.Time) bool {
	g := r.groups[0]
	return !g.begun && r.regular && r.last > 0 && g.reader.Seq() > r.last && r.ended == nil &&
		now.Before(g.arrived.Add(groupPatience)) && len(r.groups) < laneGroups
}

// patience returns when the first group will have held up the next for too long.
func (r *laneReader) patience() (time.Time, bool) {
	if len(r.groups) < 2 {
		return time.Time{}, false
	}
	if len(r.groups) == laneGroups {
		return r.groups[1].arrived, true // no room to wait any longer
	}
	return r.groups[1].arrived.Add(groupPatience), true
}

// wake returns when next must be called again, whatever arrives.
func (r *laneReader) wake() (time.Time, bool) {
	if r.held {
		return r.groups[0].arrived.Add(groupPatience), true
	}
	return r.patience()
}

// ready returns the channels that tell of something new: a group, or an object of
// the one that is being read, nil where there is nothing to wait for.
func (r *laneReader) ready() (group, object <-chan struct{}) {
	if r.ended == nil && len(r.groups) < laneGroups {
		group = r.sub.Ready()
	}
	if len(r.groups) > 0 && !r.held {
		object = r.groups[0].reader.ReadyWhole()
	}
	return group, object
}

// drop ends the reading of the first group.
func (r *laneReader) drop() {
	r.groups[0].reader.Close()
	r.groups = slices.Delete(r.groups, 0, 1)
}

// close gives everything back.
func (r *laneReader) close() {
	for len(r.groups) > 0 {
		r.drop()
	}
	r.sub.Close()
}
