package transport

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// TestFallback: where the kernel refuses to segment, the packets go one by one,
// now and from then on. It does refuse for a socket without checksums.
func TestFallback(t *testing.T) {
	r := newRig(t)
	if !r.port.Batches() {
		t.Fatal("this kernel has no UDP_SEGMENT, which Linux has since 4.18")
	}
	conn, err := r.port.cfg.Demux.host.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var sockErr error
	err = conn.Control(func(fd uintptr) { sockErr = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_NO_CHECK, 1) })
	if err := errors.Join(err, sockErr); err != nil {
		t.Fatal(err)
	}
	for round := range 2 {
		for i := range 3 {
			r.packet(uint64(3*round+i), 500)
		}
		if err := r.batch.Flush(); err != nil {
			t.Fatal(err)
		}
		if r.port.Batches() {
			t.Error("segmentation is still believed in")
		}
	}
	r.expect(500, 500, 500, 500, 500, 500)
	if calls, _ := r.batch.Counts(); calls != 5 {
		t.Errorf("%d calls, want one that fails, three in its place, and one for the second round", calls)
	}
	if n := r.conn.Dropped(); n != 0 {
		t.Errorf("%d packets dropped", n)
	}
}
