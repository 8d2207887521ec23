package backbone_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"trellis/backbone"
	"trellis/internal/ca"
	"trellis/internal/relay"
	"trellis/wire"
)

// socketChain makes n nodes in a line, over real sockets on the loopback.
func socketChain(b *testing.B, n int) []*node {
	b.Helper()
	authority, err := ca.NewAuthority("bench", time.Now())
	if err != nil {
		b.Fatal(err)
	}
	c := &cluster{t: b, authority: authority}
	nodes := make([]*node, n)
	for i := range nodes {
		conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			b.Fatal(err)
		}
		nd := &node{
			c: c, id: string(rune('a' + i)), addr: conn.LocalAddr().(*net.UDPAddr), log: &logBuffer{},
			peers: &peerList{changed: make(chan struct{}, 1)}, transport: &quic.Transport{Conn: conn},
		}
		if nd.table, err = relay.NewTable(relay.Config{}); err != nil {
			b.Fatal(err)
		}
		cred, err := authority.Issue("region-"+nd.id, nd.id, time.Hour, time.Now())
		if err != nil {
			b.Fatal(err)
		}
		nd.mesh, err = backbone.New(backbone.Config{
			Credentials: ca.NewStore(cred), Dialer: nd.transport, Peers: nd.peers, Table: nd.table,
		})
		if err != nil {
			b.Fatal(err)
		}
		nodes[i] = nd
		c.nodes = append(c.nodes, nd)
	}
	for i := range n - 1 {
		for _, p := range [][2]*node{{nodes[i], nodes[i+1]}, {nodes[i+1], nodes[i]}} {
			p[0].peers.nodes = append(p[0].peers.nodes, p[1].entry())
		}
	}
	for _, nd := range nodes {
		nd.start()
	}
	b.Cleanup(func() {
		for _, nd := range nodes {
			nd.end()
		}
	})
	return nodes
}

// follow reads a track and tells when each object was whole.
func follow(b *testing.B, n *node, track string) <-chan time.Time {
	b.Helper()
	name := wire.TrackName{Broadcast: "room/alice", Track: track}
	w := n.table.WatchAnnounced("")
	defer w.Close()
	if _, err := w.Next(context.Background()); err != nil {
		b.Fatal(err)
	}
	sub, err := n.table.Subscribe(name, relay.SubscribeOptions{})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := sub.Info(context.Background()); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	b.Cleanup(cancel)
	out := make(chan time.Time, 1<<16)
	go func() {
		for {
			r, err := sub.NextGroup(ctx)
			if err != nil {
				return
			}
			for {
				c, err := r.Next(ctx)
				if err != nil {
					break
				}
				if c.Last {
					out <- time.Now()
				}
			}
			r.Close()
		}
	}()
	return out
}

// BenchmarkHop measures what a relay adds to a small object, over real sockets:
// the difference between two links and one, for objects 5 ms apart. Expected:
// p50 of at most 0.2 ms.
func BenchmarkHop(b *testing.B) {
	nodes := socketChain(b, 3)
	_, tr := benchPublish(b, nodes[0], "audio", wire.KindAudio)
	near, far := follow(b, nodes[1], "audio"), follow(b, nodes[2], "audio")
	var one, two []time.Duration
	seq := uint64(0)
	payload := make([]byte, 120)
	pace := time.NewTicker(5 * time.Millisecond)
	defer pace.Stop()
	for b.Loop() {
		g, err := tr.Group(seq)
		if err != nil {
			b.Fatal(err)
		}
		seq++
		for i := range uint64(5) {
			<-pace.C
			began := time.Now()
			if err := g.Write(i, relay.ObjectHeader{Time: int64(i), Ingress: began.UnixMicro()}, payload); err != nil {
				b.Fatal(err)
			}
			one = append(one, (<-near).Sub(began))
			two = append(two, (<-far).Sub(began))
		}
		g.Close()
	}
	slices.Sort(one)
	slices.Sort(two)
	micros := func(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
	at := func(a []time.Duration, percent int) time.Duration { return a[len(a)*percent/100] }
	b.ReportMetric(micros(at(one, 50)), "p50-1link-µs")
	b.ReportMetric(micros(at(two, 50)), "p50-2links-µs")
	b.ReportMetric(micros(at(two, 50)-at(one, 50)), "p50-hop-µs")
	b.ReportMetric(micros(at(two, 99)-at(one, 99)), "p99-hop-µs")
	b.ReportMetric(0, "ns/op") // most of it is the time between objects
}

// BenchmarkForward is the cost of a link: frames of 10 kB, 30 in a group, sent by
// one node and received by the other, as fast as they go. Compare its CPU per kB
// with BenchmarkBulk in the same run.
func BenchmarkForward(b *testing.B) {
	for _, size := range []int{1_000, 10_000} {
		b.Run(map[int]string{1_000: "1kB", 10_000: "10kB"}[size], func(b *testing.B) {
			nodes := socketChain(b, 2)
			_, tr := benchPublish(b, nodes[0], "video", wire.KindVideo)
			arrived := follow(b, nodes[1], "video")
			payload := make([]byte, size)
			seq, inGroup := uint64(0), uint64(0)
			g, err := tr.Group(0)
			if err != nil {
				b.Fatal(err)
			}
			const ahead = 16 // objects under way, so that the relay's cache is never overrun
			flying := 0
			b.SetBytes(int64(size))
			b.ReportAllocs()
			cpu := cpuTime(b)
			for b.Loop() {
				if inGroup == 30 {
					g.Close()
					seq, inGroup = seq+1, 0
					if g, err = tr.Group(seq); err != nil {
						b.Fatal(err)
					}
				}
				if err := g.Write(inGroup, relay.ObjectHeader{Time: 1, Ingress: 1}, payload); err != nil {
					b.Fatal(err)
				}
				inGroup++
				if flying++; flying > ahead {
					<-arrived
					flying--
				}
			}
			for range flying {
				<-arrived
			}
			b.ReportMetric(float64(cpuTime(b)-cpu)/float64(b.N)/float64(size)*1000, "cpu-ns/kB")
		})
	}
}

// BenchmarkBulk is a plain QUIC stream between two sockets, in writes of 32 kB.
func BenchmarkBulk(b *testing.B) {
	authority, err := ca.NewAuthority("bench", time.Now())
	if err != nil {
		b.Fatal(err)
	}
	cred, err := authority.Issue("r", "a", time.Hour, time.Now())
	if err != nil {
		b.Fatal(err)
	}
	store := ca.NewStore(cred)
	var ts [2]*quic.Transport
	for i := range ts {
		conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			b.Fatal(err)
		}
		ts[i] = &quic.Transport{Conn: conn}
		defer func() { _ = ts[i].Close() }() // the measurement is over
	}
	ln, err := ts[0].Listen(ca.ServerTLS(store, nil), backbone.QUICConfig())
	if err != nil {
		b.Fatal(err)
	}
	client := func() *tls.Config { return ca.ClientTLS(store, cred.Identity()) }
	var wg sync.WaitGroup
	wg.Go(func() {
		conn, err := ln.Accept(context.Background())
		if err != nil {
			b.Error(err)
			return
		}
		s, err := conn.AcceptUniStream(context.Background())
		if err != nil {
			b.Error(err)
			return
		}
		if _, err := io.Copy(io.Discard, s); err != nil {
			b.Error(err)
		}
		_ = conn.CloseWithError(0, "") // the measurement is over
	})
	conn, err := ts[1].Dial(context.Background(), ts[0].Conn.LocalAddr(), client(), backbone.QUICConfig())
	if err != nil {
		b.Fatal(err)
	}
	s, err := conn.OpenUniStream()
	if err != nil {
		b.Fatal(err)
	}
	chunk := make([]byte, 32<<10)
	b.SetBytes(int64(len(chunk)))
	b.ReportAllocs()
	cpu := cpuTime(b)
	for b.Loop() {
		if _, err := s.Write(chunk); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	wg.Wait()
	b.ReportMetric(float64(cpuTime(b)-cpu)/float64(b.N)/float64(len(chunk))*1000, "cpu-ns/kB")
}

func benchPublish(b *testing.B, n *node, track string, kind wire.Kind) (*relay.Broadcast, *relay.Track) {
	b.Helper()
	br, err := n.table.Announce(relay.Announcement{Name: "room/alice", PublisherID: 7, Origin: n.id, Local: true}, noUpstream{})
	if err != nil {
		b.Fatal(err)
	}
	tr, err := br.PushTrack(track, wire.TrackInfo{Kind: kind, Priority: kind.DefaultPriority(), Timescale: 1_000_000})
	if err != nil {
		b.Fatal(err)
	}
	return br, tr
}

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	runtime.Gosched()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
