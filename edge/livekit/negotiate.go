package livekit

import (
	"errors"
	"log/slog"
	"maps"
	"math"
	"slices"
	"time"

	"trellis/edge/livekit/signal"
	"trellis/edge/rtc"
)

// look tells the client what has changed in the room.
func (s *session) look() {
	all := s.room.list()
	var changed []signal.Participant
	there := map[string]bool{}
	for _, p := range all {
		there[p.info.SID] = true
		if before, ok := s.told[p.info.SID]; !ok || before.Version != p.info.Version {
			s.told[p.info.SID] = p.info
			changed = append(changed, p.info)
		}
	}
	for id, p := range s.told {
		if !there[id] {
			p.State, p.Tracks, p.Version = signal.Disconnected, nil, p.Version+1
			changed = append(changed, p)
			delete(s.told, id)
		}
	}
	if len(changed) > 0 {
		s.say(&signal.Response{Kind: signal.ResponseUpdate, Participants: changed})
	}
	s.prune(all)
	s.negotiate(all)
}

// negotiate asks for an offer if the client should be sent other tracks than it is.
func (s *session) negotiate(all []shown) {
	if s.stage == nil || s.asked {
		return
	}
	cast := s.cast(all)
	var audio, video, seated int
	for _, c := range cast {
		switch {
		case s.seated[c.ID]:
			seated++
		case c.Audio:
			audio++
		default:
			video++
		}
	}
	if audio+video == 0 && seated == len(s.seated) {
		return
	}
	now := time.Now()
	if wait := s.nextAsk.Sub(now); wait > 0 {
		time.AfterFunc(wait, s.ring)
		return
	}
	s.asked, s.nextAsk = true, now.Add(askEvery)
	s.say(&signal.Response{Kind: signal.ResponseSections, Sections: signal.Sections{
		Audio: uint64(max(audio-s.free.audio, 0)), Video: uint64(max(video-s.free.video, 0)), //nolint:gosec // not negative
	}})
}

// offer answers an offer.
func (s *session) offer(d *signal.Description) {
	if !s.offers.Take(time.Now()) {
		s.end(errFlood)
		return
	}
	s.asked = false
	if s.stage == nil {
		if err := s.begin(s.ctx, d); err != nil {
			s.end(err)
			return
		}
		s.sayFirst()
	} else {
		seating, err := s.stage.Reoffer(s.ctx, d.SDP, s.cast(s.room.list()))
		if err != nil {
			s.end(err)
			return
		}
		s.say(s.answer(d, seating))
		s.tell(seating)
	}
	s.look()
}

// tell says which tracks the client will not be sent, and remembers them.
func (s *session) tell(seating rtc.Seating) {
	for track, err := range seating.Refused {
		s.log.Info("track is not sent", slog.String("track", track), slog.Any("err", err))
		why := uint64(signal.TrackNotFound)
		if _, ok := errors.AsType[*rtc.CodecError](err); ok {
			why = signal.CodecUnsupported
			s.refused[track] = s.access.Expires.Add(time.Hour) // it will not learn it
		} else {
			s.refused[track] = time.Now().Add(retryTrack)
			time.AfterFunc(retryTrack, s.ring)
		}
		s.h.metrics.refused[refusedSubscription].Inc()
		s.say(&signal.Response{Kind: signal.ResponseSubscription, Unsubscribed: signal.Unsubscribed{Track: track, Why: why}})
	}
}

// subscribe takes note of what the client wants.
func (s *session) subscribe(sub *signal.Subscription) {
	all := s.room.list()
	known := s.prune(all)
	for _, id := range sub.Tracks {
		if known[id] {
			s.chosen[id] = sub.Wanted
		} else if sub.Wanted {
			s.say(&signal.Response{Kind: signal.ResponseSubscription, Unsubscribed: signal.Unsubscribed{Track: id, Why: signal.TrackNotFound}})
		}
	}
	s.negotiate(all)
}

// prefer takes note of how the client wants tracks.
func (s *session) prefer(set *signal.TrackSetting) {
	for _, p := range s.room.list() {
		for _, t := range p.info.Tracks {
			if !t.Video || !slices.Contains(set.Tracks, t.SID) {
				continue
			}
			s.wishes[t.SID] = wish(set, &t)
			if s.stage != nil {
				s.stage.Prefer(t.SID, s.wishes[t.SID])
			}
		}
	}
}

// wish translates a setting: it names a size, or a quality of those that the track has.
func wish(set *signal.TrackSetting, t *signal.Track) rtc.Wish {
	w := rtc.Wish{Off: set.Disabled}
	height := set.Height
	switch {
	case set.Width > 0 && t.Width > 0: // the picture covers the element
		height = max(height, min(set.Width, math.MaxUint32)*t.Height/t.Width)
	case set.Height == 0:
		for _, l := range t.Layers {
			if l.Quality == set.Quality && set.Quality < signal.High {
				height = l.Height
			}
		}
	}
	w.Height = int(min(height, math.MaxInt32))
	return w
}

// prune forgets what was said of tracks that are gone: they do not come back under
// that name. It returns those that are there.
func (s *session) prune(all []shown) map[string]bool {
	known := map[string]bool{}
	for _, p := range all {
		for _, c := range p.cast {
			known[c.ID] = true
		}
	}
	maps.DeleteFunc(s.chosen, func(id string, _ bool) bool { return !known[id] })
	maps.DeleteFunc(s.wishes, func(id string, _ rtc.Wish) bool { return !known[id] })
	maps.DeleteFunc(s.refused, func(id string, _ time.Time) bool { return !known[id] })
	return known
}

// answer notes what the client will be sent, and returns what tells it so.
func (s *session) answer(offer *signal.Description, seating rtc.Seating) *signal.Response {
	clear(s.seated)
	for _, track := range seating.Seats {
		s.seated[track] = true
	}
	s.free.audio, s.free.video = seating.FreeAudio, seating.FreeVideo
	return &signal.Response{Kind: signal.ResponseAnswer, Description: &signal.Description{
		Type: "answer", SDP: seating.SDP, ID: offer.ID, Tracks: seating.Seats,
	}}
}

// cast returns the tracks that the client wants to be sent and can be. Where they are
// more than a connection can have, those that are sent already stay.
func (s *session) cast(all []shown) []rtc.Cast {
	var cast []rtc.Cast
	now := time.Now()
	for _, seated := range []bool{true, false} {
		for _, p := range all {
			for _, c := range p.cast {
				wanted, said := s.chosen[c.ID]
				if !said {
					wanted = s.req.Settings.AutoSubscribe
				}
				if wanted && s.seated[c.ID] == seated && !now.Before(s.refused[c.ID]) && len(cast) < rtc.MaxCast {
					c.Wish = s.wishes[c.ID]
					cast = append(cast, c)
				}
			}
		}
	}
	return cast
}
