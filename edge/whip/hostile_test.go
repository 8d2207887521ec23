package whip_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"trellis/edge/framing"
	"trellis/edge/whip/whipclient"
)

// undisturbed has a publisher and a viewer lose nothing while f does something else
// to their node.
func (w *world) undisturbed(f func()) {
	w.t.Helper()
	t := w.t
	var began time.Time
	attack := func() {
		began = time.Now()
		f()
	}
	before := w.sessionWhile(6*time.Second, attack, func(pub *whipclient.Publisher, player *whipclient.Player) {
		if s := player.VideoStats(); s.Lost > 0 || s.Broken > 0 || s.Missed > 0 {
			t.Errorf("the honest viewer's video %+v", s)
		}
		if n := pub.Stats(0).KeyframeRequests; n != 0 {
			t.Errorf("the honest publisher was asked for %d key frames", n)
		}
		if n := pub.Stats(0).NACKs; n != 0 {
			t.Errorf("the honest publisher was asked for %d packets again", n)
		}
	})
	checkPlayed(t, before, loadStream(t, framing.VP8), loadStream(t, framing.Opus), time.Now())
	var last whipclient.Received
	for _, got := range before {
		if got.Codec.Audio() {
			continue
		}
		if gap := got.Arrival.Sub(last.Arrival); last.Arrival.After(began) && gap > 50*time.Millisecond {
			t.Errorf("the honest viewer waited %v for a picture", gap)
		}
		last = got
	}
}

// sessionWhile is session with something else going on.
func (w *world) sessionWhile(
	d time.Duration, during func(), after func(*whipclient.Publisher, *whipclient.Player),
) []whipclient.Received {
	w.t.Helper()
	var attack sync.WaitGroup
	attack.Go(func() {
		time.Sleep(2 * time.Second)
		during()
	})
	defer attack.Wait()
	return w.session(d, after)
}

// hostile is a viewer that sends what it likes.
type hostile struct {
	*webrtc.PeerConnection
	video uint32 // SSRC
	sdp   string // the node's answer
	url   string
	etag  string
}

// hostile connects one to room/alice.
func (w *world) hostile() *hostile {
	w.t.Helper()
	h := w.offer()
	ready := make(chan struct{})
	h.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateConnected {
			close(ready)
		}
	})
	h.answer(w)
	<-ready
	return h
}

// offer prepares one that has not connected.
func (w *world) offer() *hostile {
	w.t.Helper()
	me := &webrtc.MediaEngine{}
	w.must(me.RegisterDefaultCodecs())
	var se webrtc.SettingEngine
	se.SetNet(w.host())
	se.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	pc, err := webrtc.NewAPI(webrtc.WithMediaEngine(me), webrtc.WithSettingEngine(se)).NewPeerConnection(webrtc.Configuration{})
	w.must(err)
	_, err = pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, webrtc.RTPTransceiverInit{
		Direction: webrtc.RTPTransceiverDirectionRecvonly,
	})
	w.must(err)
	offer, err := pc.CreateOffer(nil)
	w.must(err)
	gathered := webrtc.GatheringCompletePromise(pc)
	w.must(pc.SetLocalDescription(offer))
	<-gathered
	rec := w.request(http.MethodPost, "/whep/room/alice", "application/sdp", pc.LocalDescription().SDP, "")
	if rec.Code != http.StatusCreated {
		w.t.Fatalf("POST: %d %s", rec.Code, rec.Body)
	}
	h := &hostile{PeerConnection: pc, url: rec.Header().Get("Location"), etag: rec.Header().Get("ETag")}
	text := rec.Body.String()
	_, after, _ := strings.Cut(text, "a=ssrc:")
	if _, err := fmt.Sscan(after, &h.video); err != nil {
		w.t.Fatalf("no SSRC in %s", text)
	}
	h.sdp = text
	return h
}

// answer takes the answer of the node.
func (h *hostile) answer(w *world) {
	w.must(h.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: h.sdp}))
}

func (w *world) request(method, path, contentType, body, match string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(w.t.Context(), method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	if match != "" {
		r.Header.Set("If-Match", match)
	}
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	return rec
}

// counted returns a counter of one reason.
func (w *world) counted(name, reason string) float64 {
	w.t.Helper()
	families, err := w.metrics.Gather()
	w.must(err)
	sum := 0.0
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if f.GetName() == name && (l.GetValue() == reason) {
					sum += m.GetCounter().GetValue()
				}
			}
		}
	}
	return sum
}

// everyPacket asks for all sequence numbers from one on, as far as a packet goes.
func everyPacket(sender, media uint32, from uint16) rtcp.Packet {
	n := &rtcp.TransportLayerNack{SenderSSRC: sender, MediaSSRC: media}
	for range 250 {
		n.Nacks = append(n.Nacks, rtcp.NackPair{PacketID: from, LostPackets: 0xffff})
		from += 17
	}
	return n
}

// arrivals reports on many packets at once, with the deltas that a run of them has.
func arrivals(base uint16, symbol uint16, delta byte, number uint8) rtcp.Packet {
	const count = 400
	b := []byte{0x8f, 205, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, byte(base >> 8), byte(base), count >> 8, count & 0xff, 0xff, 0xff, 0xff, number}
	b = append(b, byte(symbol<<5)|count>>8, count&0xff) // a run: 0 T S LLLL...
	for range count * int(symbol) {
		b = append(b, delta)
	}
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	b[3] = byte(len(b)/4 - 1)
	raw := rtcp.RawPacket(b)
	return &raw
}

// TestHostileFeedback has a viewer send 10,000 packets of feedback in a second.
func TestHostileFeedback(t *testing.T) {
	raw := func(b ...byte) rtcp.Packet {
		r := rtcp.RawPacket(b)
		return &r
	}
	for name, c := range map[string]struct {
		packets func(ssrc uint32, i int) []rtcp.Packet
		reason  string // that some of it is refused for, within the rate
	}{
		"NACKs of everything": {func(ssrc uint32, i int) []rtcp.Packet {
			return []rtcp.Packet{everyPacket(1, ssrc, uint16(i*4250))}
		}, "ask_limit"},
		"NACKs of the same": {func(ssrc uint32, _ int) []rtcp.Packet {
			return []rtcp.Packet{&rtcp.TransportLayerNack{MediaSSRC: ssrc, Nacks: []rtcp.NackPair{{PacketID: 7}}}}
		}, "not_in_history"},
		"NACKs of a stranger's": {func(ssrc uint32, _ int) []rtcp.Packet { return []rtcp.Packet{everyPacket(1, ssrc+1, 0)} }, "unknown_ssrc"},
		"PLI": {func(ssrc uint32, _ int) []rtcp.Packet {
			return []rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: ssrc}}
		}, "ask_limit"},
		"FIR": {func(ssrc uint32, i int) []rtcp.Packet {
			f := &rtcp.FullIntraRequest{}
			for j := range 50 {
				f.FIR = append(f.FIR, rtcp.FIREntry{SSRC: ssrc, SequenceNumber: uint8(i + j)})
			}
			return []rtcp.Packet{f}
		}, "ask_limit"},
		"REMB": {func(ssrc uint32, _ int) []rtcp.Packet {
			return []rtcp.Packet{&rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: 1e18, SSRCs: []uint32{ssrc}}}
		}, ""},
		"RR": {func(ssrc uint32, _ int) []rtcp.Packet {
			return []rtcp.Packet{&rtcp.ReceiverReport{SSRC: 1, Reports: []rtcp.ReceptionReport{{SSRC: ssrc, FractionLost: 255}}}}
		}, ""},
		"arrival of what was never sent": {func(_ uint32, i int) []rtcp.Packet {
			return []rtcp.Packet{arrivals(uint16(30_000+i), 1, 0, uint8(i))}
		}, "never_sent"},
		"arrival at absurd times": {func(_ uint32, i int) []rtcp.Packet {
			return []rtcp.Packet{arrivals(uint16(i), 2, 0x80, uint8(i))}
		}, "report_limit"},
		"a reserved status": {func(_ uint32, i int) []rtcp.Packet {
			return []rtcp.Packet{raw(0x8f, 205, 0, 5, 0, 0, 0, 1, 0, 0, 0, 2, 0, byte(i), 0, 7, 0, 0, 0, 1, 0xff, 0xff, 0, 0)}
		}, "malformed_feedback"},
		"garbage": {func(_ uint32, i int) []rtcp.Packet {
			return []rtcp.Packet{raw(0x80, 201, 0, 1, 0, 0, 0, 1), raw(0x9f, byte(192+i%32), 0, 200, 1, 2, 3, 4)}
		}, "malformed_feedback"},
		"a compound of everything": {func(ssrc uint32, i int) []rtcp.Packet {
			var all []rtcp.Packet
			for range 60 {
				all = append(all, &rtcp.PictureLossIndication{MediaSSRC: ssrc},
					&rtcp.TransportLayerNack{MediaSSRC: ssrc, Nacks: []rtcp.NackPair{{PacketID: uint16(i), LostPackets: 0xffff}}})
			}
			return all[:80]
		}, "ask_limit"},
		"ever new sources": {func(ssrc uint32, i int) []rtcp.Packet {
			return []rtcp.Packet{&rtcp.ReceiverReport{SSRC: uint32(i)}, &rtcp.PictureLossIndication{MediaSSRC: ssrc}}
		}, "source_limit"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				t := w.t
				w.undisturbed(func() {
					h := w.hostile()
					asked := w.metric("trellis_rtc_egress_resent_total")
					const flood = 10_000
					for i := range flood {
						if err := h.WriteRTCP(c.packets(h.video, i)); err != nil {
							t.Errorf("packet %d: %v", i, err)
							break
						}
						if i%100 == 99 {
							time.Sleep(10 * time.Millisecond)
						}
					}
					time.Sleep(100 * time.Millisecond)
					unwanted := w.metric("trellis_rtc_unwanted_total")
					if unwanted < flood-2000 {
						t.Errorf("%v of %d packets were refused", unwanted, flood)
					}
					if n := w.metric("trellis_rtc_egress_resent_total") - asked; n > 600 {
						t.Errorf("%v packets were sent again", n)
					}
					if n := w.metric("trellis_rtc_egress_restarts_total"); n > 5 {
						t.Errorf("%v times the group was sent again", n)
					}
					n := w.counted("trellis_rtc_dropped_total", c.reason) + w.counted("trellis_rtc_unwanted_total", c.reason)
					if c.reason != "" && n == 0 {
						t.Errorf("nothing is counted as %s", c.reason)
					}
					w.must(h.Close())
				})
			})
		})
	}
}

// TestForgedAndReplayed sends what a publisher and a viewer send once more, with a
// bit turned over, and random bytes in its place, all from where they send.
func TestForgedAndReplayed(t *testing.T) {
	inTappedWorld(t, nil, func(w *world, p *tap) {
		t := w.t
		turned := 0
		p.watch(func(from string, b []byte) {
			if len(b) < 12 || b[0]>>6 != 2 {
				return // nothing that SRTP protects
			}
			p.inject(from, b)
			forged := append([]byte(nil), b...)
			turned++
			forged[8+turned%(len(b)-8)] ^= 1 << (turned % 8)
			p.inject(from, forged)
			copy(forged[12:], "random bytes that no key has made out of anything")
			p.inject(from, forged[:max(12, turned%len(b))])
		})
		w.undisturbed(func() { time.Sleep(2 * time.Second) })
		for _, reason := range []string{"forged", "replayed"} {
			if w.counted("trellis_rtc_unwanted_total", reason) == 0 {
				t.Errorf("nothing is counted as %s", reason)
			}
		}
	})
}

// TestManyCandidates trickles candidates by the thousand, that lead to others.
func TestManyCandidates(t *testing.T) {
	inTappedWorld(t, nil, func(w *world, p *tap) {
		t := w.t
		w.undisturbed(func() {
			h := w.hostile()
			for i := range 50 {
				body := "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n"
				for j := range 100 {
					body += fmt.Sprintf("a=candidate:1 1 udp 2122260223 10.9.%d.%d 9 typ host\r\n", i, j)
				}
				if rec := w.request(http.MethodPatch, h.url, "application/trickle-ice-sdpfrag", body, h.etag); rec.Code != http.StatusNoContent {
					t.Fatalf("PATCH: %d %s", rec.Code, rec.Body)
				}
			}
			tcp := "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\na=candidate:1 1 tcp 1 10.9.0.1 22 typ host tcptype passive\r\n"
			w.request(http.MethodPatch, h.url, "application/trickle-ice-sdpfrag", tcp, h.etag)
			time.Sleep(time.Second)
			p.mu.Lock()
			for to := range p.sent {
				if strings.HasPrefix(to, "10.9.") {
					t.Errorf("the node sent to %s", to)
				}
			}
			p.mu.Unlock()
			restarted := 0
			for range 20 {
				body := "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n"
				if rec := w.request(http.MethodPatch, h.url, "application/trickle-ice-sdpfrag", body, "*"); rec.Code == http.StatusOK {
					restarted++
				}
			}
			if restarted > 6 || w.counted("trellis_rtc_dropped_total", "ice_restart_limit") == 0 {
				t.Errorf("ICE was restarted %d times at once", restarted)
			}
			w.must(h.Close())
		})
	})
}
