package fanout

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strings"
	"sync"
	"time"

	"trellis/edge/framing"
	"trellis/edge/whip/whipclient"
)

// Counts is what the load has seen since the counts before.
type Counts struct {
	Packets   uint64     `json:"packets"`
	Bytes     uint64     `json:"bytes"`
	Lost      uint64     `json:"lost"`
	Frames    uint64     `json:"frames"`
	Opened    uint64     `json:"opened"`
	Latency   *Histogram `json:"latency"`
	Published uint64     `json:"published"`      // frames of the picture
	LateP99Ms float64    `json:"publish_p99_ms"` // that the publisher wrote them after they were due
	Viewers   int        `json:"viewers"`
	Error     string     `json:"error,omitempty"`
}

// member is one of the audience.
type member interface {
	// report says what it has received, once a second.
	report() error
	// feedback is what goes with it ten times a second, if anything.
	feedback() error
	close() error
}

// load is the process of the viewers, or that of the publisher.
type load struct {
	cfg     Load
	door    door
	all     counters
	id      identity
	server  string
	base    string
	viewers []member

	mu        sync.Mutex
	published uint64
	late      Histogram
	failed    error
}

// RunLoad obeys the lines that it reads, each of which it answers with Counts: "join
// N" until so many viewers watch, and "counts". Or it is the publisher: that is a
// process of its own, so that viewers that are busy do not hold it up.
func RunLoad(ctx context.Context, cfg Load, server, base string, in io.Reader, out io.Writer) error {
	l := &load{cfg: cfg, server: server, base: base}
	l.all.late = &Histogram{}
	var err error
	if l.id, err = newIdentity(); err != nil {
		return err
	}
	if l.door, err = doorOf(server, base); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	var tasks sync.WaitGroup
	defer func() {
		cancel(errOver)
		tasks.Wait()
		for _, v := range l.viewers {
			_ = v.close() // the server may be gone
		}
	}()
	if cfg.Publishes {
		publisher, err := whipclient.Publish(ctx, whipclient.PublishConfig{
			Config: l.door.publish,
			Tracks: []whipclient.Source{{Codec: framing.VP8}, {Codec: framing.Opus}},
		})
		if err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		tasks.Go(func() {
			l.fail(l.publish(ctx, publisher))
			bye, stop := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer stop()
			_ = publisher.Close(bye) // as above
		})
	} else {
		tasks.Go(func() { l.reports(ctx) })
	}
	enc := json.NewEncoder(out)
	for lines := bufio.NewScanner(in); lines.Scan(); {
		var n int
		if _, err := fmt.Sscanf(lines.Text(), "join %d", &n); err == nil {
			l.fail(l.join(ctx, n))
		}
		if err := enc.Encode(l.counts()); err != nil {
			break // whoever asked is gone
		}
	}
	return nil
}

var errOver = errors.New("the load is not needed any more")

func (l *load) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed == nil && err != nil {
		l.failed = err
	}
}

func (l *load) publish(ctx context.Context, p *whipclient.Publisher) error {
	every, size := l.cfg.video()
	return publish(ctx, p, every, []picture{{360, size}}, func(due time.Time) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.published++
		l.late.Add(time.Since(due))
	})
}

// reports sends each viewer's receiver report once a second, evenly spread.
func (l *load) reports(ctx context.Context) {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for turn := 0; ; turn++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		l.mu.Lock()
		viewers := l.viewers
		l.mu.Unlock()
		for i := turn % 100; i < len(viewers); i += 100 {
			l.fail(viewers[i].report())
		}
		for i := turn % 10; i < len(viewers); i += 10 {
			l.fail(viewers[i].feedback())
		}
	}
}

// join adds viewers until there are n, a few at a time.
func (l *load) join(ctx context.Context, n int) error {
	const atOnce = 8
	for len(l.viewers) < n {
		batch := make([]member, min(atOnce, n-len(l.viewers)))
		errs := make([]error, len(batch))
		var wg sync.WaitGroup
		for i := range batch {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
				defer cancel()
				batch[i], errs[i] = l.one(ctx, len(l.viewers)+i)
			})
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			return err
		}
		l.mu.Lock()
		l.viewers = append(l.viewers, batch...)
		l.mu.Unlock()
	}
	return nil
}

// one joins as the viewer with a number.
func (l *load) one(ctx context.Context, number int) (member, error) {
	switch {
	case l.server == QUICBulk || l.server == QUICFrames:
		return joinQUIC(ctx, l.base, &l.all)
	case l.cfg.Kind == MoQ || l.cfg.Kind == Mixed && number%2 == 1:
		return joinMoQ(ctx, l.cfg, &l.all, broadcast, nil)
	}
	return join(ctx, l.door, number, l.id, l.cfg, &l.all, nil)
}

func (l *load) counts() Counts {
	c := Counts{
		Packets: l.all.packets.Swap(0) + l.all.streamed.Swap(0)/packetBytes, Bytes: l.all.bytes.Swap(0), Lost: l.all.lost.Swap(0),
		Frames: l.all.frames.Swap(0), Opened: l.all.opened.Swap(0),
	}
	l.all.mu.Lock()
	c.Latency, l.all.late = l.all.late, &Histogram{}
	l.all.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	c.Published, c.LateP99Ms, c.Viewers = l.published, millis(l.late.Quantile(0.99)), len(l.viewers)
	l.published, l.late = 0, Histogram{}
	if l.failed != nil {
		c.Error = l.failed.Error()
	}
	return c
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }

// newIdentity makes the identity that all viewers share.
func newIdentity() (identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return identity{}, err
	}
	now := time.Now()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return identity{}, err
	}
	sum := sha256.Sum256(der)
	parts := make([]string, len(sum))
	for i, b := range sum {
		parts[i] = fmt.Sprintf("%02X", b)
	}
	return identity{
		cert:        tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		fingerprint: "sha-256 " + strings.Join(parts, ":"),
	}, nil
}
