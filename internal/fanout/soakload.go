package fanout

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"trellis/edge/framing"
	"trellis/edge/whip/whipclient"
)

// SoakLoadCommand is the process of all clients of a soak: BASE-URL LOAD.
const SoakLoadCommand = "soak-load"

// SoakLoad is who comes, and for how long.
type SoakLoad struct {
	// Viewers is how many places there are, of which Staying are held by one viewer all
	// the time.
	Viewers int `json:"viewers"`
	Staying int `json:"staying"`
	// Guests is how many places there are for publishers that come and go.
	Guests int `json:"guests"`
	// Stay is how long the others stay at most; an eighth of it is the least.
	Stay time.Duration `json:"stay_ns"`
	Seed uint64        `json:"seed"`
	// MoQ is where viewers over WebTransport go.
	MoQ string `json:"moq"`
}

// SoakCounts is what the clients have seen since they began.
type SoakCounts struct {
	Packets   uint64 `json:"packets"`   // opened by SRTP
	Unopened  uint64 `json:"unopened"`  // that did not open: a wrong key, index or roll-over counter
	Gaps      uint64 `json:"gaps"`      // places where sequence numbers never came,
	Holes     uint64 `json:"holes"`     // and how many those are, but for
	Signs     uint64 `json:"signs"`     // single ones, by which the node says that a frame has no end
	Doubles   uint64 `json:"doubles"`   // that came twice in one stream
	Backwards uint64 `json:"backwards"` // timestamps before an earlier packet's
	Wraps     uint64 `json:"wraps"`     // of sequence numbers at viewers, in all,
	MostWraps uint64 `json:"most_wraps"`
	Lost      uint64 `json:"lost"`     // which the viewers made lost,
	Asked     uint64 `json:"asked"`    // by chance and not for a narrow path, and asked for again,
	Repaired  uint64 `json:"repaired"` // and that came again
	Unasked   uint64 `json:"unasked"`  // that came again to probe the path
	Overflow  uint64 `json:"overflow"` // messages that the kernel dropped; one may be many packets
	Objects   uint64 `json:"objects"`  // over MoQ

	Viewers    int64  `json:"viewers"` // there just now
	Joins      uint64 `json:"joins"`
	Streamed   uint64 `json:"streamed"` // of those, over MoQ
	Vanished   uint64 `json:"vanished"` // that left without a word
	Guests     uint64 `json:"guests"`   // publishers that came and went
	InWraps    []int  `json:"in_wraps"` // of the publisher's layers and its sound
	Published  uint64 `json:"published"`
	FirstWrong string `json:"first_wrong,omitempty"`
	Error      string `json:"error,omitempty"`
}

// What is published all the time: pictures of 270 packets a second and 15, and sound
// of 50. Their numbers begin shortly before they wrap.
var soakTracks = []whipclient.Source{
	{Codec: framing.VP8, RID: "q", Sequence: 65_450},
	{Codec: framing.VP8, RID: "f", Sequence: 65_300},
	{Codec: framing.Opus, Sequence: 65_500},
}

var (
	soakLayers  = []picture{{180, 1000}, {360, 20_800}}
	guestLayers = []picture{{360, 2200}}
)

const (
	soakBroadcast = "soak/always"
	soakFrame     = time.Second / 15
	soakJoin      = 20 * time.Second
)

// crowd is the process of the clients.
type crowd struct {
	cfg  SoakLoad
	base string
	id   identity
	seen tally
	all  counters

	viewers                            atomic.Int64
	joins, streamed, vanished, guested atomic.Uint64
	published                          atomic.Uint64

	mu     sync.Mutex
	failed error
	main   *whipclient.Publisher
}

// RunSoakLoad obeys the lines that it reads, each of which it answers with SoakCounts:
// "begin" has all come, "counts", and "unwatch" and "unpublish" have all leave.
func RunSoakLoad(ctx context.Context, cfg SoakLoad, base string, in io.Reader, out io.Writer) error {
	c := &crowd{cfg: cfg, base: base}
	c.all.late = &Histogram{}
	var err error
	if c.id, err = newIdentity(); err != nil {
		return err
	}
	enc := json.NewEncoder(out)
	nobody := func() {}
	unwatch, unpublish := nobody, nobody
	defer func() { unwatch(); unpublish() }()
	for lines := bufio.NewScanner(in); lines.Scan(); {
		switch lines.Text() {
		case "begin":
			unwatch, unpublish = c.begin(ctx)
		case "unwatch":
			unwatch()
			unwatch = nobody
		case "unpublish":
			unpublish()
			unpublish = nobody
		}
		if lines.Text() != "counts" {
			http.DefaultClient.CloseIdleConnections() // the node has one for each
		}
		if err := enc.Encode(c.counts()); err != nil {
			return nil // whoever asked is gone
		}
	}
	return nil
}

// begin has everybody come, and returns what has them leave.
func (c *crowd) begin(ctx context.Context) (unwatch, unpublish func()) {
	watching, noViewers := context.WithCancelCause(ctx)
	publishing, noPublishers := context.WithCancelCause(ctx)
	var viewers, publishers sync.WaitGroup
	rng := rand.New(rand.NewPCG(c.cfg.Seed, 0))
	publishers.Go(func() { c.always(publishing) })
	for n := range c.cfg.Guests {
		own := rand.New(rand.NewPCG(c.cfg.Seed, rng.Uint64()))
		publishers.Go(func() { c.guests(publishing, n, own) })
	}
	for n := range c.cfg.Viewers {
		own := rand.New(rand.NewPCG(c.cfg.Seed, rng.Uint64()))
		viewers.Go(func() { c.place(watching, n, own) })
	}
	unwatch = func() {
		noViewers(errOver)
		viewers.Wait()
	}
	unpublish = func() {
		noPublishers(errOver)
		publishers.Wait()
	}
	return unwatch, unpublish
}

func (c *crowd) fail(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed == nil {
		c.failed = fmt.Errorf(format, args...)
	}
}

// always publishes from the beginning to the end.
func (c *crowd) always(ctx context.Context) {
	p, err := whipclient.Publish(ctx, whipclient.PublishConfig{
		Config: whipclient.Config{URL: c.base + "/whip/" + soakBroadcast, Token: "publisher"}, Tracks: soakTracks,
	})
	if err != nil {
		c.fail("publish: %w", err)
		return
	}
	c.mu.Lock()
	c.main = p
	c.mu.Unlock()
	if err := publish(ctx, p, soakFrame, soakLayers, func(time.Time) { c.published.Add(1) }); err != nil {
		c.fail("publish: %w", err)
	}
	if err := hangUp(ctx, p); err != nil {
		c.fail("publish: %w", err)
	}
}

func hangUp(ctx context.Context, p *whipclient.Publisher) error {
	bye, stop := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer stop()
	return p.Close(bye)
}

func guestName(n int) string { return fmt.Sprintf("soak/guest-%d", n) }

// guests publishes for a while, again and again, each time as somebody new.
func (c *crowd) guests(ctx context.Context, n int, rng *rand.Rand) {
	for settle(ctx, c.spell(rng)/8) == nil {
		p, err := whipclient.Publish(ctx, whipclient.PublishConfig{
			Config: whipclient.Config{URL: c.base + "/whip/" + guestName(n), Token: "publisher"},
			Tracks: []whipclient.Source{{Codec: framing.VP8, Sequence: 65_500}, {Codec: framing.Opus, Sequence: 65_500}},
		})
		if err != nil {
			if ctx.Err() == nil {
				c.fail("a guest publishes: %w", err)
			}
			return
		}
		spell, over := context.WithTimeoutCause(ctx, c.spell(rng), errOver)
		err = errors.Join(publish(spell, p, soakFrame, guestLayers, func(time.Time) {}), hangUp(ctx, p))
		over()
		if err != nil {
			c.fail("a guest publishes: %w", err)
		}
		c.guested.Add(1)
	}
}

// spell is how long somebody stays who does not stay for good.
func (c *crowd) spell(rng *rand.Rand) time.Duration {
	return c.cfg.Stay/8 + time.Duration(rng.Int64N(int64(c.cfg.Stay*7/8)))
}

func (c *crowd) counts() SoakCounts {
	s := &c.seen
	n := SoakCounts{
		Packets: s.packets.Load(), Unopened: s.unopened.Load(), Gaps: s.gaps.Load(), Holes: s.holes.Load(), Signs: s.signs.Load(),
		Doubles: s.doubles.Load(), Backwards: s.backwards.Load(), Wraps: s.wraps.Load(), MostWraps: s.most.Load(),
		Lost: s.lost.Load(), Asked: s.asked.Load(), Repaired: s.repaired.Load(), Unasked: s.unasked.Load(),
		Overflow: s.overflow.Load(), Objects: s.objects.Load(),
		Viewers: c.viewers.Load(), Joins: c.joins.Load(), Streamed: c.streamed.Load(), Vanished: c.vanished.Load(),
		Guests: c.guested.Load(), Published: c.published.Load(), FirstWrong: s.noted(),
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.main != nil {
		for i, t := range soakTracks {
			n.InWraps = append(n.InWraps, int((uint64(t.Sequence)+c.main.Stats(i).Packets)>>16))
		}
	}
	if c.failed != nil {
		n.Error = c.failed.Error()
	}
	return n
}
