package relay

import (
	"errors"
	"fmt"
)

// Errors that callers branch on. They arrive wrapped.
var (
	// ErrNotFound: no broadcast of that name is announced here.
	ErrNotFound = errors.New("no such broadcast")
	// ErrReplaced: a newer publisher took the broadcast's name.
	ErrReplaced = errors.New("replaced by a newer publisher")
	// ErrStale: a newer publisher already holds the name.
	ErrStale = errors.New("a newer publisher holds the name")
	// ErrEnded: the publisher withdrew the broadcast or ended the track.
	ErrEnded = errors.New("ended by the publisher")
	// ErrUnwanted: nobody subscribed any more; the cause of Track.Context.
	ErrUnwanted = errors.New("no subscriber left")
	// ErrLimit: a configured limit is reached.
	ErrLimit = errors.New("limit reached")
	// ErrOld: the group left the cache or was given up; skip to a newer one.
	ErrOld = errors.New("group is gone")
	// ErrGap: objects of a group must follow one another without a hole.
	ErrGap = errors.New("object out of sequence")
	// ErrTooLarge: an object or group exceeds its limit.
	ErrTooLarge = errors.New("too large")
)

// DropReason says why a group was given up.
type DropReason uint8

// The reasons, in the order of their metrics.
const (
	DropNone           DropReason = iota
	DropCacheBytes                // the track's or node's cache was full
	DropCacheGroups               // more groups than a track may hold
	DropCacheAge                  // superseded longer than the retention
	DropUpstreamReset             // the sender gave it up
	DropUpstreamLost              // the sender went away in the middle
	DropIncomplete                // packets lost beyond repair at ingress
	DropGroupTooLarge             // one group above its limit
	DropObjectTooLarge            // one object above its limit
	DropTooLate                   // a reader was too slow for it
	DropStreamLimit               // the receiver's open-stream budget was spent
	DropTrackEnded                // the track ended before the group did
	DropMalformed                 // the sender broke the protocol inside it
	DropPaused                    // the publisher stopped sending because nobody wants it
	numDropReasons
)

// DropReasons lists every reason but DropNone, for metrics and documents.
func DropReasons() []DropReason {
	rs := make([]DropReason, 0, numDropReasons-1)
	for r := DropNone + 1; r < numDropReasons; r++ {
		rs = append(rs, r)
	}
	return rs
}

// String returns the label used in metrics, logs and the API.
func (r DropReason) String() string {
	switch r {
	case DropNone:
		return "none"
	case DropCacheBytes:
		return "cache_bytes"
	case DropCacheGroups:
		return "cache_groups"
	case DropCacheAge:
		return "cache_age"
	case DropUpstreamReset:
		return "upstream_reset"
	case DropUpstreamLost:
		return "upstream_lost"
	case DropIncomplete:
		return "incomplete"
	case DropGroupTooLarge:
		return "group_too_large"
	case DropObjectTooLarge:
		return "object_too_large"
	case DropTooLate:
		return "too_late"
	case DropStreamLimit:
		return "stream_limit"
	case DropTrackEnded:
		return "track_ended"
	case DropMalformed:
		return "malformed"
	case DropPaused:
		return "paused"
	case numDropReasons:
	}
	return fmt.Sprintf("reason(%d)", uint8(r))
}

// ResetError is what a reader gets instead of the rest of a group that was
// given up. Objects already returned whole are good.
type ResetError struct {
	Seq    uint64
	Reason DropReason
}

func (e *ResetError) Error() string {
	return fmt.Sprintf("group %d given up: %s", e.Seq, e.Reason)
}
