package whip_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/nack"
	"github.com/pion/interceptor/pkg/report"
	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"trellis/edge/framing"
	"trellis/edge/rtc"
	"trellis/edge/rtc/flexfec/flexfectest"
	rtcstream "trellis/edge/rtc/stream"
	"trellis/edge/whip"
	"trellis/internal/impair"
	"trellis/internal/relay"
	"trellis/internal/telemetry"
)

const flexfecPT = 118

// mendingViewer is a player with pion's peer connection, which knows repair packets
// only by name: it is told that they are a second picture, and reads them here.
type mendingViewer struct {
	t  *testing.T
	pc *webrtc.PeerConnection

	mu      sync.Mutex
	decoder flexfectest.Decoder
	video   uint32 // SSRC of the picture
	repairs int    // packets that arrived
	got     map[uint16]availability
}

// availability is when a packet was there, and how it came.
type availability struct {
	at  time.Time
	how string
}

const (
	cameItself  = "itself"
	cameAgain   = "again"
	cameByFound = "found"
)

// mend starts a viewer of room/alice that offers FlexFEC, or does not.
func (w *world) mend(offers bool) *mendingViewer {
	w.t.Helper()
	me, err := rtcstream.NewMediaEngine(rtcstream.EngineConfig{Offers: []rtcstream.Offer{{Codec: framing.VP8}}, TransportCC: true})
	w.must(err)
	w.must(me.RegisterCodec(webrtc.RTPCodecParameters{
		RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: webrtc.MimeTypeFlexFEC03, ClockRate: 90_000, SDPFmtpLine: "repair-window=10000000",
		},
		PayloadType: flexfecPT,
	}, webrtc.RTPCodecTypeVideo))
	ir := &interceptor.Registry{}
	reports, err := report.NewReceiverInterceptor()
	w.must(err)
	arrivals, err := twcc.NewSenderInterceptor()
	w.must(err)
	requests, err := nack.NewGeneratorInterceptor()
	w.must(err)
	ir.Add(reports)
	ir.Add(arrivals)
	ir.Add(requests)
	se := webrtc.SettingEngine{LoggerFactory: rtcstream.LoggerFactory{Log: testLog(w.t)}}
	se.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	se.SetNet(w.host())
	se.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	api := webrtc.NewAPI(webrtc.WithMediaEngine(me), webrtc.WithInterceptorRegistry(ir), webrtc.WithSettingEngine(se))
	v := &mendingViewer{t: w.t, got: map[uint16]availability{}}
	v.pc, err = api.NewPeerConnection(webrtc.Configuration{BundlePolicy: webrtc.BundlePolicyMaxBundle})
	w.must(err)
	for range 2 {
		_, err := v.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly})
		w.must(err)
	}
	v.pc.OnTrack(v.read)
	v.negotiate(w, offers)
	return v
}

func (v *mendingViewer) negotiate(w *world, offers bool) {
	w.t.Helper()
	o, err := v.pc.CreateOffer(nil)
	w.must(err)
	gathered := webrtc.GatheringCompletePromise(v.pc)
	w.must(v.pc.SetLocalDescription(o))
	<-gathered
	var offer, answer sdp.SessionDescription
	w.must(offer.UnmarshalString(v.pc.LocalDescription().SDP))
	offer.MediaDescriptions = offer.MediaDescriptions[:1]
	setAttribute(offer.Attributes, "group", "BUNDLE 0")
	if m := offer.MediaDescriptions[0]; !offers {
		m.MediaName.Formats = slices.DeleteFunc(m.MediaName.Formats, func(f string) bool { return f == fmt.Sprint(flexfecPT) })
	}
	body, err := offer.Marshal()
	w.must(err)
	r := httptest.NewRequestWithContext(w.t.Context(), http.MethodPost, "/whep/room/alice", strings.NewReader(string(body)))
	r.Header.Set("Content-Type", "application/sdp")
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	if rec.Code != http.StatusCreated {
		w.t.Fatalf("status %d: %s", rec.Code, rec.Body)
	}
	w.must(answer.UnmarshalString(rec.Body.String()))
	v.split(w, &answer, offers)
	text, err := answer.Marshal()
	w.must(err)
	w.must(v.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: string(text)}))
}

// split puts the repair packets of an answer into a section of their own.
func (v *mendingViewer) split(w *world, answer *sdp.SessionDescription, offered bool) {
	w.t.Helper()
	picture := answer.MediaDescriptions[0]
	var ssrc, fec uint32
	for _, a := range picture.Attributes {
		if _, err := fmt.Sscanf(a.Value, "FEC-FR %d %d", &ssrc, &fec); a.Key == "ssrc-group" && err == nil {
			v.video, v.decoder.SSRC = ssrc, ssrc
		}
	}
	if (fec != 0) != offered {
		w.t.Fatalf("FlexFEC was offered: %v; the answer has the SSRC %d", offered, fec)
	}
	second := &sdp.MediaDescription{MediaName: picture.MediaName, ConnectionInformation: picture.ConnectionInformation}
	second.MediaName.Formats = []string{fmt.Sprint(flexfecPT)}
	for _, a := range picture.Attributes {
		switch a.Key {
		case "extmap", "rtcp-mux", "rtcp-rsize", "ice-ufrag", "ice-pwd", "fingerprint", "setup":
			second.Attributes = append(second.Attributes, a)
		}
	}
	second.WithValueAttribute("mid", "1").WithValueAttribute("rtpmap", fmt.Sprintf("%d flexfec-03/90000", flexfecPT))
	if offered {
		second.WithPropertyAttribute("sendonly").WithValueAttribute("msid", "repairs video").
			WithValueAttribute("ssrc", fmt.Sprintf("%d cname:trellis", fec)).WithValueAttribute("ssrc", fmt.Sprintf("%d msid:repairs video", fec))
	} else {
		second.WithPropertyAttribute("inactive")
	}
	picture.MediaName.Formats = slices.DeleteFunc(picture.MediaName.Formats, func(f string) bool { return f == fmt.Sprint(flexfecPT) })
	picture.Attributes = slices.DeleteFunc(picture.Attributes, func(a sdp.Attribute) bool {
		return strings.HasPrefix(a.Value, "FEC-FR") || strings.HasPrefix(a.Value, fmt.Sprintf("%d ", fec)) || strings.HasPrefix(a.Value, fmt.Sprintf("%d ", flexfecPT))
	})
	answer.MediaDescriptions = append(answer.MediaDescriptions, second)
	setAttribute(answer.Attributes, "group", "BUNDLE 0 1")
}

func setAttribute(all []sdp.Attribute, key, value string) {
	for i := range all {
		if all[i].Key == key {
			all[i].Value = value
		}
	}
}

// read takes the packets of a track until the connection ends.
func (v *mendingViewer) read(t *webrtc.TrackRemote, r *webrtc.RTPReceiver) {
	id := rtcstream.ExtensionID(r.GetParameters().HeaderExtensions, rtcstream.TransportCCURI)
	for {
		p, attributes, err := t.ReadRTP()
		if err != nil {
			return
		}
		v.take(p, id, attributes.Get(webrtc.AttributeRtxSsrc) != nil, time.Now())
	}
}

func (v *mendingViewer) take(p *rtp.Packet, id uint8, again bool, now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	var found [][]byte
	switch {
	case p.PayloadType == flexfecPT:
		v.repairs++
		var err error
		if found, err = v.decoder.Repair(p.Payload); err != nil {
			v.t.Error(err)
		}
	case again:
		v.note(p.SequenceNumber, cameAgain, now)
	default:
		v.note(p.SequenceNumber, cameItself, now)
		if v.decoder.SSRC == 0 {
			return
		}
		if err := p.SetExtension(id, []byte{0, 0}); err != nil { // as decoders take it
			v.t.Error(err)
		}
		b, err := p.Marshal()
		if err != nil {
			v.t.Error(err)
		}
		found = v.decoder.Media(b)
	}
	for _, b := range found {
		var q rtp.Packet
		if err := q.Unmarshal(b); err != nil {
			v.t.Errorf("what was found is no packet: %v", err)
			continue
		}
		if q.PayloadType != 96 || q.SSRC != v.video {
			v.t.Errorf("found a packet of type %d from %d", q.PayloadType, q.SSRC)
		}
		v.note(q.SequenceNumber, cameByFound, now)
	}
}

func (v *mendingViewer) note(seq uint16, how string, now time.Time) {
	if _, ok := v.got[seq]; !ok {
		v.got[seq] = availability{now, how}
	}
}

// fate is what became of the packets that the path lost.
type fate struct {
	packets, lost int
	found, again  int
	never         int
	early         int // of those found, within 200 ms of the next that arrived
	repairs       int
}

// fate looks at the packets from a time on.
func (v *mendingViewer) fate(from time.Time) (f fate) {
	v.mu.Lock()
	defer v.mu.Unlock()
	f.repairs = v.repairs
	var seqs []uint16
	for s, a := range v.got {
		if a.how == cameItself && a.at.After(from) {
			seqs = append(seqs, s)
		}
	}
	slices.SortFunc(seqs, func(a, b uint16) int { return v.got[a].at.Compare(v.got[b].at) })
	for i := range len(seqs) - 1 {
		f.packets++
		for s := seqs[i] + 1; s != seqs[i+1] && s-seqs[i] < 1000; s++ {
			f.packets++
			f.lost++
			a, ok := v.got[s]
			switch {
			case !ok:
				f.never++
			case a.how == cameByFound:
				f.found++
				if a.at.Sub(v.got[seqs[i+1]].at) < 200*time.Millisecond {
					f.early++
				}
			default:
				f.again++
			}
		}
	}
	return f
}

// far has a viewer watch three layers over a long path for d, and returns what
// became of its packets in the last half, and what was decided.
func far(t *testing.T, offers bool, path impair.Config, d time.Duration) (f fate, decisions []telemetry.Event, repairs float64) {
	t.Helper()
	var line *narrow
	events := telemetry.NewEvents(1000)
	inWorld(t, func(c *rtc.Config, _ *whip.Config) {
		link, err := impair.NewLink(path, rand.New(rand.NewPCG(3, 4)))
		if err != nil {
			t.Fatal(err)
		}
		line = &narrow{PacketConn: c.UDP, link: link}
		c.UDP, c.Decisions = line, events
	}, func(w *world) {
		s := &simulcast{table: w.table, fresh: map[string]bool{}}
		b, err := w.table.Announce(relay.Announcement{Name: "room/alice", PublisherID: 1, Origin: "us-east-1", Local: true}, s)
		w.must(err)
		ctx, cancel := context.WithCancel(w.t.Context())
		var running sync.WaitGroup
		running.Go(func() { w.must(s.run(ctx, b)) })
		time.Sleep(1100 * time.Millisecond)
		v := w.mend(offers)
		time.Sleep(d)
		f = v.fate(time.Now().Add(-d / 2))
		repairs = w.metric("trellis_rtc_egress_fec_packets_total")
		w.must(v.pc.GracefulClose())
		cancel()
		running.Wait()
		b.End(nil)
	})
	decisions, _ = events.Since(0)
	return f, decisions, repairs
}

// protected returns the decisions about repairs.
func protected(decisions []telemetry.Event) (all []telemetry.Event) {
	for _, e := range decisions {
		if e.Kind == telemetry.FECChosen {
			all = append(all, e)
		}
	}
	return all
}

// TestFarViewerMendsLosses: of what a path of 300 ms loses, most is found out by the viewer
// long before it could be sent again.
func TestFarViewerMendsLosses(t *testing.T) {
	path := impair.Config{RateBps: 2 * mbit, Delay: 280 * time.Millisecond, Loss: impair.Independent(0.05)}
	f, decisions, repairs := far(t, true, path, 40*time.Second)
	t.Logf("%+v; %v repair packets were sent", f, repairs)
	if f.lost < 20 || f.repairs == 0 || repairs < float64(f.repairs) {
		t.Errorf("%d of %d packets were lost; %d repair packets arrived of %v", f.lost, f.packets, f.repairs, repairs)
	}
	if share := float64(f.early) / float64(max(1, f.lost)); share < 0.7 {
		t.Errorf("%.0f %% of the lost packets were found out early", 100*share)
	}
	if f.never > f.lost/15 { // the last of them may still be on their way
		t.Errorf("%d of %d never came", f.never, f.lost)
	}
	all := protected(decisions)
	if len(all) == 0 || all[0].Reason != "loss" || all[0].Numbers["share"] <= 0 || all[0].Numbers["rtt_ms"] < 250 || all[0].Numbers["loss"] < 0.01 {
		n, _ := json.Marshal(all)
		t.Errorf("decisions: %s", n)
	}
	if len(all) > 12 {
		t.Errorf("it was decided %d times", len(all))
	}
	for _, e := range decisions {
		n, _ := json.Marshal(e.Numbers)
		t.Logf("%s %s %s %s %s", e.At.Format("05.000"), e.Kind, e.Reason, e.Track, n)
	}
}

// TestNoRepairsWhereTheyAreNotWorthIt: a path without loss, one so short that what
// is lost can be sent again in time, one that carries the smallest layer and no more, and a viewer that does not
// know of repairs.
func TestNoRepairsWhereTheyAreNotWorthIt(t *testing.T) {
	for _, c := range []struct {
		name   string
		offers bool
		path   impair.Config
	}{
		{"no loss", true, impair.Config{RateBps: 2 * mbit, Delay: 280 * time.Millisecond}},
		{"near", true, impair.Config{RateBps: 2 * mbit, Delay: 10 * time.Millisecond, Loss: impair.Independent(0.05)}},
		{"narrow", true, impair.Config{RateBps: 180 * kbit, Delay: 280 * time.Millisecond, Loss: impair.Independent(0.02)}},
		{"not offered", false, impair.Config{RateBps: 2 * mbit, Delay: 280 * time.Millisecond, Loss: impair.Independent(0.05)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, decisions, repairs := far(t, c.offers, c.path, 20*time.Second)
			t.Logf("%+v", f)
			if f.packets < 100 {
				t.Errorf("%d packets arrived", f.packets)
			}
			if all := protected(decisions); repairs > 0 || len(all) > 0 {
				n, _ := json.Marshal(all)
				t.Errorf("%v repair packets, decisions %s", repairs, n)
			}
		})
	}
}
