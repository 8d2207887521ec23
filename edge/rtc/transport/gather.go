package transport

import "time"

// gather decides when it pays to wait a little before the kernel is asked to say when
// there is something to read: in the middle of a picture whose packets come in a burst
// each of them would wake the process, which on an idle machine costs ten times what is
// done with it.
type gather struct {
	more  bool // the packet that was read last is in the middle of a picture
	doubt int  // how many such packets are not waited for
}

const (
	// gatherFor is what a burst of a picture takes to arrive, and nothing beside the
	// time that the picture takes to be sent on.
	gatherFor = 200 * time.Microsecond
	// gatherDoubt follows a wait for nothing: of publishers that pace their packets.
	gatherDoubt = 64
)

// expects reports whether more is to be expected within gatherFor.
func (g *gather) expects() bool {
	if !g.more {
		return false
	}
	g.more = false
	if g.doubt > 0 {
		g.doubt--
		return false
	}
	return true
}

// found notes whether waiting was of use.
func (g *gather) found(something bool) {
	if !something {
		g.doubt = gatherDoubt
	}
}
