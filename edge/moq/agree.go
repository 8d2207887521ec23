package moq

import (
	"context"
	"fmt"
	"io"

	"trellis/wire"
	"trellis/wire/moqlite"
)

// agree agrees with a client on a version where the browser offered none: on the first
// stream that it opens, which then stays open. moq-lite-02 is what all clients speak
// that do it that way.
func (ss *session) agree() error {
	ctx, cancel := context.WithTimeoutCause(ss.ctx, ss.cfg.HeaderTimeout,
		refuse(wire.CodeTimeout, refuseVersion, "no version was agreed on in time"))
	defer cancel()
	wt, err := ss.wt.AcceptStream(ctx)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		return fmt.Errorf("agree on a version: %w", err)
	}
	st := ss.newStream(wt)
	st.expect(ss.cfg.HeaderTimeout)
	m, err := st.in.ClientSetup()
	if err != nil {
		return headerError(err)
	}
	if !m.Offers(moqlite.Version02) {
		return refuse(wire.CodeVersion, refuseVersion, "no version in common; spoken here without subprotocols: moq-lite-02")
	}
	st.expect(0)
	if err := st.write(moqlite.AppendServerSetup(nil, moqlite.Version02)); err != nil {
		return err
	}
	ss.start(func() {
		defer st.resetOn(ss.ctx)()
		// The client may tell its bitrate, of which we make nothing.
		_, _ = io.Copy(io.Discard, st.in) // it ends with the stream
		<-ss.ctx.Done()
	})
	return nil
}
