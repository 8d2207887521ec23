package client

import (
	"context"
	"time"

	"trellis/edge/framing"
)

// feed is where frames are received from.
type feed interface {
	// Next waits for a frame of any track. The error is io.EOF when the broadcast
	// ended in order.
	Next(ctx context.Context) (received, error)
	// Losses returns what the transport itself knows to be missing in a kind of track.
	Losses(audio bool) transportLosses
	Close(ctx context.Context) error
}

// leaver is a feed whose node may ask us to go elsewhere while it still delivers.
type leaver interface {
	// Leaving is closed when it asks.
	Leaving() <-chan struct{}
	// Elsewhere is where to go then, empty if it does not say.
	Elsewhere() string
}

// received is one frame as it came.
type received struct {
	// group and object are its place in the track, where the protocol has places.
	group, object uint64
	placed        bool
	session       int // counts reconnects

	track  string // name, empty where the protocol has none
	codec  framing.Codec
	codecs string // as the catalog says; empty where there is none
	pts    int64  // microseconds
	key    bool
	data   []byte
	// arrived is when its last byte came.
	arrived time.Time
	// made is when it was made, as far as anybody says; zero if nobody does.
	made     time.Time
	madeFrom AgeSource
}

// transportLosses is what the transport knows to be missing.
type transportLosses struct {
	packets uint64 // given up after retransmission
	groups  uint64 // reset or never begun
}

// AgeSource says how the age of frames was known.
type AgeSource string

// Where ages come from.
const (
	// AgeFromCaptureTime: the absolute capture time in WebRTC packets, on the publisher's
	// clock, which the edge knows: the age is that since capture, whatever clocks say.
	AgeFromCaptureTime AgeSource = "capture_time"
	// AgeFromIngressTime: the same field where the edge does not know the publisher's
	// clock: when the frame entered the backbone, on the clock of the edge.
	AgeFromIngressTime AgeSource = "ingress_time"
	// AgeFromPTS: presentation times are times of day at the publisher.
	AgeFromPTS AgeSource = "presentation_time"
	// Unsynchronised: nothing says how old frames are, or clocks disagree.
	Unsynchronised AgeSource = "unsynchronised"
)

// plausiblePTS is how near to the time of day a presentation time must be to be
// one. Clocks that begin with a page or a session are decades away.
const plausiblePTS = 10 * time.Minute

// madeAt returns when a frame was made, if its presentation time is a time of day.
func madeAt(pts int64, now time.Time) (time.Time, AgeSource) {
	at := time.UnixMicro(pts)
	if d := now.Sub(at); d > plausiblePTS || d < -plausiblePTS {
		return time.Time{}, Unsynchronised
	}
	return at, AgeFromPTS
}
