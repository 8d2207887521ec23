package moq

import (
	"context"
	"io"
	"time"

	"trellis/wire/moqlite"
)

// probeInterval is how often the connection's state is looked at for a report.
const probeInterval = 250 * time.Millisecond

// serveProbe reports what the path to the client can carry: the only such signal
// that a player in a browser gets. What the client asks for in the other
// direction, a bitrate to probe up to, is not done.
func (ss *session) serveProbe(st *stream) error {
	st.expect(0)
	ctx, cancel := context.WithCancel(ss.ctx)
	defer cancel()
	if !ss.start(func() {
		defer cancel()
		// Targets are read and not followed; the read ends with the stream.
		_, _ = io.Copy(io.Discard, st.in)
	}) {
		return context.Cause(ss.ctx)
	}
	var estimate bandwidth
	var report reporter
	ticker := time.NewTicker(probeInterval)
	defer ticker.Stop()
	for {
		now := time.Now()
		bitrate, rtt := estimate.observe(ss.conn.ConnectionStats(), now)
		if bitrate > 0 && report.due(bitrate, rtt, now) {
			// Half a millisecond is not "unknown".
			if err := st.send(moqlite.Probe{BitrateBps: bitrate, RTT: max(rtt, time.Millisecond)}); err != nil {
				return err
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}
