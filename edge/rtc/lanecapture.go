package rtc

import (
	"sync/atomic"
	"time"

	"trellis/edge/rtc/stream"
	"trellis/wire/hang"
)

// captureStamp is what an object's packets say in the extension abs-capture-time. All packets of
// an object have it or none, for packets of one size leave in one call.
type captureStamp struct {
	size uint8 // zero: nothing is known
	// spared: players know it from one before. Who has not seen that is told.
	spared bool
	data   [stream.CaptureOffsetBytes]byte
}

// of returns what a viewer is told, nil for nothing. late: it is sent the object to catch up, or
// as the first after that, when timestamps do not go on from those before. It depends on nothing
// else, so that a packet that is sent again is the same.
func (s *captureStamp) of(late bool) []byte {
	if s.spared && !late {
		return nil
	}
	return s.data[:s.size]
}

// stampEvery is how often the capture time is told where it follows from RTP timestamps. The
// extension's description has a second.
const stampEvery = 500 * time.Millisecond

// captureSource is what viewers are told as the time of capture.
type captureSource uint32

const (
	captureUnknown     captureSource = iota // nothing: clocks are not synchronised
	captureAtIngress                        // when the frame entered the backbone
	captureAtPublisher                      // when it was captured, on the publisher's clock
	numCaptureSources
)

// String returns the source as metrics and status have it.
func (s captureSource) String() string { return [...]string{"unknown", "ingress", "publisher"}[s] }

// captured is what a layer knows of capture times. But for what is atomic it belongs to the
// lane's goroutine.
type captured struct {
	is     hang.Capture // as the catalog has it
	told   hang.Capture // with the last stamp that was not spared
	toldAt time.Time

	source    atomic.Uint32 // captureSource of the newest object
	firstMile atomic.Int64  // from capture until ingress, µs
	bound     atomic.Int64  // of the error of that, µs; zero if there is none
}

// learn takes over what the catalog says.
func (c *captured) learn(is hang.Capture) {
	c.is = is
	c.firstMile.Store(is.IngressUs - is.OffsetUs)
	c.bound.Store(is.ErrorUs)
}

// stamp writes the stamp of an object with a presentation time that entered the backbone at
// ingress. Where the publisher's clock is known it is the time of capture on that, with the
// offset of that clock from the one that our sender reports are of, on which what enters the
// backbone now is presented now. Else it is the time of ingress, on the clock of this node.
func (c *captured) stamp(s *captureStamp, pts, ingress int64, now time.Time) {
	s.size, s.spared = 0, false
	source := captureUnknown
	switch {
	case ingress == 0:
	case c.is.Known():
		source, s.size = captureAtPublisher, stream.CaptureOffsetBytes
		stream.PutCaptureTime(&s.data, time.UnixMicro(pts+c.is.OffsetUs), time.Duration(c.is.IngressUs)*time.Microsecond)
		if s.spared = c.is == c.told && now.Sub(c.toldAt) < stampEvery; !s.spared {
			c.told, c.toldAt = c.is, now
		}
	default:
		source, s.size = captureAtIngress, stream.CaptureTimeBytes
		stream.PutCaptureTime(&s.data, time.UnixMicro(ingress), 0)
	}
	c.source.Store(uint32(source))
}

// observe notes how old the newest object is, which is sent to viewers now. ingress is zero if
// that is not known.
func (la *layer) observe(ingress int64) {
	m, source := la.lane.metrics, captureSource(la.captured.source.Load())
	m.captured[source].Inc()
	if ingress == 0 {
		return
	}
	m.age.Observe(la.lastAge.Seconds())
	if source == captureAtPublisher {
		m.captureAge.Observe(la.lastAge.Seconds() + float64(la.captured.firstMile.Load())/1e6)
	}
}

// status says what is told.
func (c *captured) status(s *LaneStatus) {
	source := captureSource(c.source.Load())
	if s.Capture = source.String(); source == captureAtPublisher {
		s.FirstMileMs, s.FirstMileErrorMs = float64(c.firstMile.Load())/1e3, float64(c.bound.Load())/1e3
	}
}
