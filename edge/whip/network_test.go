package whip_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/logging"
	"github.com/pion/transport/v4"
	"github.com/pion/transport/v4/vnet"
	"github.com/prometheus/client_golang/prometheus"

	"trellis/edge/framing"
	"trellis/edge/rtc"
	"trellis/edge/whip"
	"trellis/edge/whip/whipclient"
	"trellis/internal/relay"
)

// world is one node with its edge, and clients around it, on a simulated network
// in virtual time. All of it lives in one synctest bubble.
type world struct {
	t       *testing.T
	router  *vnet.Router
	table   *relay.Table
	edge    *rtc.Edge
	handler http.Handler
	metrics *prometheus.Registry
	// patience is that of players.
	patience time.Duration

	hostMu sync.Mutex // vnet numbers its hosts without a lock
	hosts  int

	mu   sync.Mutex
	drop func(vnet.Chunk) bool
}

// oneWay is the delay from every host to every other.
const oneWay = 10 * time.Millisecond

// inWorld runs f in a bubble with a world, and takes the world down after it.
func inWorld(t *testing.T, configure func(*rtc.Config, *whip.Config), f func(w *world)) {
	t.Helper()
	inWideWorld(t, oneWay, configure, f)
}

// inWideWorld is inWorld with another delay from every host to every other.
func inWideWorld(t *testing.T, delay time.Duration, configure func(*rtc.Config, *whip.Config), f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, metrics: prometheus.NewRegistry()}
		var err error
		w.router, err = vnet.NewRouter(&vnet.RouterConfig{
			CIDR: "10.0.0.0/16", MinDelay: delay, QueueSize: 100_000, LoggerFactory: &logging.DefaultLoggerFactory{},
		})
		w.must(err)
		w.router.AddChunkFilter(func(c vnet.Chunk) bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.drop == nil || !w.drop(c)
		})
		host := w.host()
		w.must(w.router.Start())
		w.table, err = relay.NewTable(relay.Config{})
		w.must(err)
		udp, err := host.ListenPacket("udp4", "10.0.0.1:3478")
		w.must(err)
		cfg := rtc.Config{
			Table: w.table, Origin: "us-east-1", UDP: udp, Net: host, Metrics: w.metrics, Log: testLog(t),
		}
		hcfg := whip.Config{Anonymous: true}
		if configure != nil {
			configure(&cfg, &hcfg)
		}
		w.edge, err = rtc.New(cfg)
		w.must(err)
		hcfg.Edge = w.edge
		w.handler, err = whip.New(hcfg)
		w.must(err)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			if err := w.edge.Run(ctx); err != nil {
				t.Errorf("run: %v", err)
			}
		})
		running.Go(func() {
			tick := time.NewTicker(time.Second)
			defer tick.Stop()
			for {
				select {
				case now := <-tick.C:
					w.table.Sweep(now)
				case <-ctx.Done():
					return
				}
			}
		})
		f(w)
		cancel()
		running.Wait()
		w.must(w.router.Stop())
		time.Sleep(10 * time.Second) // virtual: let pion's last timers run out
	})
}

func testLog(t *testing.T) *slog.Logger {
	t.Helper()
	if !testing.Verbose() {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// host adds a host: the first is the node's, 10.0.0.1.
func (w *world) host() transport.Net {
	w.t.Helper()
	w.hostMu.Lock()
	defer w.hostMu.Unlock()
	w.hosts++
	n, err := vnet.NewNet(&vnet.NetConfig{StaticIPs: []string{fmt.Sprintf("10.0.%d.%d", w.hosts>>8, w.hosts&0xff)}})
	w.must(err)
	w.must(w.router.AddNet(n))
	return n
}

// setDrop installs a filter that drops packets.
func (w *world) setDrop(f func(vnet.Chunk) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.drop = f
}

// client is the configuration of a client on a host of its own. Its requests go
// straight to the handler.
func (w *world) client(path string) whipclient.Config {
	return whipclient.Config{
		URL: "http://10.0.0.1" + path, Net: w.host(), Log: testLog(w.t),
		HTTP: &http.Client{Transport: handlerTransport{w.handler}},
	}
}

// handlerTransport answers requests without a network.
type handlerTransport struct{ h http.Handler }

func (t handlerTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	t.h.ServeHTTP(rec, r)
	return rec.Result(), nil
}

// publish starts a publisher of tracks in room/alice.
func (w *world) publish(tracks ...whipclient.Source) *whipclient.Publisher {
	w.t.Helper()
	p, err := whipclient.Publish(w.t.Context(), whipclient.PublishConfig{Config: w.client("/whip/room/alice"), Tracks: tracks})
	w.must(err)
	return p
}

// play starts a viewer of room/alice.
func (w *world) play(codecs ...framing.Codec) *whipclient.Player {
	w.t.Helper()
	p, err := whipclient.Play(w.t.Context(), whipclient.PlayConfig{
		Config: w.client("/whep/room/alice"), Codecs: codecs, Patience: w.patience,
	})
	w.must(err)
	return p
}

// metric returns the sum of a counter over its labels.
func (w *world) metric(name string) float64 {
	w.t.Helper()
	families, err := w.metrics.Gather()
	w.must(err)
	sum := 0.0
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// stream is a test stream: one second of video at 30 frames per second with a
// key frame every 15, or twenty milliseconds of sound.
type stream struct {
	codec  framing.Codec
	frames [][]byte
	every  time.Duration
}

func loadStream(tb testing.TB, c framing.Codec) stream {
	tb.Helper()
	if c == framing.Opus {
		// A CELT packet at 48 kHz of 20 ms, stereo (RFC 6716, Section 3.1).
		return stream{codec: c, frames: [][]byte{append([]byte{0xfc}, bytes.Repeat([]byte{0x55}, 119)...)}, every: 20 * time.Millisecond}
	}
	file := map[framing.Codec]string{
		framing.VP8: "bars-vp8.ivf", framing.VP9: "bars-vp9.ivf", framing.AV1: "bars-av1.ivf", framing.H264: "bars.h264",
	}[c]
	b, err := os.ReadFile("../framing/testdata/" + file)
	if err != nil {
		tb.Fatal(err)
	}
	s := stream{codec: c, every: time.Second / 30}
	if c == framing.H264 {
		s.frames = accessUnits(b)
		return s
	}
	for b = b[32:]; len(b) > 12; {
		n := int(binary.LittleEndian.Uint32(b))
		s.frames = append(s.frames, b[12:12+n])
		b = b[12+n:]
	}
	return s
}

// accessUnits splits an Annex B stream before each picture's first NAL unit, and
// writes start codes in their long form.
func accessUnits(b []byte) [][]byte {
	var units [][]byte
	var unit []byte
	slices := false
	start := []byte{0, 0, 1}
	for _, nal := range bytes.Split(b, start)[1:] {
		nal = bytes.TrimRight(nal, "\x00")
		slice := nal[0]&0x1f == 1 || nal[0]&0x1f == 5
		if first := !slice || nal[1]&0x80 != 0; slices && first {
			units, unit, slices = append(units, unit), nil, false
		}
		slices = slices || slice
		unit = append(append(append(unit, 0), start...), nal...)
	}
	return append(units, unit)
}

func (s stream) frame(i int) whipclient.Frame {
	data := s.frames[i%len(s.frames)]
	return whipclient.Frame{PTS: time.Duration(i) * s.every, Key: framing.IsKey(s.codec, data), Data: data}
}

// send publishes frames in real time until d has passed or stop is closed, and
// returns how many.
func (s stream) send(tb testing.TB, p *whipclient.Publisher, track, from int, d time.Duration) int {
	tb.Helper()
	start := time.Now()
	n := 0
	for time.Since(start) < d {
		if err := p.Write(track, s.frame(from+n)); err != nil {
			tb.Errorf("frame %d: %v", from+n, err)
			return n
		}
		n++
		time.Sleep(time.Until(start.Add(time.Duration(n) * s.every)))
	}
	return n
}

// collect reads frames until the player ends.
func collect(p *whipclient.Player, into *[]whipclient.Received, wg *sync.WaitGroup) {
	wg.Go(func() {
		for {
			f, err := p.Next(context.Background())
			if err != nil {
				return
			}
			*into = append(*into, f)
		}
	})
}
