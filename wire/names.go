package wire

import (
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of names. The number of parts is moq-lite's; the lengths keep a name
// well inside one datagram.
const (
	maxNameParts      = 32
	maxNamePartBytes  = 255
	maxNameBytes      = 1024
	maxTrackNameBytes = 256
)

// ErrName is wrapped by every error about a name.
var ErrName = errors.New("invalid name")

// Broadcast names all the tracks of one publisher: a path such as "room/alice".
// A value that came from ParseBroadcast is valid and canonical: 1 to 32 parts
// of 1 to 255 bytes of printable UTF-8, joined by single slashes, none of them
// "." or "..".
type Broadcast string

// Prefix is a leading run of whole parts of a broadcast name. The empty prefix
// matches every name.
type Prefix string

// TrackName names one track of a broadcast, such as "video/hd" of "room/alice".
type TrackName struct {
	Broadcast Broadcast
	Track     string
}

// ParseBroadcast checks s and returns it as a name. Slashes are never repaired:
// what is not canonical is refused, so that two spellings cannot mean one thing.
func ParseBroadcast(s string) (Broadcast, error) {
	if s == "" {
		return "", fmt.Errorf("%w: empty broadcast name", ErrName)
	}
	if err := checkPath(s); err != nil {
		return "", err
	}
	return Broadcast(s), nil
}

// ParsePrefix checks s like ParseBroadcast; the empty string is a valid prefix.
func ParsePrefix(s string) (Prefix, error) {
	if s == "" {
		return "", nil
	}
	if err := checkPath(s); err != nil {
		return "", err
	}
	return Prefix(s), nil
}

// ParseTrackName checks a broadcast and a track name. A track name is 1 to 256
// bytes of printable UTF-8 and may contain slashes.
func ParseTrackName(broadcast, track string) (TrackName, error) {
	b, err := ParseBroadcast(broadcast)
	if err != nil {
		return TrackName{}, err
	}
	if err := CheckTrack(track); err != nil {
		return TrackName{}, err
	}
	return TrackName{Broadcast: b, Track: track}, nil
}

// CheckTrack reports what is wrong with the name of a track within its broadcast.
func CheckTrack(track string) error {
	switch {
	case track == "":
		return fmt.Errorf("%w: empty track name", ErrName)
	case len(track) > maxTrackNameBytes:
		return fmt.Errorf("%w: track name of %d bytes, at most %d", ErrName, len(track), maxTrackNameBytes)
	}
	return checkText(track)
}

func checkPath(s string) error {
	if len(s) > maxNameBytes {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrName, len(s), maxNameBytes)
	}
	if err := checkText(s); err != nil {
		return err
	}
	parts := 0
	for part := range strings.SplitSeq(s, "/") {
		parts++
		switch {
		case parts > maxNameParts:
			return fmt.Errorf("%w: more than %d parts", ErrName, maxNameParts)
		case part == "":
			return fmt.Errorf("%w: empty part %d in %q", ErrName, parts, s)
		case part == "." || part == "..":
			return fmt.Errorf("%w: part %q in %q", ErrName, part, s)
		case len(part) > maxNamePartBytes:
			return fmt.Errorf("%w: part %d has %d bytes, at most %d", ErrName, parts, len(part), maxNamePartBytes)
		}
	}
	return nil
}

func checkText(s string) error {
	if !utf8.ValidString(s) {
		return fmt.Errorf("%w: not UTF-8", ErrName)
	}
	for _, r := range s {
		if unicode.IsControl(r) {
			return fmt.Errorf("%w: control character %U", ErrName, r)
		}
	}
	return nil
}

// HasPrefix reports whether p is made of the first parts of b. "foo" is a
// prefix of "foo" and of "foo/bar", not of "foobar".
func (b Broadcast) HasPrefix(p Prefix) bool {
	rest, ok := strings.CutPrefix(string(b), string(p))
	return ok && (p == "" || rest == "" || rest[0] == '/')
}

// Suffix returns what follows p in b without the slash between them, empty on
// an exact match. It reports false where p is not a prefix of b.
func (b Broadcast) Suffix(p Prefix) (string, bool) {
	if !b.HasPrefix(p) {
		return "", false
	}
	return strings.TrimPrefix(string(b[len(p):]), "/"), true
}

// Covers reports whether every name below q is also below p.
func (p Prefix) Covers(q Prefix) bool { return Broadcast(q).HasPrefix(p) }

// String returns "broadcast/track" for logs. It is not parsed back.
func (n TrackName) String() string { return string(n.Broadcast) + ":" + n.Track }

// hopIDBits keeps hop ids exact in a JavaScript number.
const hopIDBits = 53

// HopID derives the number by which MoQ clients know a node from its node id:
// 53 bits, never zero, which moq-lite reserves for "unknown".
func HopID(node string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(node)) // never fails: hash.Hash
	id := h.Sum64() & (1<<hopIDBits - 1)
	if id == 0 {
		return 1
	}
	return id
}
