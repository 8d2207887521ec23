package udp

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// interests returns what all epoll instances of this process ask of a socket: see
// proc_pid_fdinfo(5).
func interests(t *testing.T, c *Conn) (masks []uint32) {
	t.Helper()
	var stat unix.Stat_t
	var statErr error
	if err := c.socket(func(fd uintptr) { statErr = unix.Fstat(int(fd), &stat) }); err != nil || statErr != nil {
		t.Fatal(err, statErr)
	}
	all, err := filepath.Glob("/proc/self/fdinfo/*")
	if err != nil || len(all) == 0 {
		t.Fatalf("%d descriptors, %v", len(all), err)
	}
	for _, name := range all {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // closed meanwhile
		}
		for line := range strings.Lines(string(text)) {
			var fd int
			var mask uint32
			var data, inode uint64
			var at int64
			n, _ := fmt.Sscanf(line, "tfd: %d events: %x data: %x pos:%d ino:%x", &fd, &mask, &data, &at, &inode)
			if n == 5 && inode == stat.Ino {
				masks = append(masks, mask)
			}
		}
	}
	return masks
}

// TestWhoSendsWakesNobody: nobody asks the kernel to be told of packets that have left.
func TestWhoSendsWakesNobody(t *testing.T) {
	u, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	c, err := Open(u)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	var reading sync.WaitGroup
	defer reading.Wait()
	defer func() { _ = c.SetReadDeadline(time.Unix(1, 0)) }()
	reading.Go(func() { _, _, _ = c.ReadFromUDPAddrPort(make([]byte, 10)) })
	if got := interests(t, c); !slices.Equal(got, []uint32{unix.EPOLLIN | unix.EPOLLERR | unix.EPOLLHUP}) {
		t.Errorf("epoll instances ask the socket for %x, want what comes and errors once", got)
	}
	if err := u.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the socket is open in the form of net's, too: closing it says %v", err)
	}
}

// TestRoom: who writes more than the socket's buffer holds waits for room, and no longer
// than until the socket is closed.
func TestRoom(t *testing.T) {
	c := listen(t, "udp4", "127.0.0.1:0")
	if err := c.waitForRoom(); err != nil {
		t.Errorf("an empty buffer: %v", err)
	}
	if err := c.SetWriteBuffer(1); err != nil { // the kernel makes it a few kB
		t.Fatal(err)
	}
	to := c.LocalAddr().(*net.UDPAddr)
	for range 20 {
		if n, err := c.WriteTo(make([]byte, 1000), to); err != nil || n != 1000 {
			t.Fatalf("%d bytes, %v", n, err)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.waitForRoom(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	if err := c.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed again: %v", err)
	}
}

// TestManyRead: no packet is missed by readers that sleep in turn.
func TestManyRead(t *testing.T) {
	a, b := listen(t, "udp4", "127.0.0.1:0"), listen(t, "udp4", "127.0.0.1:0")
	if err := errors.Join(a.SetReadDeadline(time.Now().Add(20*time.Second)), b.SetReadDeadline(time.Now().Add(20*time.Second))); err != nil {
		t.Fatal(err)
	}
	const turns = 5000
	var echo sync.WaitGroup
	echo.Go(func() {
		buf := make([]byte, 10)
		for range turns {
			n, from, err := b.ReadFrom(buf)
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := b.WriteTo(buf[:n], from); err != nil {
				t.Error(err)
			}
		}
	})
	buf := make([]byte, 10)
	for i := range turns {
		if _, err := a.WriteTo([]byte{byte(i), byte(i >> 8)}, b.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		n, from, err := a.ReadFrom(buf)
		if err != nil || n != 2 || int(buf[0])|int(buf[1])<<8 != i || from.String() != b.LocalAddr().String() {
			t.Fatalf("turn %d: %d bytes from %v, %v", i, n, from, err)
		}
	}
	echo.Wait()
}
