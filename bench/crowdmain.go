package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"trellis/edge/moq/moqclient"
	"trellis/edge/whip/whipclient"
	"trellis/internal/sim"
	"trellis/wire/moqlite"
)

// watching is what all viewers of this process have received.
type watching struct {
	frames, packets, bytes, lost atomic.Uint64
	ages                         delays
}

func (w *watching) took(bytes int, age time.Duration) {
	w.frames.Add(1)
	w.bytes.Add(uint64(bytes))
	w.ages.add(age)
}

func (w *watching) counts() crowdCounts {
	ages := w.ages.take()
	return crowdCounts{
		Frames: w.frames.Load(), Packets: w.packets.Load(), Bytes: w.bytes.Load(), Lost: w.lost.Load(),
		AgeP50: micros(ages, 0.5), AgeP99: micros(ages, 0.99),
	}
}

// viewer connects and watches until ctx ends, and says when it has its first frame.
type viewer func(ctx context.Context, url string, w *watching, ready func()) error

// runCrowd is the process of a crowd: it connects its viewers one after another
// and then answers lines until there are no more.
func runCrowd(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	if len(args) != 3 {
		return errors.New("a crowd needs kind, url and number")
	}
	watch, known := map[string]viewer{"whep": watchWHEP, "moq": watchMoQ}[args[0]]
	n, err := strconv.Atoi(args[2])
	if !known || err != nil {
		return fmt.Errorf("no crowd of %s %s viewers", args[2], args[0])
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	group, ctx := errgroup.WithContext(ctx)
	w := &watching{}
	for range n {
		ready := make(chan struct{})
		group.Go(func() error { return stopped(ctx, watch(ctx, args[1], w, func() { close(ready) })) })
		select {
		case <-ready:
		case <-ctx.Done():
			return group.Wait()
		}
	}
	for lines := bufio.NewScanner(in); lines.Scan() && ctx.Err() == nil; {
		if err := json.NewEncoder(out).Encode(w.counts()); err != nil {
			break // whoever asked is gone
		}
	}
	cancel(errMeasured)
	return group.Wait()
}

func watchWHEP(ctx context.Context, url string, w *watching, ready func()) error {
	player, err := whipclient.Play(ctx, whipclient.PlayConfig{Config: whipclient.Config{URL: url, Token: "viewer"}})
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = player.Close(closing) // the node ends with the measurement
	}()
	var seen whipclient.PlayStats
	for first := true; ; first = false {
		f, err := player.Next(ctx)
		if err != nil {
			return err
		}
		if first {
			ready()
		}
		w.took(len(f.Data), f.Arrival.Sub(f.Captured))
		video, audio := player.VideoStats(), player.AudioStats()
		now := whipclient.PlayStats{}
		now.Packets, now.Lost = video.Packets+audio.Packets, video.Lost+audio.Lost
		w.packets.Add(now.Packets - seen.Packets)
		w.lost.Add(now.Lost - seen.Lost)
		seen = now
	}
}

func watchMoQ(ctx context.Context, url string, w *watching, ready func()) error {
	session, err := moqclient.Dial(ctx, moqclient.Config{URL: url, Insecure: true})
	if err != nil {
		return err
	}
	defer session.Close() //nolint:errcheck // the node ends with the measurement
	group, ctx := errgroup.WithContext(ctx)
	for i, track := range []string{sim.VideoTrack, sim.AudioTrack} {
		sub, err := session.Subscribe(ctx, clipBroadcast, track, moqlite.Delivery{Priority: uint8(60 + i), MaxLatency: time.Second})
		if err != nil {
			return err
		}
		group.Go(func() error {
			for first := i == 0; ; first = false {
				object, err := sub.Next(ctx)
				if err != nil {
					return err
				}
				if first {
					ready()
				}
				w.took(len(object.Payload), object.Arrived.Sub(time.UnixMicro(object.Time)))
			}
		})
	}
	return group.Wait()
}
