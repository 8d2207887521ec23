package rtc

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"trellis/internal/relay"
	"trellis/wire"
)

// readerStory drives a laneReader over a track that the test writes.
type readerStory struct {
	t      *testing.T
	track  *relay.Track
	reader laneReader
	now    time.Time
	skips  map[skip]int
	groups map[uint64]*relay.Group
	next   map[uint64]uint64
}

type noUpstream struct{}

func (noUpstream) OpenTrack(*relay.Track) {}

func newReaderStory(t *testing.T) *readerStory {
	t.Helper()
	table, err := relay.NewTable(relay.Config{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := table.Announce(relay.Announcement{Name: "room/alice", PublisherID: 1, Origin: "a", Local: true}, noUpstream{})
	if err != nil {
		t.Fatal(err)
	}
	tr, err := b.PushTrack("video/hd", mediaInfo(wire.KindVideo))
	if err != nil {
		t.Fatal(err)
	}
	sub, err := table.Subscribe(tr.Name(), relay.SubscribeOptions{Kind: relay.ReaderWebRTC})
	if err != nil {
		t.Fatal(err)
	}
	s := &readerStory{
		t: t, track: tr, now: time.Unix(1_700_000_000, 0), skips: map[skip]int{},
		groups: map[uint64]*relay.Group{}, next: map[uint64]uint64{},
	}
	s.reader = laneReader{sub: sub, skip: func(k skip) { s.skips[k]++ }}
	t.Cleanup(s.reader.close)
	return s
}

// write adds the next object of a group, in two pieces.
func (s *readerStory) write(seq uint64) {
	s.t.Helper()
	g := s.groups[seq]
	var err error
	if g == nil {
		if g, err = s.track.Group(seq); err != nil {
			s.t.Fatal(err)
		}
		s.groups[seq] = g
	}
	text := fmt.Sprintf("%d.%d", seq, s.next[seq])
	err = errors.Join(g.Begin(s.next[seq], relay.ObjectHeader{}, -1), g.Append([]byte(text[:1])), g.AppendLast([]byte(text[1:])))
	if err != nil {
		s.t.Fatal(err)
	}
	s.next[seq]++
}

// want reads until there is no more and compares.
func (s *readerStory) want(objects ...string) {
	s.t.Helper()
	var got []string
	for {
		in, ok, err := s.reader.next(s.now)
		if err != nil && !errors.Is(err, io.EOF) {
			s.t.Fatal(err)
		}
		if !ok {
			break
		}
		got = append(got, string(in.payload))
	}
	if !slices.Equal(got, objects) {
		s.t.Errorf("got %v, want %v", got, objects)
	}
}

func TestLaneReaderInOrder(t *testing.T) {
	s := newReaderStory(t)
	s.write(5)
	s.write(5)
	s.want("5.0", "5.1")
	s.want()
	s.write(5)
	s.groups[5].Close()
	s.write(6)
	s.want("5.2", "6.0")
}

func TestLaneReaderWaitsForAStalledGroup(t *testing.T) {
	s := newReaderStory(t)
	s.write(0)
	s.want("0.0")
	s.write(1) // the end of group 0 is still on its way
	s.want()
	s.write(0)
	s.groups[0].Close()
	s.want("0.1", "1.0")
	s.write(2)
	s.want()
	if at, ok := s.reader.wake(); !ok || at.Sub(s.now) != groupPatience {
		t.Errorf("wakes at %v, %v", at, ok)
	}
	s.now = s.now.Add(groupPatience)
	s.want("2.0")
	if s.skips[skipStalled] != 1 {
		t.Errorf("skips %v", s.skips)
	}
}

func TestLaneReaderReorders(t *testing.T) {
	s := newReaderStory(t)
	for seq := range uint64(3) {
		s.write(seq)
		s.groups[seq].Close()
	}
	s.want("0.0", "1.0", "2.0")
	s.write(4) // group 3 was overtaken
	s.want()
	s.write(3)
	s.groups[3].Close()
	s.want("3.0", "4.0")
	s.groups[4].Close()
	s.write(6) // group 5 never comes
	s.want()
	s.now = s.now.Add(groupPatience)
	s.want("6.0")
	s.write(5) // or only now
	s.want()
	if s.skips[skipLate] != 1 {
		t.Errorf("skips %v", s.skips)
	}
	s.groups[6].Close()
	s.write(20) // a publisher that counts otherwise is not waited for twice
	s.want("20.0")
}

func TestLaneReaderGoesOnAfterAnAbort(t *testing.T) {
	s := newReaderStory(t)
	s.write(0)
	s.want("0.0")
	s.write(0)
	s.groups[0].Abort(relay.DropIncomplete)
	s.write(1)
	s.want("0.1", "1.0")
	if s.skips[skipAborted] != 1 {
		t.Errorf("skips %v", s.skips)
	}
	s.groups[1].Close()
	s.track.Close(nil)
	s.want()
	if _, _, err := s.reader.next(s.now); !errors.Is(err, io.EOF) {
		t.Errorf("ended with %v", err)
	}
}
