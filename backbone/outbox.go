package backbone

import (
	"context"
	"io"
	"sync"

	"trellis/wire/peer"
)

// maxOutboxBytes is more than a record of 100,000 broadcasts takes. A peer that
// lets this much wait does not read.
const maxOutboxBytes = 16 << 20

// outbox holds what is to be said on a control stream. Putting never blocks; one
// goroutine writes, all that is there at once.
type outbox struct {
	bell chan struct{}

	mu   sync.Mutex
	buf  []byte
	full bool
}

func newOutbox() *outbox { return &outbox{bell: make(chan struct{}, 1)} }

// put adds a message. False: the outbox is full, and the link must be closed.
func (o *outbox) put(m peer.Message) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.full || len(o.buf) > maxOutboxBytes {
		o.full = true
		return false
	}
	o.buf = peer.AppendMessage(o.buf, m)
	select {
	case o.bell <- struct{}{}:
	default: // the writer will look anyway
	}
	return true
}

// run writes until ctx ends or w fails.
func (o *outbox) run(ctx context.Context, w io.Writer) error {
	var spare []byte
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-o.bell:
		}
		o.mu.Lock()
		out := o.buf
		o.buf = spare[:0]
		o.mu.Unlock()
		if _, err := w.Write(out); err != nil {
			return asCodeError(err)
		}
		spare = nil
		if cap(out) <= 64<<10 {
			spare = out
		}
	}
}
