package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"trellis/internal/relay"
	"trellis/internal/sim"
	"trellis/wire"
	"trellis/wire/hang"
)

const (
	viewers       = 30
	clipBroadcast = "bench/clip"
)

// viewersScenario asks what a viewer costs the node. The viewers are real ones, in
// a process of their own whose time does not count.
func viewersScenario() scenario {
	const cost = "cpu_us_per_viewer_second"
	return scenario{
		name:  "viewers",
		title: fmt.Sprintf("edges: %d viewers of 2.5 Mbit/s at 30 pictures a second, and sound; real sockets on loopback", viewers),
		open:  openViewers,
		derive: func(round map[string]metrics) metrics {
			// What the node does without viewers is not theirs.
			idle := round["none"]["cpu_us_per_second"]
			m := metrics{}
			for _, kind := range []string{"whep", "moq"} {
				all := round[kind]["cpu_us_per_second"]
				m[kind+"_"+cost] = (all - idle) / viewers
			}
			m["whep_cpu_ns_per_packet"] = (round["whep"]["cpu_us_per_second"] - idle) * 1e3 / round["whep"]["packets_per_second"]
			m["moq_cpu_ns_per_1200_bytes"] = (round["moq"]["cpu_us_per_second"] - idle) * 1e3 /
				(round["moq"]["mbit_per_s"] * 1e6 / 8 / packetSize)
			return m
		},
	}
}

// benchClip is what the viewers watch.
func benchClip() sim.Clip {
	return sim.Clip{KeyBytes: frameBytes, DeltaBytes: frameBytes, AudioGroup: 5}.WithDefaults()
}

func openViewers(ctx context.Context) ([]benchCase, func() error, error) {
	c, err := startChain(ctx, 1)
	if err != nil {
		return nil, nil, err
	}
	stop := make(chan struct{})
	played := make(chan error, 1)
	go func() { played <- playClip(c, benchClip(), stop) }()
	closeAll := func() error {
		close(stop)
		return errors.Join(<-played, c.close())
	}
	cases := []benchCase{{"none", func(ctx context.Context, slice time.Duration) (metrics, error) {
		u, err := metered(func() error { return pause(ctx, slice) })
		if err != nil {
			return nil, err
		}
		return metrics{"cpu_us_per_second": float64(u.cpu.Microseconds()) / u.wall.Seconds()}, nil
	}}}
	socks := c.socks[0]
	for kind, url := range map[string]string{
		"whep": "http://" + socks.HTTP.Addr().String() + "/whep/" + clipBroadcast,
		"moq":  "https://" + socks.QUIC.LocalAddr().String(),
	} {
		cases = append(cases, benchCase{kind, func(ctx context.Context, slice time.Duration) (metrics, error) {
			return watched(ctx, kind, url, slice)
		}})
	}
	return cases, closeAll, nil
}

// watched measures the node while a crowd watches.
func watched(ctx context.Context, kind, url string, slice time.Duration) (metrics, error) {
	crowd, err := startCrowd(ctx, kind, url, viewers)
	if err != nil {
		return nil, err
	}
	var before, after crowdCounts
	u, err := metered(func() (err error) {
		if before, err = crowd.counts(); err != nil {
			return err
		}
		if err := pause(ctx, slice); err != nil {
			return err
		}
		after, err = crowd.counts()
		return err
	})
	if err := errors.Join(err, crowd.close()); err != nil {
		return nil, err
	}
	seconds := u.wall.Seconds()
	m := metrics{
		"cpu_us_per_second": float64(u.cpu.Microseconds()) / seconds,
		"mbit_per_s":        float64(after.Bytes-before.Bytes) * 8 / seconds / 1e6,
		"frames_per_second": float64(after.Frames-before.Frames) / seconds,
		"lost_frames":       float64(after.Lost - before.Lost),
		"age_p50_us":        after.AgeP50,
		"age_p99_us":        after.AgeP99,
	}
	if kind == "whep" {
		m["packets_per_second"] = float64(after.Packets-before.Packets) / seconds
	}
	return m, nil
}

// pause waits, unless the run is interrupted.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// playClip publishes a clip straight into the first node's table, in real time.
func playClip(c *chain, clip sim.Clip, stop <-chan struct{}) error {
	b, err := c.publish(clipBroadcast)
	if err != nil {
		return err
	}
	defer b.End(nil)
	document, err := clip.Catalog().Marshal()
	if err != nil {
		return err
	}
	tracks := map[string]*relay.Track{}
	for name, kind := range map[string]wire.Kind{
		hang.CatalogTrack: wire.KindCatalog, sim.VideoTrack: wire.KindVideo, sim.AudioTrack: wire.KindAudio,
	} {
		tracks[name], err = b.PushTrack(name, wire.TrackInfo{Kind: kind, Timescale: 1_000_000, MaxLatency: time.Second})
		if err != nil {
			return err
		}
	}
	g, err := tracks[hang.CatalogTrack].Group(0)
	if err != nil {
		return err
	}
	now := time.Now().UnixMicro()
	if err := g.Write(0, relay.ObjectHeader{Time: now, Ingress: now}, document); err != nil {
		return err
	}
	g.Close()
	open := map[sim.Media]*relay.Group{}
	return clip.Play(time.Now(), stop, func(m sim.Media, i int) error {
		size := clip.GroupSize(m)
		if i%size == 0 {
			if open[m] != nil {
				open[m].Close()
			}
			name := map[sim.Media]string{sim.Video: sim.VideoTrack, sim.Audio: sim.AudioTrack}[m]
			g, err := tracks[name].Group(uint64(i / size))
			if err != nil {
				return err
			}
			open[m] = g
		}
		// The presentation time is the time of writing: viewers on this machine
		// tell the age of what they get by it.
		now := time.Now().UnixMicro()
		object := hang.Legacy{PTSMicros: uint64(now), Payload: clip.Frame(m, i)}.Append(nil)
		return open[m].Write(uint64(i%size), relay.ObjectHeader{Time: now, Ingress: now}, object)
	})
}
