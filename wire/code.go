package wire

import "fmt"

// Code is what one side tells the other about why a stream, a subscription or
// a session ended. Codes are shared by the backbone and by moq-lite (whose
// numbers these are), so that a reason survives the hops between them.
type Code uint64

// The codes, with moq-lite's numbers.
const (
	CodeCancel           Code = 0  // no longer wanted
	CodeOld              Code = 2  // superseded by newer groups
	CodeTimeout          Code = 3  // the peer took too long
	CodeTransport        Code = 4  // the connection below failed
	CodeDecode           Code = 5  // malformed message
	CodeUnauthorized     Code = 6  // the grant does not cover it
	CodeVersion          Code = 9  // no version in common
	CodeUnexpectedStream Code = 10 // stream type unknown or out of place
	CodeBounds           Code = 11 // a value beyond its limit
	CodeDuplicate        Code = 12 // id or name used twice
	CodeNotFound         Code = 13 // no such broadcast, track or group
	CodeWrongSize        Code = 14 // length does not match content
	CodeProtocol         Code = 15 // protocol violation
	CodeUnexpected       Code = 16 // message out of place
	CodeUnsupported      Code = 17 // understood, but not done here
	CodeTooMany          Code = 19 // too many parameters, streams or names
	CodeDropped          Code = 24 // given up for lack of capacity
	CodeClosed           Code = 25 // the publisher ended it
	CodeLagged           Code = 26 // the receiver fell too far behind
	CodeTooLarge         Code = 27 // frame beyond the size limit
	CodeUnroutable       Code = 30 // no path to the origin
	CodeEvicted          Code = 31 // left the cache
	CodeLoop             Code = 64 // the path would come back to its start
	CodeReplaced         Code = 65 // a newer publisher took the name
	CodeGoingAway        Code = 66 // the node is draining
	CodeBusy             Code = 67 // the node has all the children that it may have
)

// String returns the word used in logs and metrics.
func (c Code) String() string {
	switch c {
	case CodeCancel:
		return "cancel"
	case CodeOld:
		return "old"
	case CodeTimeout:
		return "timeout"
	case CodeTransport:
		return "transport"
	case CodeDecode:
		return "decode"
	case CodeUnauthorized:
		return "unauthorized"
	case CodeVersion:
		return "version"
	case CodeUnexpectedStream:
		return "unexpected_stream"
	case CodeBounds:
		return "bounds"
	case CodeDuplicate:
		return "duplicate"
	case CodeNotFound:
		return "not_found"
	case CodeWrongSize:
		return "wrong_size"
	case CodeProtocol:
		return "protocol"
	case CodeUnexpected:
		return "unexpected"
	case CodeUnsupported:
		return "unsupported"
	case CodeTooMany:
		return "too_many"
	case CodeDropped:
		return "dropped"
	case CodeClosed:
		return "closed"
	case CodeLagged:
		return "lagged"
	case CodeTooLarge:
		return "too_large"
	case CodeUnroutable:
		return "unroutable"
	case CodeEvicted:
		return "evicted"
	case CodeLoop:
		return "loop"
	case CodeReplaced:
		return "replaced"
	case CodeGoingAway:
		return "going_away"
	case CodeBusy:
		return "busy"
	default:
		return fmt.Sprintf("code(%d)", uint64(c))
	}
}
