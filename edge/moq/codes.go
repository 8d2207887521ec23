package moq

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/webtransport-go"

	"trellis/internal/auth"
	"trellis/internal/relay"
	"trellis/wire"
	"trellis/wire/moqlite"
)

// refusal is an error with the code to tell the peer and the reason to count.
type refusal struct {
	code   wire.Code
	reason refuseReason
	text   string
}

func (e *refusal) Error() string { return e.text }

func refuse(code wire.Code, reason refuseReason, text string) error {
	return &refusal{code: code, reason: reason, text: text}
}

// ending is why we ended something that the peer did nothing wrong with.
type ending struct {
	code wire.Code
	text string
}

func (e *ending) Error() string { return e.text }

// codeOf is the one table from errors to what a MoQ client is told.
func codeOf(err error) wire.Code {
	var (
		refused  *refusal
		ours     *ending
		protocol *moqlite.ProtocolError
		stream   *webtransport.StreamError
		session  *webtransport.SessionError
		reset    *relay.ResetError
	)
	switch {
	case err == nil:
		return wire.CodeCancel
	case errors.As(err, &refused):
		return refused.code
	case errors.As(err, &ours):
		return ours.code
	case errors.As(err, &protocol):
		return protocol.Code
	case errors.As(err, &stream):
		return wire.Code(stream.ErrorCode)
	case errors.As(err, &session):
		return wire.Code(session.ErrorCode)
	case errors.As(err, &reset):
		return dropCode(reset.Reason)
	case errors.Is(err, auth.ErrDenied):
		return wire.CodeUnauthorized
	case errors.Is(err, relay.ErrNotFound):
		return wire.CodeNotFound
	case errors.Is(err, relay.ErrReplaced), errors.Is(err, relay.ErrStale):
		return wire.CodeReplaced
	case errors.Is(err, relay.ErrEnded):
		return wire.CodeClosed
	case errors.Is(err, relay.ErrUnwanted):
		return wire.CodeCancel
	case errors.Is(err, relay.ErrLimit):
		return wire.CodeTooMany
	case errors.Is(err, relay.ErrOld):
		return wire.CodeOld
	case errors.Is(err, relay.ErrTooLarge):
		return wire.CodeTooLarge
	case errors.Is(err, wire.ErrName):
		return wire.CodeDecode
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return wire.CodeTimeout
	case errors.Is(err, io.ErrUnexpectedEOF):
		return wire.CodeDecode
	case errors.Is(err, context.Canceled), errors.Is(err, io.EOF):
		return wire.CodeCancel
	default:
		return wire.CodeTransport
	}
}

// dropCode says to a viewer why a group was given up.
func dropCode(r relay.DropReason) wire.Code {
	switch r {
	case relay.DropTooLate:
		return wire.CodeOld
	case relay.DropCacheAge, relay.DropCacheBytes, relay.DropCacheGroups:
		return wire.CodeEvicted
	case relay.DropGroupTooLarge, relay.DropObjectTooLarge:
		return wire.CodeTooLarge
	case relay.DropTrackEnded:
		return wire.CodeClosed
	default:
		return wire.CodeDropped
	}
}

// endOfStream reports whether err is the end of a stream between two messages.
func endOfStream(err error) bool {
	return errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF)
}

func streamCode(code wire.Code) webtransport.StreamErrorCode {
	return webtransport.StreamErrorCode(code)
}

// firstWTCode is where WebTransport's codes begin among HTTP/3's; every 31st
// code is left free for greasing.
// draft-ietf-webtrans-http3, Section 4.4
const firstWTCode quic.StreamErrorCode = 0x52e4a40fa8db

// rawStreamCode is streamCode for a stream that we opened below WebTransport.
func rawStreamCode(code wire.Code) quic.StreamErrorCode {
	n := quic.StreamErrorCode(code & 0xffffffff)
	return firstWTCode + n + n/0x1e
}

func asRefusal(err error) (*refusal, bool) {
	var r *refusal
	return r, errors.As(err, &r)
}
