package whip_test

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pion/transport/v4/vnet"

	"trellis/edge/framing"
	"trellis/edge/rtc"
	"trellis/edge/whip"
	"trellis/edge/whip/whipclient"
)

// isMedia tells SRTP from RTCP, STUN and DTLS: RFC 7983 and RFC 5761, Section 4.
func isMedia(c vnet.Chunk) bool {
	b := c.UserData()
	return len(b) > 12 && b[0]>>6 == 2 && (b[1]&0x7f < 64 || b[1]&0x7f >= 96)
}

// session runs one publisher of VP8 and Opus for d, and one viewer that joins
// after a second, and returns what the viewer received.
func (w *world) session(d time.Duration, after func(*whipclient.Publisher, *whipclient.Player)) []whipclient.Received {
	w.t.Helper()
	video, audio := loadStream(w.t, framing.VP8), loadStream(w.t, framing.Opus)
	pub := w.publish(whipclient.Source{Codec: framing.VP8}, whipclient.Source{Codec: framing.Opus})
	var senders, viewers sync.WaitGroup
	senders.Go(func() { video.send(w.t, pub, 0, 0, d) })
	senders.Go(func() { audio.send(w.t, pub, 1, 0, d) })
	time.Sleep(1100 * time.Millisecond)
	player := w.play()
	var got []whipclient.Received
	collect(player, &got, &viewers)
	senders.Wait()
	time.Sleep(time.Second)
	if after != nil {
		after(pub, player)
	}
	w.must(player.Close(w.t.Context()))
	viewers.Wait()
	w.must(pub.Close(w.t.Context()))
	return got
}

func TestLossIsRepaired(t *testing.T) {
	for name, towardsNode := range map[string]bool{"publisher": true, "viewer": false} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				t := w.t
				seed := rand.Uint64()
				rng := rand.New(rand.NewPCG(seed, 1))
				seen, kept, dropped := 0, 0, 0
				var again []time.Time // retransmissions that were dropped
				w.setDrop(func(c vnet.Chunk) bool {
					toNode := c.DestinationAddr().String() == "10.0.0.1:3478"
					if !isMedia(c) || toNode != towardsNode {
						return false
					}
					// Nobody can miss a packet before the first that arrives.
					if seen++; seen <= 100 || len(c.UserData()) <= 200 {
						return false
					}
					if kept++; kept < 30 && rng.IntN(100) >= 5 {
						return false
					}
					// In the time that a packet is waited for it is asked for three times: were all
					// answers to one lost, it would be right to give it up.
					if pt := c.UserData()[1] & 0x7f; pt == 97 || pt == 99 {
						if n := len(again); n >= 2 && time.Since(again[n-2]) < 300*time.Millisecond {
							return false
						}
						again = append(again, time.Now())
					}
					kept = 0
					dropped++
					return true
				})
				got := w.session(8*time.Second, func(pub *whipclient.Publisher, player *whipclient.Player) {
					s := player.VideoStats()
					if s.Lost > 0 || s.Broken > 0 {
						t.Errorf("seed %d: viewer's video %+v: losses were not repaired", seed, s)
					}
					if !towardsNode && s.Recovered == 0 {
						t.Errorf("seed %d: viewer recovered nothing: %+v", seed, s)
					}
					if towardsNode && pub.Stats(0).NACKs == 0 {
						t.Errorf("seed %d: the node asked for nothing again", seed)
					}
				})
				if dropped < 5 {
					t.Fatalf("seed %d: only %d packets were dropped", seed, dropped)
				}
				checkPlayed(t, got, loadStream(t, framing.VP8), loadStream(t, framing.Opus), time.Now())
			})
		})
	}
}

// TestFarPublisher loses packets of a publisher 150 ms away. The first that is lost is
// given up, since nobody knows then how long its repair takes; from then on the node
// waits for it.
func TestFarPublisher(t *testing.T) {
	inWideWorld(t, 150*time.Millisecond, nil, func(w *world) {
		t := w.t
		began := time.Now()
		seen, dropped := 0, 0
		w.setDrop(func(c vnet.Chunk) bool {
			const rtx = 97 // the payload type after that of the first codec
			pt := c.UserData()[1] & 0x7f
			if !isMedia(c) || c.DestinationAddr().String() != "10.0.0.1:3478" || pt == rtx || len(c.UserData()) <= 200 {
				return false
			}
			since := time.Since(began)
			seen++
			if since > 4*time.Second && dropped == 0 || since > 6*time.Second && since < 11*time.Second && seen%20 == 0 {
				dropped++
				return true
			}
			return false
		})
		video := loadStream(t, framing.VP8)
		pub := w.publish(whipclient.Source{Codec: framing.VP8})
		video.send(t, pub, 0, 0, 12*time.Second)
		time.Sleep(2 * time.Second)
		s := w.edge.Status().Publishers[0].Tracks[0].InboundStats
		if dropped < 5 || s.Missed != uint64(dropped) || s.Lost != 1 {
			t.Errorf("%d packets were dropped, of which only the first may be given up: %+v", dropped, s)
		}
		if most := uint64(2*dropped + 4); s.NACKs > most {
			t.Errorf("%d requests, want at most %d: the round trip is known", s.NACKs, most)
		}
		w.must(pub.Close(t.Context()))
	})
}

// TestFirstPacketLost loses the beginning of what a viewer is sent: it asks for a
// key frame, and the node sends the cached group again.
func TestFirstPacketLost(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		t := w.t
		lost := false
		w.setDrop(func(c vnet.Chunk) bool {
			if !isMedia(c) || len(c.UserData()) < 1000 || c.SourceAddr().String() != "10.0.0.1:3478" || lost {
				return false
			}
			lost = true
			return true
		})
		got := w.session(4*time.Second, func(pub *whipclient.Publisher, _ *whipclient.Player) {
			if n := pub.Stats(0).KeyframeRequests; n != 0 {
				t.Errorf("publisher was asked for %d key frames", n)
			}
		})
		if i := slices.IndexFunc(got, func(f whipclient.Received) bool { return !f.Codec.Audio() }); i < 0 || !got[i].Key {
			t.Error("the first picture is no key frame, or there is none")
		}
		if n := w.metric("trellis_rtc_egress_restarts_total"); n == 0 {
			t.Error("the cached group was not sent again")
		}
	})
}

// TestOutageNeedsKeyframe loses more than can be repaired: the group is given
// up, the publisher is asked for a key frame, and video goes on with the next one.
func TestOutageNeedsKeyframe(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		t := w.t
		cut := false
		w.setDrop(func(c vnet.Chunk) bool {
			const rtx = 97 // the payload type after that of the first codec
			return c.DestinationAddr().String() == "10.0.0.1:3478" && (cut || isMedia(c) && c.UserData()[1]&0x7f == rtx)
		})
		var during sync.WaitGroup
		during.Go(func() {
			time.Sleep(4 * time.Second)
			w.mu.Lock()
			cut = true
			w.mu.Unlock()
			time.Sleep(700 * time.Millisecond)
			w.mu.Lock()
			cut = false
			w.mu.Unlock()
		})
		got := w.session(8*time.Second, func(pub *whipclient.Publisher, _ *whipclient.Player) {
			if n := pub.Stats(0).KeyframeRequests; n == 0 || n > 3 {
				t.Errorf("publisher was asked for %d key frames", n)
			}
		})
		during.Wait()
		last := time.Duration(0)
		for i, f := range got {
			if f.Codec == framing.VP8 && i > 0 {
				if !f.Key && f.PTS-last > 100*time.Millisecond && last > 0 {
					t.Errorf("picture at %v follows one at %v, and is no key frame", f.PTS, last)
				}
				last = f.PTS
			}
		}
		if end := got[len(got)-1].PTS; end < 7*time.Second {
			t.Errorf("nothing after %v", end)
		}
	})
}

// TestLateJoinersStartFromTheCache has viewers join in mid-group: each starts
// with a key frame at once, and the publisher is asked for none.
func TestLateJoinersStartFromTheCache(t *testing.T) {
	video := loadStream(t, framing.H264)
	inWorld(t, nil, func(w *world) {
		t := w.t
		pub := w.publish(whipclient.Source{Codec: framing.H264})
		var senders, viewers sync.WaitGroup
		senders.Go(func() { video.send(t, pub, 0, 0, 8*time.Second) })
		for i := range 6 {
			time.Sleep(730 * time.Millisecond)
			viewers.Go(func() {
				player := w.play(framing.H264)
				connected := time.Now()
				f, err := player.Next(t.Context())
				if err != nil {
					t.Errorf("viewer %d: %v", i, err)
					return
				}
				if d := f.Arrival.Sub(connected); !f.Key || d > 2*oneWay+50*time.Millisecond {
					t.Errorf("viewer %d: first picture after %v, key %v", i, d, f.Key)
				}
				// What was cached comes in one burst, with timestamps at the live edge.
				var last whipclient.Received
				start := time.Now()
				for time.Since(start) < 2*time.Second {
					if last, err = player.Next(t.Context()); err != nil {
						t.Errorf("viewer %d: %v", i, err)
						return
					}
				}
				age := time.Since(last.Captured)
				if lag := (last.Arrival.Sub(f.Arrival) - (last.PTS - f.PTS)).Abs(); lag > 100*time.Millisecond {
					t.Errorf("viewer %d: 2 s later its timeline is off by %v", i, lag)
				}
				if age > 100*time.Millisecond {
					t.Errorf("viewer %d: pictures are %v old", i, age)
				}
				if err := player.Close(t.Context()); err != nil {
					t.Errorf("viewer %d: close: %v", i, err)
				}
			})
		}
		senders.Wait()
		viewers.Wait()
		if n := pub.Stats(0).KeyframeRequests; n != 0 {
			t.Errorf("publisher was asked for %d key frames", n)
		}
		w.must(pub.Close(t.Context()))
	})
}

// TestKeyframeRequestIsAnsweredFromTheCache has a viewer ask for a key frame:
// it is sent the cached group again, and its timestamps keep rising.
func TestKeyframeRequestIsAnsweredFromTheCache(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		t := w.t
		var asked int
		got := w.sessionAsking(func(p *whipclient.Player) {
			w.must(p.RequestKeyframe())
			asked++
		}, func(pub *whipclient.Publisher) {
			if n := pub.Stats(0).KeyframeRequests; n != 0 {
				t.Errorf("publisher was asked for %d key frames", n)
			}
		})
		if n := w.metric("trellis_rtc_egress_restarts_total"); n != float64(asked) {
			t.Errorf("%v restarts, asked %d times", n, asked)
		}
		last := time.Duration(-1)
		for _, f := range got {
			if f.PTS <= last {
				t.Fatalf("picture at %v after %v", f.PTS, last)
			}
			last = f.PTS
		}
	})
}

func (w *world) sessionAsking(ask func(*whipclient.Player), after func(*whipclient.Publisher)) []whipclient.Received {
	w.t.Helper()
	video := loadStream(w.t, framing.VP9)
	pub := w.publish(whipclient.Source{Codec: framing.VP9})
	var senders, viewers sync.WaitGroup
	senders.Go(func() { video.send(w.t, pub, 0, 0, 8*time.Second) })
	time.Sleep(time.Second)
	player := w.play(framing.VP9)
	var got []whipclient.Received
	collect(player, &got, &viewers)
	for range 3 {
		time.Sleep(2 * time.Second)
		ask(player)
	}
	senders.Wait()
	after(pub)
	w.must(player.Close(w.t.Context()))
	viewers.Wait()
	w.must(pub.Close(w.t.Context()))
	return got
}

// TestManyViewersOneSubscription has 50 viewers of one broadcast: the relay sees
// one reader per track.
func TestManyViewersOneSubscription(t *testing.T) {
	video, audio := loadStream(t, framing.VP8), loadStream(t, framing.Opus)
	inWorld(t, nil, func(w *world) {
		t := w.t
		pub := w.publish(whipclient.Source{Codec: framing.VP8}, whipclient.Source{Codec: framing.Opus})
		var senders, viewers sync.WaitGroup
		senders.Go(func() { video.send(t, pub, 0, 0, 3*time.Second) })
		senders.Go(func() { audio.send(t, pub, 1, 0, 3*time.Second) })
		time.Sleep(time.Second)
		const n = 50
		got := make([][]whipclient.Received, n)
		players := make([]*whipclient.Player, n)
		for i := range n {
			viewers.Go(func() {
				players[i] = w.play()
				collect(players[i], &got[i], &viewers)
			})
		}
		time.Sleep(1500 * time.Millisecond)
		for _, b := range w.table.Status() {
			for _, tr := range b.Tracks {
				if tr.Name == "catalog.json" {
					continue
				}
				if tr.Subscriptions["webrtc"] != 1 || tr.Viewers != n {
					t.Errorf("%s: subscriptions %v for %d viewers", tr.Name, tr.Subscriptions, tr.Viewers)
				}
			}
		}
		senders.Wait()
		for i, p := range players {
			if err := p.Close(t.Context()); err != nil {
				t.Errorf("close %d: %v", i, err)
			}
		}
		viewers.Wait()
		for i := range got {
			if len(got[i]) < 80 {
				t.Errorf("viewer %d received %d frames", i, len(got[i]))
			}
		}
		w.must(pub.Close(t.Context()))
	})
}

// TestVanishedPublisher unplugs a publisher: its session ends within 10 s. Another
// takes the name at once, without waiting for that.
func TestVanishedPublisher(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		t := w.t
		video := loadStream(t, framing.VP8)
		first := w.publish(whipclient.Source{Codec: framing.VP8})
		video.send(t, first, 0, 0, time.Second)
		w.setDrop(func(c vnet.Chunk) bool { return c.SourceAddr().String()[:9] == "10.0.0.2:" })
		gone := time.Now()
		for len(w.table.Status()) > 0 {
			time.Sleep(100 * time.Millisecond)
			if time.Since(gone) > 10*time.Second {
				t.Fatal("still announced 10 s after its publisher vanished")
			}
		}
		second := w.publish(whipclient.Source{Codec: framing.VP8})
		video.send(t, second, 0, 0, time.Second)
		third := w.publish(whipclient.Source{Codec: framing.VP8})
		video.send(t, third, 0, 0, time.Second)
		select {
		case <-second.Done():
		default:
			t.Error("the second publisher was not replaced by the third")
		}
		w.must(second.Close(t.Context()))
		w.must(third.Close(t.Context()))
		w.setDrop(nil)
		_ = first.Close(t.Context()) // its session is gone: how that is told does not matter
	})
}

// TestSetupTimeout has a client that never connects.
func TestSetupTimeout(t *testing.T) {
	inWorld(t, func(c *rtc.Config, _ *whip.Config) { c.SetupTimeout = 5 * time.Second }, func(w *world) {
		t := w.t
		w.setDrop(func(vnet.Chunk) bool { return true })
		start := time.Now()
		cfg := w.client("/whip/room/alice")
		cfg.ConnectTimeout = 20 * time.Second
		_, err := whipclient.Publish(t.Context(), whipclient.PublishConfig{
			Config: cfg, Tracks: []whipclient.Source{{Codec: framing.VP8}},
		})
		if err == nil {
			t.Fatal("connected without a network")
		}
		t.Logf("after %v: %v", time.Since(start), err)
		if n := w.metric("trellis_rtc_sessions_ended_total"); n != 1 {
			t.Errorf("%v sessions ended", n)
		}
	})
}

// TestRestartICE restarts ICE in the middle: media goes on.
func TestRestartICE(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		t := w.t
		got := w.session(6*time.Second, func(pub *whipclient.Publisher, player *whipclient.Player) {
			w.must(pub.RestartICE(t.Context()))
			w.must(player.RestartICE(t.Context()))
			video := loadStream(t, framing.VP8)
			video.send(t, pub, 0, 180, 4*time.Second)
			time.Sleep(time.Second)
		})
		if end := got[len(got)-1].PTS; end < 9*time.Second {
			t.Errorf("nothing after %v", end)
		}
	})
}

// TestViewersFollowANewPublisher replaces the publisher: its viewers stay, and
// see the new one on a timeline that goes on.
func TestViewersFollowANewPublisher(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		t := w.t
		video := loadStream(t, framing.VP8)
		first := w.publish(whipclient.Source{Codec: framing.VP8})
		var sender, viewer sync.WaitGroup
		sender.Go(func() { video.send(t, first, 0, 0, 3*time.Second) })
		time.Sleep(time.Second)
		player := w.play(framing.VP8)
		var got []whipclient.Received
		collect(player, &got, &viewer)
		sender.Wait()
		second := w.publish(whipclient.Source{Codec: framing.VP8})
		replaced := time.Now()
		video.send(t, second, 0, 0, 3*time.Second)
		time.Sleep(time.Second)
		w.must(player.Close(t.Context()))
		viewer.Wait()
		w.must(second.Close(t.Context()))
		w.must(first.Close(t.Context()))
		after := 0
		for i, f := range got {
			if i > 0 && f.PTS <= got[i-1].PTS {
				t.Errorf("picture at %v after %v", f.PTS, got[i-1].PTS)
			}
			if f.Arrival.After(replaced) {
				after++
			}
		}
		if after < 80 {
			t.Errorf("%d pictures of the second publisher", after)
		}
		if span, wall := got[len(got)-1].PTS-got[0].PTS, got[len(got)-1].Arrival.Sub(got[0].Arrival); (span - wall).Abs() > 100*time.Millisecond {
			t.Errorf("%v of pictures in %v", span, wall)
		}
		if s := player.VideoStats(); s.Lost > 0 || s.Broken > 0 {
			t.Errorf("stats %+v", s)
		}
	})
}
