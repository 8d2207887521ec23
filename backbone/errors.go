package backbone

import (
	"context"
	"errors"
	"fmt"

	"github.com/quic-go/quic-go"

	"trellis/internal/relay"
	"trellis/wire"
)

// CodeError is a reason to end a link or a subscription, as the peer is told it.
type CodeError struct {
	Code   wire.Code
	Reason string
	Remote bool // the peer's reason, not ours
}

func (e *CodeError) Error() string {
	who := ""
	if e.Remote {
		who = "peer says "
	}
	return fmt.Sprintf("%s%s: %s", who, e.Code, e.Reason)
}

func refusal(code wire.Code, format string, args ...any) error {
	return &CodeError{Code: code, Reason: fmt.Sprintf(format, args...)}
}

// Errors that end a mesh or its links, for logs.
var (
	errStopped = errors.New("mesh stopped")
	errLeft    = errors.New("mesh is leaving")
)

// asCodeError turns what quic-go says of a connection that the peer closed into
// the peer's words.
func asCodeError(err error) error {
	var app *quic.ApplicationError
	if errors.As(err, &app) && app.Remote {
		return &CodeError{Code: wire.Code(app.ErrorCode), Reason: app.ErrorMessage, Remote: true}
	}
	return err
}

// closeReason is what to tell the peer about err when a connection is closed.
func closeReason(err error) (wire.Code, string) {
	var ce *CodeError
	switch {
	case errors.As(err, &ce) && !ce.Remote:
		return ce.Code, ce.Reason
	case errors.Is(err, errStopped), errors.Is(err, errLeft), errors.Is(err, context.Canceled):
		return wire.CodeGoingAway, "node stops"
	case err == nil:
		return wire.CodeCancel, ""
	case errors.Is(err, errRetired):
		return wire.CodeCancel, err.Error()
	default:
		return wire.CodeTransport, truncate(err.Error())
	}
}

// trackCode is what a child is told about a track that ended with err.
func trackCode(err error) wire.Code {
	var ce *CodeError
	switch {
	case err == nil, errors.Is(err, relay.ErrEnded):
		return wire.CodeClosed
	case errors.As(err, &ce):
		return ce.Code
	case errors.Is(err, relay.ErrReplaced), errors.Is(err, relay.ErrStale):
		return wire.CodeReplaced
	case errors.Is(err, relay.ErrNotFound):
		return wire.CodeNotFound
	case errors.Is(err, relay.ErrLimit):
		return wire.CodeTooMany
	case errors.Is(err, relay.ErrUnwanted):
		return wire.CodeUnroutable // it closed under us; the child asks again
	default:
		return wire.CodeNotFound
	}
}

// trackError is the end of a track as a parent told it.
func trackError(code wire.Code, reason string) error {
	switch code {
	case wire.CodeClosed:
		return nil
	case wire.CodeReplaced:
		return relay.ErrReplaced
	default:
		return &CodeError{Code: code, Reason: reason, Remote: true}
	}
}

// final reports whether a parent's refusal holds for the track as such, so that
// it is no use to ask another.
func final(code wire.Code) bool {
	switch code {
	case wire.CodeClosed, wire.CodeReplaced, wire.CodeNotFound, wire.CodeUnauthorized, wire.CodeUnsupported:
		return true
	default:
		return false
	}
}

// truncate keeps a reason within what the wire allows.
func truncate(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	n := most
	for n > 0 && s[n]&0xc0 == 0x80 { // not in the middle of a character
		n--
	}
	return s[:n]
}
