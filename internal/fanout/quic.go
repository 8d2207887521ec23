package fanout

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"trellis/internal/ca"
)

// Peers of viewers over QUIC: quic-go itself, with nothing of ours on it.
const (
	// QUICBulk sends one connection as much as it takes: the least that a byte costs.
	QUICBulk = "quic-bulk"
	// QUICFrames sends each connection the same objects that our viewers get, on
	// streams of the same groups: what quic-go takes for them in any case.
	QUICFrames = "quic-frames"
)

const quicALPN = "fanout"

// serveQUIC runs such a server until ctx ends.
func serveQUIC(ctx context.Context, serve func(context.Context, *quic.Conn) error, ready func(Served)) error {
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return err
	}
	certificates := ca.NewEphemeral("127.0.0.1")
	transport := &quic.Transport{Conn: socket}
	listener, err := transport.Listen(&tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{quicALPN}, GetCertificate: certificates.GetCertificate,
	}, &quic.Config{KeepAlivePeriod: 3 * time.Second})
	if err != nil {
		return errors.Join(err, socket.Close())
	}
	ready(Served{URL: "quic://" + socket.LocalAddr().String(), PID: os.Getpid(), Media: socket.LocalAddr().(*net.UDPAddr).AddrPort()})
	var conns sync.WaitGroup
	for {
		conn, err := listener.Accept(ctx)
		if err != nil {
			break // ctx has ended
		}
		conns.Go(func() { _ = serve(ctx, conn) }) // the client is gone
	}
	err = errors.Join(transport.Close(), socket.Close())
	conns.Wait()
	return errors.Join(context.Cause(ctx), err)
}

// bulk writes one stream without a pause.
func bulk(ctx context.Context, conn *quic.Conn) error {
	out, err := conn.OpenUniStreamSync(ctx)
	if err != nil {
		return err
	}
	for block := make([]byte, 64<<10); ctx.Err() == nil; {
		if _, err := out.Write(block); err != nil {
			return err
		}
	}
	return conn.CloseWithError(0, "")
}

// frames writes objects when they are due, a new stream for each group.
func frames(l Load) func(context.Context, *quic.Conn) error {
	return func(ctx context.Context, conn *quic.Conn) error {
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		every, size := l.video()
		var tracks sync.WaitGroup
		track := func(every time.Duration, group int, frame func(buf []byte, key bool, due time.Time) []byte) {
			tracks.Go(func() { cancel(writeTrack(ctx, conn, every, group, frame)) })
		}
		track(every, int(gop/every), func(buf []byte, key bool, due time.Time) []byte { return videoFrame(buf, key, 360, due, size) })
		if !l.Silent {
			track(audioEvery, 5, func(buf []byte, _ bool, due time.Time) []byte { return audioFrame(buf, due) })
		}
		tracks.Wait()
		return context.Cause(ctx)
	}
}

func writeTrack(
	ctx context.Context, conn *quic.Conn, every time.Duration, group int, frame func([]byte, bool, time.Time) []byte,
) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var out *quic.SendStream
	var buf []byte
	// All connections write at the same moments, as viewers of one track are sent to.
	for i, due := 0, time.Now().Truncate(every).Add(every); ; i, due = i+1, due.Add(every) {
		timer.Reset(time.Until(due))
		select {
		case <-timer.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if i%group == 0 {
			if out != nil {
				if err := out.Close(); err != nil {
					return err
				}
			}
			var err error
			if out, err = conn.OpenUniStreamSync(ctx); err != nil {
				return err
			}
		}
		buf = frame(buf, i%group == 0, due)
		if _, err := out.Write(buf); err != nil {
			return err
		}
	}
}

// quicViewer reads all streams of a connection.
type quicViewer struct {
	transport *quic.Transport
	conn      *quic.Conn
	tasks     sync.WaitGroup
}

// joinQUIC connects and returns when bytes come.
func joinQUIC(ctx context.Context, url string, all *counters) (*quicViewer, error) {
	addr, err := net.ResolveUDPAddr("udp4", strings.TrimPrefix(url, "quic://"))
	if err != nil {
		return nil, err
	}
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	v := &quicViewer{transport: &quic.Transport{Conn: socket}}
	if v.conn, err = v.transport.Dial(ctx, addr, &tls.Config{
		InsecureSkipVerify: true, NextProtos: []string{quicALPN}, //nolint:gosec // both ends are ours
	}, &quic.Config{MaxIncomingUniStreams: 1024}); err != nil {
		return nil, errors.Join(err, v.transport.Close(), socket.Close())
	}
	begun := make(chan struct{})
	v.tasks.Go(func() {
		for first := true; ; first = false {
			in, err := v.conn.AcceptUniStream(context.WithoutCancel(ctx))
			if err != nil {
				return // closed
			}
			if first {
				close(begun)
			}
			v.tasks.Go(func() {
				_, _ = io.Copy(counting{all}, in) // until it is closed
			})
		}
	})
	select {
	case <-begun:
		return v, nil
	case <-ctx.Done():
		return nil, errors.Join(fmt.Errorf("connected to %s, but nothing came", url), v.close())
	}
}

// counting counts what is written to it.
type counting struct{ all *counters }

func (c counting) Write(b []byte) (int, error) {
	c.all.streamed.Add(uint64(len(b)))
	return len(b), nil
}

// report implements member: acknowledgements are QUIC's.
func (v *quicViewer) report() error { return nil }

func (v *quicViewer) feedback() error { return nil }

func (v *quicViewer) close() error {
	err := v.conn.CloseWithError(0, "")
	v.tasks.Wait()
	return errors.Join(err, v.transport.Close(), v.transport.Conn.Close())
}
