package livekit

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/coder/websocket"

	"trellis/edge/livekit/signal"
	"trellis/edge/rtc"
	"trellis/internal/allowance"
	"trellis/internal/auth"
	"trellis/wire"
)

// Why a session is over, besides what ends its media connection.
var (
	errLeft      = errors.New("the client has left")
	errSocket    = errors.New("the WebSocket is closed")
	errSilent    = errors.New("the client says nothing")
	errSlow      = errors.New("the client does not read")
	errFlood     = errors.New("the client says too much")
	errMessage   = errors.New("the client sent a message that cannot be read")
	errText      = errors.New("the client speaks JSON")
	errDuplicate = errors.New("the identity has joined again")
	errResume    = errors.New("a session cannot be resumed")
	errNoOffer   = errors.New("the client made no offer")
)

// session is one client in a room.
type session struct {
	// Fixed once it is in its room.
	h      *Handler
	access auth.Access
	req    signal.JoinRequest
	room   *room
	log    *slog.Logger
	me     string // its sid
	since  time.Time

	ctx  context.Context
	end  context.CancelCauseFunc
	bell chan struct{} // something in the room has changed

	messages allowance.Bucket // owned by read

	// Owned by run, and before by admit.
	stage  *rtc.Stage
	first  *signal.Response // the answer to the first offer, which may come with the join
	lacks  rtc.Seating      // what that said
	out    chan []byte
	told   map[string]signal.Participant // by sid
	active bool                          // the client was told that it is

	seated  map[string]bool            // tracks that are sent, by sid
	refused map[string]time.Time       // until when others are not
	chosen  map[string]bool            // what the client said that it wants, or not
	wishes  map[string]rtc.Wish        // and how
	free    struct{ audio, video int } // sections of its last offer
	offers  allowance.Bucket
	asked   bool      // for an offer
	nextAsk time.Time // at the earliest
}

func newSession(h *Handler, access auth.Access, req signal.JoinRequest) *session {
	now := time.Now()
	s := &session{
		h: h, access: access, req: req, since: now, me: sid("PA_", access.ID, now.String()),
		log:  h.log.With(slog.String("room", access.Room), slog.String("identity", access.Identity)),
		bell: make(chan struct{}, 1), out: make(chan []byte, writeQueue),
		messages: allowance.New(messageRate, messageBurst), offers: allowance.New(offerRate, offerBurst),
		told: map[string]signal.Participant{}, seated: map[string]bool{}, refused: map[string]time.Time{}, chosen: map[string]bool{}, wishes: map[string]rtc.Wish{},
	}
	s.ctx, s.end = context.WithCancelCause(context.Background())
	return s
}

// ring wakes the session up. It does not block.
func (s *session) ring() {
	select {
	case s.bell <- struct{}{}:
	default: // it will look anyway
	}
}

// drop ends a session that has not run.
func (s *session) drop(cause error) {
	s.end(cause)
	if s.stage != nil {
		s.stage.End(cause)
	}
}

// begin makes the media connection out of the client's first offer.
func (s *session) begin(ctx context.Context, offer *signal.Description) error {
	cast := s.cast(s.room.list())
	stage, seating, err := s.h.cfg.Edge.Stage(ctx, rtc.Request{
		Broadcast: wire.Broadcast(s.room.name), Identity: s.access.ID, Expires: s.access.Expires, Offer: offer.SDP,
	}, cast)
	if err != nil {
		return err
	}
	s.stage = stage
	context.AfterFunc(stage.Context(), s.ring) //nolint:contextcheck // it is the end of the media that counts
	s.first, s.lacks = s.answer(offer, seating), seating
	return nil
}

// sayFirst says the first answer, if there is one that was not.
func (s *session) sayFirst() {
	if s.first == nil {
		return
	}
	s.say(s.first)
	s.tell(s.lacks)
	s.first, s.lacks = nil, rtc.Seating{}
}

// run serves the client until it leaves or has to. It ends the media connection.
func (s *session) run(ws *websocket.Conn) {
	requests, written := make(chan signal.Request, readQueue), make(chan struct{})
	reading := make(chan struct{})
	go func() { defer close(reading); s.read(ws, requests) }()
	go func() { defer close(written); s.write(ws) }()
	if s.req.Reconnect {
		// Its session is not here any more, or never was: the client begins anew.
		s.end(errResume)
	} else {
		s.log.Info("session joined", slog.Uint64("sdk", s.req.Client.SDK), slog.String("version", s.req.Client.Version))
		s.greet()
		s.serve(requests)
	}
	cause := context.Cause(s.ctx)
	s.say(&signal.Response{Kind: signal.ResponseLeave, Leave: farewell(cause)})
	close(s.out)
	<-written
	s.close(ws, cause)
	<-reading
	if s.stage != nil {
		s.stage.End(cause)
	}
	s.h.metrics.ended[endingOf(cause)].Inc()
	s.log.Info("session ended", slog.Any("cause", cause), slog.Duration("after", time.Since(s.since)))
}

// close ends the WebSocket.
func (*session) close(ws *websocket.Conn, cause error) {
	status := websocket.StatusNormalClosure
	switch {
	case errors.Is(cause, errText):
		status = websocket.StatusUnsupportedData
	case errors.Is(cause, errFlood), errors.Is(cause, errMessage):
		status = websocket.StatusPolicyViolation
	case errors.Is(cause, errSocket), errors.Is(cause, errSilent), errors.Is(cause, errSlow):
		_ = ws.CloseNow() // there is nobody to wait for
		return
	}
	_ = ws.Close(status, "") // a client that left does not answer
}

// read passes on what the client says.
func (s *session) read(ws *websocket.Conn, to chan<- signal.Request) {
	for {
		// Not within s.ctx: that would close the connection before all was said.
		ctx, cancel := context.WithTimeoutCause(context.Background(), silence, errSilent)
		kind, b, err := ws.Read(ctx)
		cause := context.Cause(ctx)
		cancel()
		switch {
		case err != nil && errors.Is(cause, errSilent):
			s.end(errSilent)
			return
		case errors.Is(err, websocket.ErrMessageTooBig):
			s.end(errMessage)
			return
		case err != nil:
			s.end(errSocket)
			return
		case kind != websocket.MessageBinary:
			s.end(errText)
			return
		}
		if !s.messages.Take(time.Now()) {
			s.end(errFlood)
			return
		}
		r, err := signal.ParseRequest(b)
		if err != nil {
			s.log.Debug("bad message", slog.Int("bytes", len(b)), slog.Any("err", err))
			s.end(errMessage)
			return
		}
		select {
		case to <- r:
		case <-s.ctx.Done():
			return
		}
	}
}

// write sends what is in the queue until that is closed.
func (s *session) write(ws *websocket.Conn) {
	dead := false
	for b := range s.out {
		if dead {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
		err := ws.Write(ctx, websocket.MessageBinary, b)
		cancel()
		if err != nil {
			dead = true
			s.end(errSocket)
		}
	}
}

// say puts a message into the queue. Who does not read is ended.
func (s *session) say(r *signal.Response) {
	select {
	case s.out <- r.Append(nil):
	default:
		s.end(errSlow)
	}
}

// greet says what a client must hear first.
func (s *session) greet() {
	all := s.room.list()
	join := &signal.Join{
		Room: signal.Room{
			SID: sid("RM_", s.room.name), Name: s.room.name, Created: seconds(s.room.created),
			Participants: uint64(len(all) + 1), Publishers: uint64(len(all)),
		},
		Participant: s.self(signal.Joined), Version: likeVersion, Region: s.h.cfg.Region, NodeID: s.h.cfg.NodeID,
		Protocol: protocol, PingTimeout: uint64(pingTimeout.Seconds()), PingInterval: uint64(pingInterval.Seconds()),
	}
	for _, p := range all {
		join.Others = append(join.Others, p.info)
		s.told[p.info.SID] = p.info
	}
	s.say(&signal.Response{Kind: signal.ResponseJoin, Join: join})
	s.sayFirst()
	s.ring() // what has changed since the answer
}

const (
	// likeVersion is the release of LiveKit's server that we are like: clients look at
	// it to know what they may use.
	likeVersion = "1.13.5"
	protocol    = 17
)

// self is the client as it is told of itself: it receives, and does nothing else.
func (s *session) self(state signal.State) signal.Participant {
	return signal.Participant{
		SID: s.me, Identity: s.access.Identity, Name: s.access.Name, Metadata: s.access.Metadata, State: state,
		Joined: seconds(s.since), Permission: signal.Permission{Subscribe: true, Hidden: true},
	}
}

// serve does what the client and the room want until the session is over.
func (s *session) serve(requests <-chan signal.Request) {
	patience := time.NewTimer(offerTimeout)
	defer patience.Stop()
	for {
		var connected <-chan struct{}
		if s.stage != nil && !s.active {
			connected = s.stage.Connected()
		}
		select {
		case <-s.ctx.Done():
			return
		case <-patience.C:
			if s.stage == nil {
				s.end(errNoOffer)
			}
		case <-connected:
			s.active = true
			s.say(&signal.Response{Kind: signal.ResponseUpdate, Participants: []signal.Participant{s.self(signal.Active)}})
		case <-s.bell:
			if s.stage != nil && s.stage.Context().Err() != nil {
				s.end(context.Cause(s.stage.Context()))
				return
			}
			s.look()
		case r := <-requests:
			s.request(r)
		}
	}
}

// shutdown reports whether a session ends because its node does.
func shutdown(cause error) bool {
	return slices.ContainsFunc([]error{errStopping, rtc.ErrDrained, rtc.ErrClosed}, func(e error) bool { return errors.Is(cause, e) })
}
