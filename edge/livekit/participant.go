package livekit

import (
	"cmp"
	"crypto/sha256"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"trellis/edge/framing"
	"trellis/edge/livekit/signal"
	"trellis/edge/rtc"
	"trellis/internal/relay"
	"trellis/wire"
	"trellis/wire/hang"
)

// sid makes an identifier that is the same on every node: clients keep them when they
// move to another.
func sid(prefix string, parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	var b strings.Builder
	b.WriteString(prefix)
	for _, x := range sum[:14] {
		b.WriteByte(letters[int(x)%len(letters)])
	}
	return b.String()
}

// stream names what belongs together of a participant, for players to keep in step.
const stream = "camera"

// shown is a broadcast as a room shows it: a participant and what can be sent of it.
type shown struct {
	info signal.Participant
	cast []rtc.Cast // picture and sound, as far as there are such
}

// identityOf returns by what name a broadcast is known in a room.
func identityOf(room wire.Prefix, b wire.Broadcast) string {
	if rest, ok := strings.CutPrefix(string(b), string(room)+"/"); ok {
		return rest
	}
	return string(b)
}

// show makes a participant of a broadcast. Its tracks are those that the catalog has;
// without any there is nothing to show.
func show(room wire.Prefix, a relay.Announcement, joined time.Time, c hang.Catalog) (shown, bool) {
	publisher := strconv.FormatUint(a.PublisherID, 10)
	p := signal.Participant{
		SID: sid("PA_", string(a.Name), publisher), Identity: identityOf(room, a.Name), State: signal.Active,
		Name: lastPart(a.Name), Joined: seconds(joined), Publisher: true,
	}
	s := shown{info: p}
	if t, ok := videoTrack(c); ok {
		t.SID = sid("TR_VC", string(a.Name), publisher, t.MimeType)
		s.info.Tracks = append(s.info.Tracks, t)
		s.cast = append(s.cast, rtc.Cast{ID: t.SID, Stream: p.SID + "|" + stream, Broadcast: a.Name, Catalog: c})
	}
	if t, ok := audioTrack(c); ok {
		t.SID = sid("TR_AM", string(a.Name), publisher, t.MimeType)
		s.info.Tracks = append(s.info.Tracks, t)
		s.cast = append(s.cast, rtc.Cast{ID: t.SID, Stream: p.SID + "|" + stream, Broadcast: a.Name, Audio: true, Catalog: c})
	}
	return s, len(s.cast) > 0
}

func lastPart(b wire.Broadcast) string {
	return string(b[strings.LastIndexByte(string(b), '/')+1:])
}

// videoTrack describes the picture: in the codec of its best rendition, with a layer
// for each size.
func videoTrack(c hang.Catalog) (t signal.Track, ok bool) {
	all := c.VideoTracks() // best first
	if len(all) == 0 {
		return t, false
	}
	best, err := framing.ParseParams(all[0].Codec)
	if err != nil {
		return t, false
	}
	t = signal.Track{
		Video: true, Name: "video", Source: signal.Camera, MimeType: best.Codec.MimeType(), Stream: stream,
		Width: whole(all[0].CodedWidth), Height: whole(all[0].CodedHeight),
	}
	for _, r := range slices.Backward(all) {
		p, err := framing.ParseParams(r.Codec)
		if err != nil || p.Codec != best.Codec {
			continue
		}
		l := signal.Layer{Width: whole(r.CodedWidth), Height: whole(r.CodedHeight), Bitrate: whole(r.BitrateBps)}
		if n := len(t.Layers); n > 0 && t.Layers[n-1].Width == l.Width && t.Layers[n-1].Height == l.Height {
			t.Layers[n-1].Bitrate = max(t.Layers[n-1].Bitrate, l.Bitrate) // slower, not smaller
			continue
		}
		t.Layers = append(t.Layers, l)
	}
	t.Layers = qualities(t.Layers)
	t.Simulcast = len(t.Layers) > 1
	return t, true
}

// qualities names layers, the smallest first: LiveKit knows three, and calls a single
// one high.
func qualities(all []signal.Layer) []signal.Layer {
	if n := len(all); n > 3 {
		all = append(slices.Clone(all[:2]), all[n-1])
	}
	for i := range all {
		all[i].Quality = signal.Quality(i) //nolint:gosec // up to 2
	}
	if len(all) == 1 {
		all[0].Quality = signal.High
	}
	return all
}

func audioTrack(c hang.Catalog) (t signal.Track, ok bool) {
	all := c.AudioTracks()
	if len(all) == 0 {
		return t, false
	}
	p, err := framing.ParseParams(all[0].Codec)
	if err != nil {
		return t, false
	}
	return signal.Track{
		Name: "audio", Source: signal.Microphone, MimeType: p.Codec.MimeType(), Stream: stream, Stereo: all[0].NumberOfChannels == 2,
	}, true
}

// whole returns a number of a catalog, which anybody may have written, as a count.
func whole(f float64) uint64 {
	if !(f > 0) {
		return 0
	}
	return uint64(min(f, math.MaxUint32))
}

func seconds(t time.Time) uint64 { return uint64(max(t.Unix(), 0)) } //nolint:gosec // not negative

// byIdentity orders participants.
func byIdentity(a, b shown) int { return cmp.Compare(a.info.Identity, b.info.Identity) }
