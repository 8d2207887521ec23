package whip_test

import (
	"bytes"
	"sync"
	"testing"
	"time"

	"trellis/edge/framing"
	"trellis/edge/whip/whipclient"
)

func TestPublishAndPlay(t *testing.T) {
	for _, codec := range []framing.Codec{framing.VP8, framing.VP9, framing.H264, framing.AV1} {
		t.Run(codec.String(), func(t *testing.T) {
			video, audio := loadStream(t, codec), loadStream(t, framing.Opus)
			inWorld(t, nil, func(w *world) {
				t := w.t
				pub := w.publish(whipclient.Source{Codec: codec}, whipclient.Source{Codec: framing.Opus})
				var senders, viewers sync.WaitGroup
				senders.Go(func() { video.send(t, pub, 0, 0, 6*time.Second) })
				senders.Go(func() { audio.send(t, pub, 1, 0, 6*time.Second) })
				time.Sleep(time.Second)
				player := w.play()
				joined := time.Now()
				var got []whipclient.Received
				collect(player, &got, &viewers)
				senders.Wait()
				time.Sleep(time.Second)
				w.must(player.Close(t.Context()))
				viewers.Wait()
				w.must(pub.Close(t.Context()))
				checkPlayed(t, got, video, audio, joined)
				if s := player.VideoStats(); s.Lost > 0 || s.Broken > 0 {
					t.Errorf("video stats %+v: nothing was lost", s)
				}
			})
		})
	}
}

// checkPlayed checks that what was received is what was sent, from a key frame
// on and without a hole.
func checkPlayed(t *testing.T, got []whipclient.Received, video, audio stream, joined time.Time) {
	t.Helper()
	var sound, pictures []whipclient.Received
	for _, f := range got {
		if f.Codec.Audio() {
			sound = append(sound, f)
		} else {
			pictures = append(pictures, f)
		}
	}
	if len(pictures) < 4*30 || len(sound) < 4*50 {
		t.Fatalf("%d pictures and %d sound packets in more than 4 s", len(pictures), len(sound))
	}
	if !pictures[0].Key {
		t.Error("the first picture is no key frame")
	}
	if d := pictures[0].Arrival.Sub(joined); d > 500*time.Millisecond+2*oneWay {
		t.Errorf("first picture %v after joining", d)
	}
	first := -1
	for i, f := range video.frames {
		if bytes.Equal(f, pictures[0].Data) {
			first = i
		}
	}
	if first < 0 {
		t.Fatalf("first picture of %d bytes is none that was sent", len(pictures[0].Data))
	}
	for i, f := range pictures {
		if want := video.frames[(first+i)%len(video.frames)]; !bytes.Equal(f.Data, want) {
			t.Fatalf("picture %d: %d bytes, want the %d of the stream", i, len(f.Data), len(want))
		}
		if i > 0 && f.PTS <= pictures[i-1].PTS {
			t.Errorf("picture %d at %v after %v", i, f.PTS, pictures[i-1].PTS)
		}
	}
	for i, f := range sound {
		if !bytes.Equal(f.Data, audio.frames[0]) {
			t.Fatalf("sound %d: %d bytes", i, len(f.Data))
		}
	}
}
