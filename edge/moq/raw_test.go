package moq

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/webtransport-go"

	"trellis/wire"
	"trellis/wire/moqlite"
)

// rawClient speaks WebTransport and nothing above it, to say what no client says.
type rawClient struct {
	e       *env
	wt      *webtransport.Session
	conn    *quic.Conn
	version moqlite.Version
}

// dialRaw asks for a session with any protocols and returns the answer's status.
func (e *env) dialRaw(path string, header http.Header, conf *quic.Config, protocols ...string) (int, *rawClient, error) {
	e.t.Helper()
	transport := e.transport()
	if conf == nil {
		conf = &quic.Config{MaxIdleTimeout: 30 * time.Second}
	}
	conf.EnableDatagrams, conf.EnableStreamResetPartialDelivery = true, true
	c := &rawClient{e: e}
	dialer := &webtransport.Transport{
		TLSClientConfig:      &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h3"}},
		QUICConfig:           conf,
		ApplicationProtocols: protocols,
		DialAddr: func(ctx context.Context, _ string, tlsConf *tls.Config, conf *quic.Config) (*quic.Conn, error) {
			var err error
			c.conn, err = transport.DialEarly(ctx, &net.UDPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 443}, tlsConf, conf)
			return c.conn, err
		},
	}
	response, wt, err := dialer.Dial(e.ctx, "https://node-1:443"+path, header) //nolint:bodyclose // the session is on its stream
	status := 0
	if response != nil {
		status = response.StatusCode
	}
	c.wt = wt
	if err == nil {
		c.version, _ = moqlite.ParseVersion(wt.SessionState().ApplicationProtocol)
		e.cleanup = append(e.cleanup, func() { _ = wt.CloseWithError(0, "") })
	}
	return status, c, err
}

// raw is a session in the given version.
func (e *env) raw(version moqlite.Version, conf *quic.Config) *rawClient {
	e.t.Helper()
	_, c, err := e.dialRaw("/", nil, conf, version.String())
	if err != nil {
		e.t.Fatal(err)
	}
	return c
}

// ask opens a bidirectional stream and writes b; fin ends it.
func (c *rawClient) ask(b []byte, fin bool) *webtransport.Stream {
	c.e.t.Helper()
	st, err := c.wt.OpenStream()
	if err != nil {
		c.e.t.Fatal(err)
	}
	if _, err := st.Write(b); err != nil {
		c.e.t.Fatal(err)
	}
	if fin {
		_ = st.Close()
	}
	return st
}

// tell opens a unidirectional stream and writes b; fin ends it.
func (c *rawClient) tell(b []byte, fin bool) *webtransport.SendStream {
	c.e.t.Helper()
	st, err := c.wt.OpenUniStream()
	if err != nil {
		c.e.t.Fatal(err)
	}
	if _, err := st.Write(b); err != nil {
		c.e.t.Fatal(err)
	}
	if fin {
		_ = st.Close()
	}
	return st
}

// wantReset waits until the node resets a request, with a code.
func (c *rawClient) wantReset(what string, st *webtransport.Stream, want wire.Code) {
	c.e.t.Helper()
	_ = st.SetReadDeadline(time.Now().Add(20 * time.Second))
	_, err := io.Copy(io.Discard, st)
	var reset *webtransport.StreamError
	if !errors.As(err, &reset) || wire.Code(reset.ErrorCode) != want {
		c.e.t.Errorf("%s: %v, want a reset with code %d (%v)", what, err, want, want)
	}
}

// wantStopped waits until the node refuses what is sent to it, with a code.
func (c *rawClient) wantStopped(what string, st *webtransport.SendStream, want wire.Code) {
	c.e.t.Helper()
	select {
	case <-st.Context().Done():
	case <-c.e.timeout(20 * time.Second).Done():
		c.e.t.Errorf("%s: accepted, want code %v", what, want)
		return
	}
	_, err := st.Write([]byte{0})
	var reset *webtransport.StreamError
	if !errors.As(err, &reset) || wire.Code(reset.ErrorCode) != want {
		c.e.t.Errorf("%s: %v, want code %d (%v)", what, err, want, want)
	}
}

// serve answers the node's own streams with what answer returns for their first
// bytes, and keeps them open.
func (c *rawClient) serve(answer func(t moqlite.StreamType, body []byte, st *webtransport.Stream)) {
	c.e.tasks.Go(func() {
		for {
			st, err := c.wt.AcceptStream(c.e.ctx)
			if err != nil {
				return
			}
			c.e.tasks.Go(func() {
				in := moqlite.NewReader(st)
				typ, err := in.Varint()
				if err != nil {
					return
				}
				body, err := in.Message()
				if err != nil {
					return
				}
				answer(moqlite.StreamType(typ), body, st)
				<-c.e.ctx.Done()
			})
		}
	})
}

// publish announces a broadcast and accepts every subscription to it.
func (c *rawClient) publish(name string, subscribed chan<- moqlite.Subscribe) {
	v := c.version
	c.serve(func(t moqlite.StreamType, body []byte, st *webtransport.Stream) {
		var b []byte
		switch t {
		case moqlite.StreamAnnounce:
			if v >= moqlite.Version05 {
				b = moqlite.AppendMessage(b, moqlite.AnnounceOK{Hop: 77, Active: 1}, v)
				b = moqlite.AppendMessage(b, moqlite.Announce{Active: true, Suffix: name}, v)
			} else {
				b = moqlite.AppendMessage(b, moqlite.Announce{Active: true, Suffix: name, Hops: []uint64{77}}, v)
			}
		case moqlite.StreamTrack:
			b = moqlite.AppendMessage(b, moqlite.TrackInfo{Timescale: 1000, MaxLatency: time.Second}, v)
		case moqlite.StreamSubscribe:
			m, err := moqlite.ParseSubscribe(body, v)
			if err != nil {
				c.e.t.Error(err)
				return
			}
			if v < moqlite.Version05 {
				b = moqlite.AppendResponse(b, moqlite.SubscribeOK{Delivery: m.Delivery}, v)
			}
			subscribed <- m
		default:
			return
		}
		_, _ = st.Write(b)
	})
}

func clientTLS() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h3"}, MinVersion: tls.VersionTLS13}
}

var quicConfigForTests = quic.Config{EnableDatagrams: true, EnableStreamResetPartialDelivery: true, KeepAlivePeriod: time.Second}
