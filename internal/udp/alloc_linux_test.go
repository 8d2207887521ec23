//go:build !race

package udp

import (
	"net"
	"testing"
)

// TestNothingIsAllocated, but for the packets' addresses the first time.
func TestNothingIsAllocated(t *testing.T) {
	c := listen(t, "udp4", "127.0.0.1:0")
	to, b, ms := c.LocalAddr().(*net.UDPAddr), make([]byte, 1200), messages(8)
	at := to.AddrPort()
	sender, addr, queue := c.NewSender(), c.Addr(at), c.NewQueue()
	failed := func(i int, err error) { t.Fatal(i, err) }
	n := testing.AllocsPerRun(200, func() {
		if _, _, err := c.WriteMsgUDP(b, nil, to); err != nil {
			t.Fatal(err)
		}
		if _, err := c.ReadBatch(ms, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := c.WriteToUDPAddrPort(b, at); err != nil {
			t.Fatal(err)
		}
		if err := sender.Send(&addr, b); err != nil {
			t.Fatal(err)
		}
		if err := c.TrySend(&addr, b); err != nil {
			t.Fatal(err)
		}
		queue.Add(&addr, b, 0)
		queue.Add(&addr, b, 500)
		queue.Send(failed)
		for range 3 + 1 + 3 {
			if _, from, err := c.ReadFromUDPAddrPort(b); err != nil || from != at {
				t.Fatal(from, err)
			}
		}
	})
	if n >= 1 { // a pool may be emptied by the garbage collector
		t.Errorf("%v allocations for eight packets there and back", n)
	}
}
