package rtc

import (
	"errors"
	"io"
	"sync"

	"github.com/pion/transport/v4/packetio"
)

// ErrSources is why a session ends whose client sends from ever more SSRCs.
var ErrSources = errors.New("more sources than a publisher has")

const (
	// maxSources bounds the SSRCs of a publisher, of RTP and RTCP each: three layers
	// with retransmissions, sound, and what they become when codecs change. Beyond
	// that they cost memory that nothing gives back before the session ends.
	maxSources = 64
	// sourceBytes bounds what waits of one to be read: a second of 8 Mbit/s.
	sourceBytes = 1_000_000
)

// sources counts the SSRCs that a publisher's packets name, once they have proved to
// be its own.
type sources struct {
	session *Session

	mu    sync.Mutex
	count map[packetio.BufferPacketType]int
}

// buffer makes the queue of a source that is new. Its signature is pion's.
func (s *sources) buffer(kind packetio.BufferPacketType, _ uint32) io.ReadWriteCloser {
	s.mu.Lock()
	s.count[kind]++
	over := s.count[kind] > maxSources
	s.mu.Unlock()
	b := packetio.NewBuffer()
	b.SetLimitSize(sourceBytes)
	if over {
		s.session.end(ErrSources)
		b.SetLimitCount(1)
	}
	return b
}
