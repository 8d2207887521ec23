package signal

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"

	"trellis/internal/proto3"
)

// MaxJoinBytes bounds a JoinRequest after it was unpacked. The SDKs send 14 to 18 kB.
const MaxJoinBytes = 256 << 10

// ErrJoin is wrapped by every error about a join request.
var ErrJoin = errors.New("bad join_request")

// JoinRequest asks for a session, livekit.JoinRequest.
type JoinRequest struct {
	Client    ClientInfo   // 1
	Settings  Settings     // 2
	Offer     *Description // 6, publisher_offer
	Reconnect bool         // 7, it wants to go on with a session that it had
}

// ClientInfo is livekit.ClientInfo.
type ClientInfo struct {
	SDK      uint64 // 1
	Version  string // 2
	Protocol uint64 // 3
}

// Settings are livekit.ConnectionSettings.
type Settings struct {
	AutoSubscribe bool // 1
}

// UnpackJoin reads the parameter join_request of a URL: a WrappedJoinRequest in
// base64url, which holds a JoinRequest, perhaps packed with gzip.
func UnpackJoin(param string) (JoinRequest, error) {
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(param, "="))
	if err != nil {
		return JoinRequest{}, fmt.Errorf("%w: not base64url", ErrJoin)
	}
	var packed bool
	var body []byte
	err = proto3.Fields(raw, func(n int, f proto3.Field) error {
		switch n {
		case 1:
			if packed = f.Number == 1; f.Number > 1 {
				return fmt.Errorf("compression %d is not known", f.Number)
			}
		case 2:
			body = f.Bytes
		}
		return nil
	})
	if err == nil && packed {
		body, err = inflate(body)
	}
	if err != nil {
		return JoinRequest{}, fmt.Errorf("%w: %w", ErrJoin, err)
	}
	j, err := ParseJoinRequest(body)
	if err != nil {
		return j, fmt.Errorf("%w: %w", ErrJoin, err)
	}
	return j, nil
}

func inflate(b []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("gzip: %w", err)
	}
	out, err := io.ReadAll(io.LimitReader(z, MaxJoinBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("gzip: %w", err)
	case len(out) > MaxJoinBytes:
		return nil, fmt.Errorf("unpacks to more than %d bytes", MaxJoinBytes)
	}
	return out, nil
}

// Pack is the inverse of UnpackJoin.
func (j JoinRequest) Pack() string {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, err := z.Write(j.Append(nil))
	if err = errors.Join(err, z.Close()); err != nil {
		panic("signal: a buffer did not take bytes: " + err.Error())
	}
	b := proto3.Message(proto3.Number(nil, 1, 1), 2, packed.Bytes())
	return base64.URLEncoding.EncodeToString(b)
}

// ParseJoinRequest parses the message.
func ParseJoinRequest(b []byte) (j JoinRequest, err error) {
	err = parse(joinRequest(&j), b)
	return j, err
}

// Append appends the message to b.
func (j JoinRequest) Append(b []byte) []byte { return appendMessage(b, joinRequest(&j)) }

func joinRequest(j *JoinRequest) message {
	return body{
		{1, body{{1, &j.Client.SDK}, {2, &j.Client.Version}, {3, &j.Client.Protocol}}},
		{2, body{{1, &j.Settings.AutoSubscribe}}},
		{6, optional[Description, *Description]{&j.Offer}},
		{7, &j.Reconnect},
	}
}
