package fanout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pion/datachannel"
	"github.com/pion/dtls/v3"
	"github.com/pion/logging"
	"github.com/pion/sctp"

	"trellis/edge/whip/whipclient"
	"trellis/internal/livekit"
)

// serveLiveKit runs livekit-server until ctx ends.
func serveLiveKit(ctx context.Context, dir string, cfg livekit.Config, ready func(Served)) error {
	installed, err := livekit.Find(dir)
	if err != nil {
		return err
	}
	s, err := livekit.Start(ctx, installed.Server, cfg)
	if err != nil {
		return err
	}
	ready(Served{URL: s.URL, PID: s.PID(), Media: s.Media})
	select {
	case <-ctx.Done():
		return errors.Join(context.Cause(ctx), s.Close())
	case <-s.Done():
		return s.Err()
	}
}

const livekitRoom = "fanout"

// livekitDoor: the publisher comes by WHIP, as everywhere; viewers by LiveKit's own
// signalling, for WHEP it has none.
func livekitDoor(base string) (door, error) {
	token, err := livekit.Grant{Identity: "clip", Room: livekitRoom, Publish: true}.Token(time.Now())
	if err != nil {
		return door{}, err
	}
	return door{
		publish: whipclient.Config{URL: base + "/whip/v1", Token: token},
		enter: func(ctx context.Context, v *viewer, number int, us local) (answered, error) {
			token, err := livekit.Grant{Identity: "viewer-" + strconv.Itoa(number), Room: livekitRoom}.Token(time.Now())
			if err != nil {
				return answered{}, err
			}
			signal, err := livekit.Dial(ctx, base, token)
			if err != nil {
				return answered{}, err
			}
			g := &guest{viewer: v, signal: signal, us: us, entered: make(chan answered, 1), ended: make(chan error, 1)}
			return g.enter(ctx)
		},
	}, nil
}

// guest is a viewer's part in LiveKit's signalling.
type guest struct {
	viewer  *viewer
	signal  *livekit.Signal
	us      local
	entered chan answered // the first offer
	ended   chan error    // why it ended before that

	tasks sync.WaitGroup
	sctp  *sctp.Association // owned by the goroutine that joins and leaves
}

func (g *guest) enter(ctx context.Context) (answered, error) {
	// The signalling lasts as long as the viewer does.
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	g.tasks.Go(func() { g.ended <- g.listen(life) })
	g.tasks.Go(func() { g.ping(life) })
	g.viewer.channel = g.open
	g.viewer.leave = func() error {
		// A stalled server must not hold us up.
		bye, stop := context.WithTimeout(life, time.Second)
		defer stop()
		_ = g.signal.Close(bye) // it may be gone
		end()
		var err error
		if g.sctp != nil {
			err = g.sctp.Close()
		}
		g.tasks.Wait()
		return err
	}
	select {
	case a := <-g.entered:
		return a, nil
	case err := <-g.ended:
		return answered{}, err
	case <-ctx.Done():
		return answered{}, fmt.Errorf("no offer came: %w", context.Cause(ctx))
	}
}

// listen answers offers.
func (g *guest) listen(ctx context.Context) error {
	for {
		r, err := g.signal.Read(ctx)
		switch {
		case err != nil:
			return err
		case r.Leave != nil:
			return fmt.Errorf("the server ended the session, reason %d", r.Leave.Reason)
		case r.Offer != nil:
			err = g.answer(ctx, r.Offer)
		case r.Trickle != nil && r.Trickle.Target == livekit.Subscriber:
			err = g.candidate(r.Trickle.Candidate)
		}
		if err != nil {
			return err
		}
	}
}

func (g *guest) answer(ctx context.Context, d *livekit.Description) error {
	o, err := livekit.ParseOffer(d.SDP)
	if err != nil {
		return err
	}
	if picture, _, ok := o.Media(); ok {
		g.viewer.mu.Lock()
		g.viewer.picture = uint8(picture) //nolint:gosec // seven bits
		g.viewer.mu.Unlock()
	}
	us := make([]string, len(g.us.candidates))
	for i, c := range g.us.candidates {
		us[i] = strings.TrimPrefix(c, "candidate:")
	}
	sdp := o.Answer(livekit.Transport{Ufrag: g.us.ufrag, Pwd: g.us.pwd, Fingerprint: g.us.fingerprint, Candidates: us})
	if err := g.signal.Write(ctx, livekit.Request{Answer: &livekit.Description{Type: "answer", SDP: sdp, ID: d.ID}}); err != nil {
		return err
	}
	select {
	case g.entered <- answered{ufrag: o.Ufrag, pwd: o.Pwd, candidates: o.Candidates}:
	default: // it has entered
	}
	return nil
}

// candidate takes an RTCIceCandidateInit.
func (g *guest) candidate(doc string) error {
	var c struct {
		Candidate string `json:"candidate"`
	}
	if err := json.Unmarshal([]byte(doc), &c); err != nil || c.Candidate == "" {
		return err
	}
	return g.viewer.reach(c.Candidate)
}

func (g *guest) ping(ctx context.Context) {
	every := time.NewTicker(time.Duration(max(g.signal.Join.PingInterval, 1)) * time.Second) //nolint:gosec // a few seconds
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-every.C:
			if g.signal.Ping(ctx, now) != nil {
				return // listen knows why
			}
		}
	}
}

// open accepts the data channels, without which the server counts no viewer as
// connected. Nothing is sent over them.
func (g *guest) open(ctx context.Context, conn *dtls.Conn) error {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // the handshake of SCTP knows no contexts
	defer stop()
	logs := &logging.DefaultLoggerFactory{DefaultLogLevel: logging.LogLevelDisabled}
	a, err := sctp.ClientWithOptions(sctp.WithNetConn(conn), sctp.WithLoggerFactory(logs))
	if err != nil {
		return fmt.Errorf("SCTP: %w", err)
	}
	g.sctp = a
	g.tasks.Go(func() {
		for {
			c, err := datachannel.Accept(a, &datachannel.Config{LoggerFactory: logs})
			if err != nil {
				return // closed
			}
			g.tasks.Go(func() {
				for buf := make([]byte, 1<<16); ; {
					if _, err := c.Read(buf); err != nil {
						return
					}
				}
			})
		}
	})
	return nil
}
