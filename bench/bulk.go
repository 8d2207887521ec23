package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/quic-go/quic-go"

	"trellis/backbone"
	"trellis/internal/ca"
)

// bulkPair is a plain QUIC connection over loopback, as nodes would open it but
// with nothing of ours on it.
type bulkPair struct {
	transports   [2]*quic.Transport
	client, node *quic.Conn
}

func dialBulk(ctx context.Context) (*bulkPair, error) {
	authority, err := ca.NewAuthority("bench", time.Now())
	if err != nil {
		return nil, err
	}
	credentials, err := authority.Issue("loopback", "bulk", time.Hour, time.Now())
	if err != nil {
		return nil, err
	}
	store := ca.NewStore(credentials)
	p := &bulkPair{}
	for i := range p.transports {
		socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			return nil, err
		}
		p.transports[i] = &quic.Transport{Conn: socket}
	}
	listener, err := p.transports[0].Listen(ca.ServerTLS(store, nil), backbone.QUICConfig())
	if err != nil {
		return nil, err
	}
	p.client, err = p.transports[1].Dial(ctx, p.transports[0].Conn.LocalAddr(),
		ca.ClientTLS(store, credentials.Identity()), backbone.QUICConfig())
	if err != nil {
		return nil, err
	}
	p.node, err = listener.Accept(ctx)
	return p, err
}

// flatOut sends one stream as fast as it goes.
func (p *bulkPair) flatOut(ctx context.Context, slice time.Duration) (metrics, error) {
	block := make([]byte, 64<<10)
	return p.run(ctx, slice, func(out io.Writer, d time.Duration) error {
		for end := time.Now().Add(d); time.Now().Before(end); {
			if _, err := out.Write(block); err != nil {
				return err
			}
		}
		return nil
	})
}

// paced sends one stream at the rate, and in writes of the size, of the frames
// that a node forwards when it is not in a hurry. It shows what waking up for each
// of them costs in any case.
func (p *bulkPair) paced(ctx context.Context, slice time.Duration) (metrics, error) {
	block := make([]byte, frameBytes)
	return p.run(ctx, slice, func(out io.Writer, d time.Duration) error {
		start := time.Now()
		for i := 0; ; i++ {
			due := start.Add(time.Duration(i) * time.Second / (cameras * pictureRate))
			if due.Sub(start) >= d {
				return nil
			}
			time.Sleep(time.Until(due))
			if _, err := out.Write(block); err != nil {
				return err
			}
		}
	})
}

func (p *bulkPair) run(ctx context.Context, slice time.Duration, write func(io.Writer, time.Duration) error) (metrics, error) {
	if _, err := p.send(ctx, slice/4, write); err != nil { // to open the window
		return nil, err
	}
	var bytes int64
	u, err := metered(func() (err error) {
		bytes, err = p.send(ctx, slice, write)
		return err
	})
	if err != nil {
		return nil, err
	}
	return metrics{
		"cpu_ns_per_1200_bytes": float64(u.cpu) / float64(bytes) * packetSize,
		"mbit_per_s":            float64(bytes) * 8 / u.wall.Seconds() / 1e6,
	}, nil
}

// send opens a stream, lets write fill it and reads all of it.
func (p *bulkPair) send(ctx context.Context, d time.Duration, write func(io.Writer, time.Duration) error) (int64, error) {
	sent := make(chan error, 1)
	go func() {
		sent <- func() error {
			out, err := p.client.OpenUniStreamSync(ctx)
			if err != nil {
				return err
			}
			return errors.Join(write(out, d), out.Close())
		}()
	}()
	in, err := p.node.AcceptUniStream(ctx)
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(io.Discard, in)
	if err := errors.Join(err, <-sent); err != nil {
		return n, fmt.Errorf("bulk stream: %w", err)
	}
	return n, nil
}

func (p *bulkPair) close() error {
	err := p.client.CloseWithError(0, "")
	for _, t := range p.transports {
		err = errors.Join(err, t.Close(), t.Conn.Close())
	}
	return err
}
