package rtc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pion/sdp/v3"

	"trellis/edge/rtc/bwe"
	"trellis/internal/relay"
	"trellis/wire"
	"trellis/wire/hang"
)

// Limits of an offer for a Stage. The SDK of LiveKit for browsers offers seven
// sections of about 85 lines and 2.6 kB each, and adds some for each publisher.
const (
	maxStageOfferBytes = 512 << 10
	maxStageSections   = 144
	maxStageAttributes = 16_384
	// MaxCast is how many tracks a Stage can have: one section each, and beside them that
	// of the data channels and those of the first offer that none of them fits.
	MaxCast = maxStageSections - 8
)

// joinDelay is how long a track that comes to a running Stage waits after the
// answer before it is sent: packets that overtake the answer are of no known
// stream. One that still does costs a request for a key frame.
const joinDelay = 200 * time.Millisecond

// Cast is a track that a Stage's viewer should be sent: the picture or the sound
// of a broadcast.
type Cast struct {
	// ID names it: the second part of a=msid. Stream is the first.
	ID, Stream string
	Broadcast  wire.Broadcast
	Audio      bool
	// Catalog is that of the broadcast, as far as it is known.
	Catalog hang.Catalog
	// Wish is what is wanted of a picture at first; Prefer changes it.
	Wish Wish
}

// Seating is what an answer says besides its SDP.
type Seating struct {
	SDP string
	// Seats are the ids of the tracks that are sent, by the mid of their section.
	Seats map[string]string
	// Refused says of the others why not, by id.
	Refused map[string]error
	// MoreAudio and MoreVideo are how many sections an offer would need in addition.
	MoreAudio, MoreVideo int
	// FreeAudio and FreeVideo are how many sections carry nothing.
	FreeAudio, FreeVideo int
}

// Stage is a session that views tracks of several broadcasts over one connection.
// The client offers sections to receive with, and again whenever there are to be
// others; which track each carries is decided here. It goes on when nothing is sent.
type Stage struct {
	*Session

	viewing  *viewing
	conn     *viewerConn
	sent     *bwe.Log
	channels bool // its first offer had data channels

	// Guarded by Session.negotiation.
	seats map[string]*seat // by mid
	print []string         // the client's certificate
	ufrag string
}

// seat is a section that carries a track.
type seat struct {
	id    string
	track *viewerTrack
	codec offeredCodec
	msid  string
}

// Stage makes a session that views cast, as far as req.Offer has room for it.
// req.Broadcast stands for all of them, in logs.
func (e *Edge) Stage(ctx context.Context, req Request, cast []Cast) (*Stage, Seating, error) {
	st, seating, err := e.stage(ctx, req, cast)
	if err != nil {
		e.metrics.refuse(err)
		return nil, Seating{}, fmt.Errorf("stage %s: %w", req.Broadcast, err)
	}
	return st, seating, nil
}

func (e *Edge) stage(ctx context.Context, req Request, cast []Cast) (*Stage, Seating, error) {
	o, sections, err := parseStageOffer(req.Offer)
	if err != nil {
		return nil, Seating{}, err
	}
	st := &Stage{
		Session: e.newSession(RoleViewer, req), seats: map[string]*seat{},
		print: o.fingerprints(), ufrag: o.attribute("ice-ufrag"), channels: o.data != nil,
	}
	if o.reportsArrival() {
		st.sent = bwe.NewLog(time.Now())
	}
	if err := e.admit(st.Session); err != nil {
		return nil, Seating{}, err
	}
	v := &viewing{edge: e, session: st.Session, stays: true, steering: newSteering(st.Session, st.sent)}
	st.viewing = v
	var seating Seating
	err = st.connect(req.Expires, func() (connection, string, error) {
		st.negotiation.Lock()
		defer st.negotiation.Unlock()
		all, fresh := st.place(o, sections, cast, &seating) //nolint:contextcheck // a lane outlives the viewer that it was opened for
		for _, t := range fresh {
			v.steering.steer(t)
		}
		conn, answer, err := st.newViewerConn(ctx, o, all, v.steering, v.begin)
		st.conn, _ = conn.(*viewerConn) // nil where there is none
		return conn, answer, err
	}, v.finish)
	if err != nil {
		return nil, Seating{}, err
	}
	st.steering.Store(v.steering)
	seating.SDP = st.Answer()
	return st, seating, nil
}

// Reoffer answers another offer of the client's: tracks that are not in cast any
// more leave their sections, and others take those that are free. With new
// credentials it restarts ICE.
func (st *Stage) Reoffer(ctx context.Context, text string, cast []Cast) (Seating, error) {
	o, sections, err := parseStageOffer(text)
	if err != nil {
		return Seating{}, err
	}
	st.negotiation.Lock()
	defer st.negotiation.Unlock()
	if st.ctx.Err() != nil {
		return Seating{}, ErrClosed
	}
	if !slices.Equal(o.fingerprints(), st.print) {
		return Seating{}, fmt.Errorf("%w: another certificate", ErrBadOffer)
	}
	if ufrag := o.attribute("ice-ufrag"); ufrag != st.ufrag {
		if err := st.allowRestart(time.Now()); err != nil {
			return Seating{}, err
		}
		if err := st.conn.Restart(ctx, ufrag, o.attribute("ice-pwd")); err != nil {
			return Seating{}, err
		}
		st.ufrag = ufrag
	}
	var seating Seating
	all, fresh := st.place(o, sections, cast, &seating) //nolint:contextcheck // a lane outlives the viewer that it was opened for
	seating.SDP, err = st.conn.accept(o, all)
	for _, t := range fresh {
		st.bring(t)
	}
	return seating, err
}

// bring sends a track that was added to a viewer that is or will be connected.
func (st *Stage) bring(t *viewerTrack) {
	if !st.isConnected() {
		st.viewing.steering.steer(t) // and begin has it follow
		return
	}
	time.AfterFunc(joinDelay, func() { st.tasks.run(func() { st.viewing.enter(t) }) })
}

// enter puts a viewer on the lane of a track that came later, unless begin did or
// the track is gone.
func (v *viewing) enter(t *viewerTrack) {
	if v.isDropped(t) {
		return
	}
	v.steering.steer(t)
	if !t.joined.Load() {
		v.follow(t)
	}
	if v.isDropped(t) {
		v.steering.forget(t)
	}
}

func (v *viewing) isDropped(t *viewerTrack) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return t.dropped
}

// place decides what each section carries. It returns the tracks that are new.
func (st *Stage) place(o *offer, sections []*sdp.MediaDescription, cast []Cast, out *Seating) (all []answered, fresh []*viewerTrack) {
	out.Seats, out.Refused = map[string]string{}, map[string]error{}
	media := map[*sdp.MediaDescription]*offeredMedia{}
	for _, m := range o.media {
		media[m.desc] = m
	}
	waiting := st.retire(o, cast)
	for _, md := range sections {
		m := media[md]
		if md == o.data && st.channels {
			all = append(all, answered{data: md})
			continue
		}
		if m == nil || len(m.codecs) == 0 {
			all = append(all, answered{refused: md})
			continue
		}
		mid, _ := md.Attribute("mid")
		s := st.seats[mid]
		if s == nil && receives(o, m) {
			if s = st.seatOne(m, &waiting, out); s != nil {
				st.seats[mid] = s
				fresh = append(fresh, s.track)
			}
		}
		if s == nil {
			if all = append(all, answered{media: m, codec: m.codecs[0], open: true}); receives(o, m) {
				out.free(m.audio)
			}
			continue
		}
		out.Seats[mid] = s.id
		all = append(all, answered{media: m, codec: s.codec, track: s.track, msid: s.msid, open: true})
	}
	for _, c := range waiting {
		if c.Audio {
			out.MoreAudio++
		} else {
			out.MoreVideo++
		}
	}
	return all, fresh
}

func (s *Seating) free(audio bool) {
	if audio {
		s.FreeAudio++
	} else {
		s.FreeVideo++
	}
}

// retire frees the sections of what is not in cast any more, and of what the client
// no longer receives. It returns what has no section.
func (st *Stage) retire(o *offer, cast []Cast) (waiting []Cast) {
	seated := map[string]bool{}
	for mid, s := range st.seats {
		wanted := slices.ContainsFunc(cast, func(c Cast) bool { return c.ID == s.id })
		offered := slices.ContainsFunc(o.media, func(m *offeredMedia) bool {
			have, _ := m.desc.Attribute("mid")
			return have == mid && receives(o, m)
		})
		if wanted && offered {
			seated[s.id] = true
			continue
		}
		st.viewing.drop(s.track)
		delete(st.seats, mid)
	}
	for _, c := range cast {
		if !seated[c.ID] {
			waiting = append(waiting, c)
		}
	}
	return waiting
}

// seatOne gives a section to the first track of its kind that it can carry.
func (st *Stage) seatOne(m *offeredMedia, waiting *[]Cast, out *Seating) *seat {
	for i := 0; i < len(*waiting); {
		c := (*waiting)[i]
		if c.Audio != m.audio {
			i++
			continue
		}
		*waiting = slices.Delete(*waiting, i, i+1)
		t, ch, err := st.open(m, c)
		if err != nil {
			out.Refused[c.ID] = err
			continue
		}
		return &seat{id: c.ID, track: t, codec: ch.codec, msid: c.Stream + " " + c.ID}
	}
	return nil
}

// open takes hold of a track's lane.
func (st *Stage) open(m *offeredMedia, c Cast) (*viewerTrack, choice, error) {
	ch, ok := m.choose(c.Catalog, c.Broadcast)
	if !ok {
		return nil, ch, &CodecError{Offered: m.names, Wanted: codecsOf(c.Catalog, m.audio)}
	}
	h, err := st.edge.egress.hold(ch.key, ch.rungs)
	if errors.Is(err, relay.ErrNotFound) {
		return nil, ch, fmt.Errorf("%w: %w", ErrNotLive, err)
	}
	if err != nil {
		return nil, ch, err
	}
	t := newViewerTrack(m, ch.codec, st.sent)
	t.wish = c.Wish
	t.swap(h)
	if st.conn != nil { // begin may have the track follow from now on
		t.cfg.out = st.conn.Conn
		t.viewer = newViewer(t.cfg)
	}
	if !st.viewing.add(t) {
		st.edge.egress.release(h)
		return nil, ch, ErrClosed
	}
	return t, ch, nil
}

// add adds a track, unless the session is over.
func (v *viewing) add(t *viewerTrack) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.over {
		return false
	}
	v.tracks = append(v.tracks, t)
	return true
}

// drop ends the sending of a track.
func (v *viewing) drop(t *viewerTrack) {
	v.mu.Lock()
	i := slices.Index(v.tracks, t)
	if i < 0 || v.over { // finish lets go of it
		v.mu.Unlock()
		return
	}
	v.tracks = slices.Delete(v.tracks, i, i+1)
	t.dropped = true
	if t.stop != nil {
		t.stop()
	}
	h := t.hold()
	v.mu.Unlock()
	v.steering.forget(t)
	if t.viewer != nil {
		h.leave(t.viewer)
	}
	v.edge.egress.release(h)
}

// receives reports whether the client wants to be sent something in a section.
func receives(o *offer, m *offeredMedia) bool {
	d := o.direction(m)
	return d == "recvonly" || d == "sendrecv"
}

// reportsArrival reports whether the client reports on all packets of pictures.
func (o *offer) reportsArrival() bool {
	reports := false
	for _, m := range o.media {
		if m.audio || len(m.codecs) == 0 {
			continue
		}
		if !(choice{media: m, codec: m.codecs[0]}).transportCC() {
			return false
		}
		reports = true
	}
	return reports
}

// parseStageOffer reads an offer with any number of sections, up to a limit, one of
// which may have data channels. Those that carry no media we know, or send, are not
// among the offer's media; sections has all.
func parseStageOffer(text string) (o *offer, sections []*sdp.MediaDescription, err error) {
	if len(text) > maxStageOfferBytes {
		return nil, nil, fmt.Errorf("%w: %d bytes, at most %d", ErrBadOffer, len(text), maxStageOfferBytes)
	}
	o = &offer{}
	if err := o.desc.UnmarshalString(text); err != nil {
		return nil, nil, fmt.Errorf("%w: not an SDP session description: %w", ErrBadOffer, err)
	}
	sections = o.desc.MediaDescriptions
	if n := len(sections); n == 0 || n > maxStageSections {
		return nil, nil, fmt.Errorf("%w: %d media sections, need 1 to %d", ErrBadOffer, n, maxStageSections)
	}
	if err := o.checkSize(maxStageAttributes); err != nil {
		return nil, nil, err
	}
	mids := map[string]bool{}
	for _, md := range sections {
		kind := md.MediaName.Media
		mid, _ := md.Attribute("mid")
		switch {
		case mids[mid] && mid != "":
			return nil, nil, fmt.Errorf("%w: a=mid:%q twice", ErrBadOffer, mid)
		case len(md.MediaName.Formats) > maxFormats:
			return nil, nil, fmt.Errorf("%w: more than %d formats in a section", ErrBadOffer, maxFormats)
		}
		mids[mid] = true
		if o.data == nil && offersChannels(&o.desc, md) {
			o.data = md
			continue
		}
		if md.MediaName.Port.Value == 0 || kind != "audio" && kind != "video" {
			continue
		}
		if err := checkTransport(&o.desc, md); err != nil {
			return nil, nil, fmt.Errorf("%w: %s section: %w", ErrBadOffer, kind, err)
		}
		m := &offeredMedia{desc: md, audio: kind == "audio"}
		if o.direction(m) == "sendonly" {
			continue // who publishes does so elsewhere
		}
		m.readFormats()
		o.media = append(o.media, m)
	}
	if len(o.media) == 0 {
		return nil, nil, fmt.Errorf("%w: no section to receive with", ErrBadOffer)
	}
	return o, sections, o.checkBundle()
}

// WatchCatalog calls f with each version of a broadcast's catalog, until ctx or the
// broadcast ends.
func (e *Edge) WatchCatalog(ctx context.Context, b wire.Broadcast, f func(hang.Catalog)) error {
	sub, err := e.cfg.Table.Subscribe(wire.TrackName{Broadcast: b, Track: hang.CatalogTrack}, relay.SubscribeOptions{Kind: relay.ReaderWebRTC})
	if err != nil {
		return fmt.Errorf("catalog of %s: %w", b, err)
	}
	defer sub.Close()
	var doc hang.Document
	for {
		c, _, err := nextCatalog(ctx, sub, &doc)
		if err != nil {
			return err
		}
		f(c)
	}
}
