// Package channels is our end of a client's data channels, on which nothing is
// carried: they open, and what the client sends on them is not read.
//
// Players of some protocols open channels whether they have something to say or not,
// and take it for a fault of the network if those do not open. In SDP we say that we
// take no message larger than the ones that open a channel, and clients that heed it
// tell their applications so at once.
package channels

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/pion/datachannel"
	"github.com/pion/logging"
	"github.com/pion/sctp"
)

const (
	// Port is the one SCTP port that is used: a=sctp-port.
	Port = 5000
	// MaxMessage is the value of a=max-message-size, in bytes: RFC 8841, Section 6. It
	// holds for the messages that open channels, too: those have 12 bytes and a name
	// (RFC 8832, Section 5.1), of which "_data_track" is the longest that SDKs use.
	MaxMessage = 12 + len("_data_track")
	// maxChannels bounds the channels of a client; the SDKs of LiveKit open three.
	maxChannels = 16
	// maxUnread bounds what a client may have sent that nobody reads. Then its window
	// is closed.
	maxUnread = 16 << 10
)

// Serve is the server's end of SCTP inside a DTLS association (RFC 8261): it opens the
// channels that the client opens (RFC 8832) until the association ends, or the
// client opens too many. conn is left open, and is not read any more.
func Serve(conn net.Conn, log logging.LoggerFactory) error {
	assoc, err := sctp.ServerWithOptions(sctp.WithNetConn(inside{conn}), sctp.WithMaxReceiveBufferSize(maxUnread), sctp.WithLoggerFactory(log))
	if err != nil {
		return fmt.Errorf("SCTP: %w", err)
	}
	for range maxChannels {
		if _, err = datachannel.Accept(assoc, &datachannel.Config{LoggerFactory: log}); err != nil {
			break
		}
	}
	return errors.Join(err, assoc.Close(), conn.SetReadDeadline(time.Time{}))
}

// inside is a connection that does not end with what is inside it: media has its
// keys from the same association.
type inside struct{ net.Conn }

// Close ends the reading.
func (c inside) Close() error { return c.SetReadDeadline(time.Unix(0, 1)) }
