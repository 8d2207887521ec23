package fanout

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"time"

	"github.com/pion/rtcp"

	"trellis/edge/moq/moqclient"
)

// habit is what a viewer is like.
type habit struct {
	number    int
	broadcast string
	moq       bool
	arrivals  bool          // reports when each packet came
	loss      float64       // the share that it makes lost
	narrow    bool          // its path is too narrow for the large picture, every other while
	pli       time.Duration // how often it asks for a key frame; zero: never
	leaves    manner
	stays     time.Duration // zero: to the end
}

// manner is how a viewer leaves.
type manner uint8

const (
	leavesByDelete manner = iota // as players do
	leavesByDTLS                 // as a page that is closed
	leavesSilently               // as a phone in a tunnel
	numManners
)

const (
	narrowBps   = 500_000
	narrowTurns = 12 * time.Second // so long narrow, so long wide
)

// habitOf draws what the next viewer at a place is like. Those who stay are of all kinds.
func (c *crowd) habitOf(n int, rng *rand.Rand) habit {
	h := habit{number: n, broadcast: soakBroadcast, leaves: manner(rng.IntN(int(numManners)))}
	kind := n % 10
	if n >= c.cfg.Staying {
		kind = rng.IntN(10)
		h.stays = c.spell(rng)
	}
	switch kind {
	case 1, 4, 7:
		h.loss, h.arrivals = 0.02, kind != 4
	case 2, 5:
		h.narrow, h.arrivals = true, true
	case 3:
		h.moq = true
	case 6:
		h.pli = 5 * time.Second
	case 8:
		h.arrivals = true
	}
	if h.stays > 0 && !h.moq && c.cfg.Guests > 0 && rng.IntN(5) == 0 {
		h.broadcast = guestName(rng.IntN(c.cfg.Guests))
	}
	return h
}

// place has a viewer, or one after the other.
func (c *crowd) place(ctx context.Context, n int, rng *rand.Rand) {
	if settle(ctx, time.Second+time.Duration(n)*100*time.Millisecond) != nil {
		return
	}
	for ctx.Err() == nil {
		h := c.habitOf(n, rng)
		if err := c.visit(ctx, h, rng); err != nil && ctx.Err() == nil {
			c.fail("viewer %d: %w", n, err)
			return
		}
	}
}

// visit is one viewer from its coming to its going.
func (c *crowd) visit(ctx context.Context, h habit, rng *rand.Rand) error {
	stay := ctx
	if h.stays > 0 {
		var over context.CancelFunc
		stay, over = context.WithTimeoutCause(ctx, h.stays, errOver)
		defer over()
	}
	joining, cancel := context.WithTimeout(ctx, soakJoin)
	defer cancel()
	if h.moq {
		return c.stream(joining, stay)
	}
	v, resource, err := c.watch(joining, h, rng)
	switch {
	case err != nil && h.broadcast != soakBroadcast:
		return nil // nobody was on air, or not any more
	case err != nil:
		return fmt.Errorf("join: %w", err)
	}
	c.joins.Add(1)
	c.viewers.Add(1)
	defer c.viewers.Add(-1)
	err = c.attend(stay, v, h)
	c.seen.overflow.Add(overflowOf(v.conn.LocalAddr()))
	return errors.Join(err, c.part(ctx, v, h, resource))
}

// watch joins by WHEP.
func (c *crowd) watch(ctx context.Context, h habit, rng *rand.Rand) (*viewer, string, error) {
	var resource string
	d := door{enter: func(ctx context.Context, v *viewer, _ int, us local) (answered, error) {
		a, err := post(ctx, c.base+"/whep/"+h.broadcast, offer(us, h.arrivals, true))
		resource = a.resource
		return a, err
	}}
	i := &inspector{
		all: &c.seen, rng: rand.New(rand.NewPCG(rng.Uint64(), 0)), loss: h.loss, streams: map[uint32]*checked{},
		name: fmt.Sprintf("a viewer at place %d", h.number), missing: map[uint16]*wanted{}, plain: make([]byte, 0, mtu),
	}
	if h.narrow {
		i.narrow = func() int {
			if time.Now().UnixNano()/int64(narrowTurns)%2 == 0 {
				return narrowBps
			}
			return 0
		}
	}
	v, err := join(ctx, d, h.number, c.id, Load{Light: true, GRO: true, Arrivals: h.arrivals}, &c.all, i)
	return v, resource, err
}

// attend sends what viewers send until the stay is over. A guest's viewers leave when
// the guest does: the node has then closed the connection.
func (c *crowd) attend(stay context.Context, v *viewer, h habit) error {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	pli := time.Now()
	for turn := 0; ; turn++ {
		select {
		case <-stay.Done():
			return nil
		case <-v.ended:
			if h.broadcast == soakBroadcast {
				return errors.New("the node ended the session")
			}
			return nil
		case <-ticker.C:
		}
		err := v.feedback()
		if turn%10 == 9 {
			err = errors.Join(err, v.report())
		}
		if n := v.inspect.nack(); n != nil {
			err = errors.Join(err, v.tell(n))
		}
		if h.pli > 0 && time.Since(pli) > h.pli {
			pli = time.Now()
			err = errors.Join(err, v.tell(&rtcp.PictureLossIndication{SenderSSRC: 1, MediaSSRC: v.pictureSSRC()}))
		}
		if err != nil && h.broadcast == soakBroadcast {
			return err
		}
	}
}

// tell sends an RTCP packet.
func (v *viewer) tell(p rtcp.Packet) error {
	raw, err := p.Marshal()
	if err != nil {
		return err
	}
	return v.send(raw)
}

func (v *viewer) pictureSSRC() uint32 {
	v.mu.Lock()
	defer v.mu.Unlock()
	for ssrc, s := range v.streams {
		if s.video {
			return ssrc
		}
	}
	return 0
}

// part leaves.
func (c *crowd) part(ctx context.Context, v *viewer, h habit, resource string) error {
	switch h.leaves {
	case leavesSilently:
		c.vanished.Add(1)
		return v.vanish()
	case leavesByDelete:
		err := hangUpAt(ctx, resource)
		if h.broadcast != soakBroadcast {
			err = nil // it may have ended with its guest
		}
		return errors.Join(err, v.close())
	case leavesByDTLS, numManners:
	}
	return v.close()
}

func hangUpAt(ctx context.Context, resource string) error {
	bye, stop := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer stop()
	req, err := http.NewRequestWithContext(bye, http.MethodDelete, resource, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("DELETE %s: %s", resource, resp.Status)
	}
	return errors.Join(err, resp.Body.Close())
}

// stream watches over WebTransport.
func (c *crowd) stream(joining, stay context.Context) error {
	var tracks orders
	v, err := joinMoQ(joining, Load{MoQ: c.cfg.MoQ}, &c.all, soakBroadcast, func(track string, o *moqclient.Object) {
		c.seen.objects.Add(1)
		if wrong := tracks.object(track, o.Group, o.Index); wrong != "" {
			c.seen.doubles.Add(1)
			c.seen.note("over MoQ %s: %s", track, wrong)
		}
	})
	if err != nil {
		return fmt.Errorf("join over MoQ: %w", err)
	}
	c.joins.Add(1)
	c.streamed.Add(1)
	c.viewers.Add(1)
	defer c.viewers.Add(-1)
	<-stay.Done()
	return v.close()
}

// overflowOf returns how many packets the kernel has dropped at a socket because
// nobody took them.
func overflowOf(at net.Addr) uint64 {
	udp, ok := at.(*net.UDPAddr)
	if !ok {
		return 0
	}
	return dropsAt(udp.Port)
}
