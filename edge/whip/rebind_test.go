package whip_test

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"trellis/edge/framing"
	"trellis/edge/rtc"
	"trellis/edge/whip"
	"trellis/edge/whip/whipclient"
	"trellis/internal/relay"
)

// nat is the node's socket as clients behind a translator reach it: after rebind
// their packets come from other ports, and other addresses unless moveBy is zero, and what
// is sent to the old ones is lost.
type nat struct {
	net.PacketConn
	moveBy byte // is added to the second byte of an address by rebinding
	mu     sync.Mutex
	moved  bool
}

// movePort is added to a port by rebinding. There are none as high before.
const movePort = 20_000

func (n *nat) rebind() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.moved = true
}

func (n *nat) isMoved() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.moved
}

func (n *nat) ReadFrom(b []byte) (int, net.Addr, error) {
	size, from, err := n.PacketConn.ReadFrom(b)
	if err == nil && n.isMoved() {
		at := from.(*net.UDPAddr)
		ip := at.IP.To4()
		from = &net.UDPAddr{IP: net.IPv4(ip[0], ip[1]+n.moveBy, ip[2], ip[3]), Port: at.Port + movePort}
	}
	return size, from, err
}

func (n *nat) WriteTo(b []byte, to net.Addr) (int, error) {
	at := to.(*net.UDPAddr)
	ip := at.IP.To4()
	if n.isMoved() {
		if at.Port < movePort {
			return len(b), nil // nobody is there any more
		}
		to = &net.UDPAddr{IP: net.IPv4(ip[0], ip[1]-n.moveBy, ip[2], ip[3]), Port: at.Port - movePort}
	}
	return n.PacketConn.WriteTo(b, to)
}

func (n *nat) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	return n.WriteTo(b, net.UDPAddrFromAddrPort(to))
}

// TestAddressChanges has the translator between the node and its clients give them
// other addresses in the middle: the clients restart ICE, as browsers do when they
// notice, and media goes on for both within the time that takes.
func TestAddressChanges(t *testing.T) {
	var translator *nat
	inWorld(t, func(c *rtc.Config, _ *whip.Config) {
		translator = &nat{PacketConn: c.UDP, moveBy: 9}
		c.UDP = translator
	}, func(w *world) {
		t := w.t
		video := loadStream(t, framing.VP8)
		pub := w.publish(whipclient.Source{Codec: framing.VP8})
		var senders, viewers sync.WaitGroup
		senders.Go(func() { video.send(t, pub, 0, 0, 8*time.Second) })
		time.Sleep(time.Second)
		player := w.play(framing.VP8)
		var got []whipclient.Received
		collect(player, &got, &viewers)
		time.Sleep(2 * time.Second)
		translator.rebind()
		moved := time.Now()
		w.must(pub.RestartICE(t.Context()))
		w.must(player.RestartICE(t.Context()))
		senders.Wait()
		time.Sleep(time.Second)
		w.must(player.Close(t.Context()))
		viewers.Wait()
		w.must(pub.Close(t.Context()))
		after, gap, last := 0, time.Duration(0), moved
		for _, f := range got {
			if f.Arrival.After(moved) {
				after++
				gap = max(gap, f.Arrival.Sub(last))
				last = f.Arrival
			}
		}
		t.Logf("%d pictures after the change, the longest gap is %v", after, gap)
		if after < 4*30 || gap > 2*time.Second {
			t.Errorf("%d pictures after the change, the longest gap is %v", after, gap)
		}
	})
}

// TestPortChanges has the translator give a viewer another port. Its client does not
// notice, and names no path by its checks; media goes on with its next report.
func TestPortChanges(t *testing.T) {
	var translator *nat
	inWorld(t, func(c *rtc.Config, _ *whip.Config) {
		translator = &nat{PacketConn: c.UDP}
		c.UDP = translator
	}, func(w *world) {
		t := w.t
		s := &simulcast{table: w.table, fresh: map[string]bool{}}
		b, err := w.table.Announce(relay.Announcement{Name: "room/alice", PublisherID: 1, Origin: "us-east-1", Local: true}, s)
		w.must(err)
		ctx, cancel := context.WithCancel(t.Context())
		var running, viewers sync.WaitGroup
		running.Go(func() { w.must(s.run(ctx, b)) })
		time.Sleep(1100 * time.Millisecond)
		player := w.play(framing.VP8)
		var got []whipclient.Received
		collect(player, &got, &viewers)
		time.Sleep(5 * time.Second)
		translator.rebind()
		moved := time.Now()
		time.Sleep(5 * time.Second)
		w.must(player.Close(context.WithoutCancel(ctx)))
		viewers.Wait()
		cancel()
		running.Wait()
		b.End(nil)
		gap, last := time.Duration(0), moved
		for _, f := range got {
			if f.Arrival.After(moved) {
				gap, last = max(gap, f.Arrival.Sub(last)), f.Arrival
			}
		}
		gap = max(gap, moved.Add(5*time.Second).Sub(last))
		t.Logf("the longest gap is %v", gap)
		if gap > 1500*time.Millisecond {
			t.Errorf("the longest gap is %v", gap)
		}
	})
}
