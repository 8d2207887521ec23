package whip_test

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"trellis/edge/framing"
	rtcstream "trellis/edge/rtc/stream"
	"trellis/internal/relay"
	"trellis/wire"
	"trellis/wire/hang"
)

// svcPacket is a packet of a browser's stream, see framing/testdata.
type svcPacket struct {
	ts                  uint32
	marker              bool
	dependency, payload []byte
}

func loadSVC(t *testing.T, file string) []svcPacket {
	t.Helper()
	f, err := os.Open("../framing/testdata/" + file + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var all []svcPacket
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		var (
			p            svcPacket
			marker, size int
			dd, payload  string
		)
		if _, err := fmt.Sscan(lines.Text(), &p.ts, &marker, &dd, &payload, &size); err != nil {
			t.Fatal(err)
		}
		p.marker, p.payload = marker == 1, make([]byte, size)
		b, err := hex.DecodeString(payload)
		if err == nil {
			copy(p.payload, b)
			p.dependency, err = hex.DecodeString(dd)
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

// TestSVCBecomesTracks publishes streams of a browser with layers: the catalog has
// a track for each, with the layer's size, and each has frames that begin with a
// key frame.
func TestSVCBecomesTracks(t *testing.T) {
	for _, c := range []struct {
		file  string
		codec framing.Codec
		want  map[string]int // lines by track
	}{
		{"svc-vp9-l3t3-key", framing.VP9, map[string]int{"video/hd-s2": 540, "video/hd-s1": 270, "video/hd-s0": 135, "video/hd-s0-t1": 135}},
		{"svc-av1-l3t3-key", framing.AV1, map[string]int{"video/hd-s2": 540, "video/hd-s1": 270, "video/hd-s0": 135, "video/hd-s0-t1": 135}},
		{"svc-vp9-s3t3", framing.VP9, map[string]int{"video/hd-s2": 540, "video/hd-s1": 270, "video/hd-s0": 135, "video/hd-s0-t1": 135}},
		{"svc-av1-l1t3", framing.AV1, map[string]int{"video/hd": 180, "video/hd-t1": 180, "video/hd-t0": 180}},
	} {
		t.Run(c.file, func(t *testing.T) {
			packets := loadSVC(t, c.file)
			inWorld(t, nil, func(w *world) {
				send, hangUp := w.svcPublisher(c.codec)
				send(packets)
				time.Sleep(time.Second)
				catalog := w.catalog()
				got := map[string]int{}
				for _, v := range catalog.VideoTracks() {
					got[v.Track] = int(v.CodedHeight)
				}
				if fmt.Sprint(got) != fmt.Sprint(c.want) {
					t.Errorf("catalog %v, want %v", got, c.want)
				}
				for name := range c.want {
					sub, err := w.table.Subscribe(wire.TrackName{Broadcast: "room/alice", Track: name}, relay.SubscribeOptions{})
					w.must(err)
					g, err := sub.NextGroup(t.Context())
					w.must(err)
					chunk, err := g.Next(t.Context())
					w.must(err)
					_, frame, err := hang.Container{}.ParseFrame(chunk.Payload)
					w.must(err)
					if !framing.IsKey(c.codec, frame) {
						t.Errorf("%s begins with %x, which is no key frame", name, frame[:min(len(frame), 20)])
					}
					g.Close()
					sub.Close()
				}
				hangUp()
			})
		})
	}
}

// catalog returns the catalog of room/alice.
func (w *world) catalog() hang.Catalog {
	w.t.Helper()
	sub, err := w.table.Subscribe(wire.TrackName{Broadcast: "room/alice", Track: hang.CatalogTrack}, relay.SubscribeOptions{})
	w.must(err)
	defer sub.Close()
	g, err := sub.NextGroup(w.t.Context())
	w.must(err)
	defer g.Close()
	c, err := g.Next(w.t.Context())
	w.must(err)
	catalog, err := hang.ParseCatalog(c.Payload)
	w.must(err)
	return catalog
}

// svcPublisher connects a publisher that sends packets as they are, when they were
// due.
func (w *world) svcPublisher(c framing.Codec) (send func([]svcPacket), hangUp func()) {
	w.t.Helper()
	me, err := rtcstream.NewMediaEngine(rtcstream.EngineConfig{Offers: []rtcstream.Offer{{Codec: c}}, TransportCC: true, Layers: true})
	w.must(err)
	se := webrtc.SettingEngine{LoggerFactory: rtcstream.LoggerFactory{Log: testLog(w.t)}}
	se.SetNet(w.host())
	pc, err := webrtc.NewAPI(webrtc.WithMediaEngine(me), webrtc.WithInterceptorRegistry(&interceptor.Registry{}),
		webrtc.WithSettingEngine(se)).NewPeerConnection(webrtc.Configuration{BundlePolicy: webrtc.BundlePolicyMaxBundle})
	w.must(err)
	track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: c.MimeType(), ClockRate: 90_000}, "picture", "camera")
	w.must(err)
	tr, err := pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
	w.must(err)
	b := &browser{w: w, pc: pc}
	b.connect()
	b.wg.Go(func() {
		for {
			if _, _, err := tr.Sender().ReadRTCP(); err != nil {
				return
			}
		}
	})
	id := rtcstream.ExtensionID(tr.Sender().GetParameters().HeaderExtensions, framing.DependencyURI)
	if id == 0 {
		w.t.Error("the node does not take dependency descriptors")
	}
	send = func(packets []svcPacket) {
		for i, p := range packets {
			if i > 0 {
				time.Sleep(time.Duration(p.ts-packets[i-1].ts) * time.Second / 90_000)
			}
			out := &rtp.Packet{Header: rtp.Header{Version: 2, Timestamp: p.ts, SequenceNumber: uint16(i), Marker: p.marker}, Payload: p.payload}
			out.Extension, out.ExtensionProfile = true, rtp.ExtensionProfileTwoByte
			w.must(out.SetExtension(id, p.dependency))
			w.must(track.WriteRTP(out))
		}
	}
	return send, func() {
		w.must(pc.GracefulClose())
		b.wg.Wait()
	}
}
