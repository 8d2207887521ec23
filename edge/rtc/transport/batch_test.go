package transport

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/srtp/v3"

	"trellis/internal/udp"
)

// rig is a batch with a viewer at the other end of a real socket.
type rig struct {
	tb       testing.TB
	port     *Port
	batch    *Batch
	conn     *Conn
	receiver *net.UDPConn
	open     *srtp.Context
}

func newRig(tb testing.TB) *rig {
	tb.Helper()
	listen := func() *net.UDPConn {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { _ = c.Close() })
		return c
	}
	r := &rig{tb: tb, receiver: listen()}
	demux := newDemux(tb, listen())
	r.port = &Port{cfg: Config{Demux: demux, Log: slog.New(slog.DiscardHandler)}}
	r.port.gso.Store(demux.segments())
	r.conn = r.viewer(r.receiver)
	r.batch = r.port.NewBatch()
	key, salt := make([]byte, 16), make([]byte, 12)
	var err error
	if r.open, err = srtp.CreateContext(key, salt, srtp.ProtectionProfileAeadAes128Gcm); err != nil {
		tb.Fatal(err)
	}
	return r
}

// viewer returns a Conn beyond ICE and DTLS.
func (r *rig) viewer(at *net.UDPConn) *Conn {
	r.tb.Helper()
	media, err := newSealer(dtls.SRTP_AEAD_AES_128_GCM, make([]byte, 16), make([]byte, 12))
	if err != nil {
		r.tb.Fatal(err)
	}
	c := newConn(r.port, nil)
	addr := at.LocalAddr().(*net.UDPAddr).AddrPort()
	addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	c.dest.Store(&dest{addr: addr, sock: r.port.cfg.Demux.addr(addr)})
	reports, err := newGCMRTCP(make([]byte, 16), make([]byte, 12), make([]byte, 16), make([]byte, 12), 1)
	if err != nil {
		r.tb.Fatal(err)
	}
	c.keys.Store(&keys{media: media, rtcp: reports})
	return c
}

// packet puts a packet of n bytes of payload into the batch.
func (r *rig) packet(index uint64, n int) {
	r.tb.Helper()
	header := []byte{0x80, 96, byte(index >> 8), byte(index), 0, 0, 0, 0, 0, 0, 0, 1}
	if err := r.batch.Packet(r.conn, header, bytes.Repeat([]byte{byte(index)}, n), 1, index); err != nil {
		r.tb.Fatal(err)
	}
}

// expect reads packets and checks that they are whole and in order.
func (r *rig) expect(sizes ...int) {
	r.tb.Helper()
	buf := make([]byte, 2048)
	for i, size := range sizes {
		if err := r.receiver.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
			r.tb.Fatal(err)
		}
		n, err := r.receiver.Read(buf)
		if err != nil {
			r.tb.Fatalf("packet %d of %d: %v", i, len(sizes), err)
		}
		plain, err := r.open.DecryptRTP(nil, buf[:n], nil)
		if err != nil {
			r.tb.Fatalf("packet %d: %v", i, err)
		}
		if len(plain) != 12+size || plain[3] != byte(i) || !bytes.Equal(plain[12:], bytes.Repeat([]byte{byte(i)}, size)) {
			r.tb.Fatalf("packet %d: %d bytes of packet %d, want %d", i, len(plain)-12, plain[3], size)
		}
	}
}

// TestBatch sends runs of packets, with and without segmentation: what arrives is
// the same, and takes one call. A run of one size, or with a shorter end, is one message.
func TestBatch(t *testing.T) {
	sizes := []int{1000, 1000, 1000, 400 /* ends a run */, 1000, 1100 /* larger: another */, 1100, 3}
	for _, gso := range []bool{true, false} {
		r := newRig(t)
		if gso && !r.port.Batches() {
			t.Log("this system has no UDP segmentation: only the other way is tested")
			continue
		}
		r.port.gso.Store(gso)
		for i, n := range sizes {
			r.packet(uint64(i), n)
		}
		if n := len(r.batch.msgs); n != 3 {
			t.Errorf("%d messages, want 3", n)
		}
		if err := r.batch.Flush(); err != nil {
			t.Fatal(err)
		}
		r.expect(sizes...)
		if calls, packets := r.batch.Counts(); calls != 1 || packets != uint64(len(sizes)) {
			t.Errorf("segmentation %v: %d calls for %d packets", gso, calls, packets)
		}
		if n := r.conn.Dropped(); n != 0 {
			t.Errorf("%d packets dropped", n)
		}
	}
}

// TestBatchTakesReportsAlong: RTCP is the last packet of the message before it, or one of
// its own where that cannot be.
func TestBatchTakesReportsAlong(t *testing.T) {
	r := newRig(t)
	report := append([]byte{0x80, 200, 0, 6, 0, 0, 0, 9}, bytes.Repeat([]byte{7}, 20)...)
	for i, step := range []struct{ packet, messages int }{{100, 1}, {100, 1}, {0, 1}, {0, 2}, {100, 3}, {10, 3}, {0, 4}} {
		var err error
		if step.packet == 0 {
			err = r.conn.SendRTCP(r.batch, report)
		} else {
			r.packet(0, step.packet)
		}
		if n := len(r.batch.msgs); err != nil || n != step.messages {
			t.Fatalf("step %d: %d messages, want %d; %v", i, n, step.messages, err)
		}
	}
	if err := r.batch.Flush(); err != nil {
		t.Fatal(err)
	}
	kinds, buf := "", make([]byte, 2048)
	for range 7 {
		if err := r.receiver.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := r.receiver.Read(buf)
		if err != nil {
			t.Fatalf("after %q: %v", kinds, err)
		}
		if !isRTCP(buf[:n]) {
			kinds += "m"
			continue
		}
		kinds += "r"
		if plain, err := r.open.DecryptRTCP(nil, buf[:n], nil); err != nil || !bytes.Equal(plain, report) {
			t.Errorf("the viewer opens % x, %v", plain, err)
		}
	}
	if kinds != "mmrrmmr" {
		t.Errorf("packets came as %q", kinds)
	}
	if calls, packets := r.batch.Counts(); calls != 1 || packets != 7 {
		t.Errorf("%d calls for %d packets", calls, packets)
	}
}

// TestBatchIsBounded puts in more packets than a call takes.
func TestBatchIsBounded(t *testing.T) {
	for _, size := range []int{1, 1100} { // too many packets, too many bytes
		r := newRig(t)
		sizes := make([]int, maxSegments+6)
		for i := range sizes {
			sizes[i] = size
			r.packet(uint64(i), size)
			if m := r.batch.msgs[len(r.batch.msgs)-1]; len(r.batch.buf) > maxBatch || m.n > maxSegments {
				t.Fatalf("the batch has %d bytes, a message %d packets", len(r.batch.buf), m.n)
			}
		}
		if err := r.batch.Flush(); err != nil {
			t.Fatal(err)
		}
		r.expect(sizes...)
	}
}

// TestBatchOfSeveralViewers: their packets leave in one call, more than it holds in
// two, and what one of them loses is its own.
func TestBatchOfSeveralViewers(t *testing.T) {
	const n = udp.MaxQueued + 6
	r := newRig(t)
	viewers := make([]*rig, n)
	for i := range viewers {
		viewers[i] = newRig(t)
		viewers[i].conn, viewers[i].batch = r.viewer(viewers[i].receiver), r.batch
	}
	gone := viewers[3]
	gone.conn.dest.Store(nil)
	for _, v := range viewers {
		v.packet(0, 100)
	}
	if err := r.batch.Flush(); !errors.Is(err, ErrClosed) {
		t.Errorf("flush: %v", err)
	}
	for _, v := range viewers {
		if v == gone {
			continue
		}
		v.expect(100)
		if d := v.conn.Dropped(); d != 0 {
			t.Errorf("%d packets dropped", d)
		}
	}
	if d := gone.conn.Dropped(); d != 1 {
		t.Errorf("the one without a path lost %d packets", d)
	}
	if calls, packets := r.batch.Counts(); calls != 2 || packets != n {
		t.Errorf("%d calls for %d packets", calls, packets)
	}
}

// TestBatchUndelivered: a message that the kernel does not take is its viewer's
// loss, and those behind it leave all the same.
func TestBatchUndelivered(t *testing.T) {
	r := newRig(t)
	nowhere := r.viewer(r.receiver)
	d := &dest{addr: netip.MustParseAddrPort("[::1]:9")} // not by this socket
	d.sock = r.port.cfg.Demux.addr(d.addr)
	nowhere.dest.Store(d)
	header := make([]byte, 12)
	for index := range uint64(2) {
		if err := r.batch.Packet(nowhere, header, []byte{1}, 2, index); err != nil {
			t.Fatal(err)
		}
	}
	r.packet(0, 100)
	if err := r.batch.Flush(); err == nil {
		t.Error("nobody is told of what was lost")
	}
	r.expect(100)
	if here, there := r.conn.Dropped(), nowhere.Dropped(); here != 0 || there != 2 {
		t.Errorf("%d and %d packets dropped, want 0 and 2", here, there)
	}
}

// TestBatchWithoutPath: a viewer whose path is gone loses its packets, and they
// are counted.
func TestBatchWithoutPath(t *testing.T) {
	r := newRig(t)
	r.packet(0, 100)
	r.packet(1, 100)
	r.conn.dest.Store(nil)
	if err := r.batch.Flush(); !errors.Is(err, ErrClosed) {
		t.Errorf("flush without a path: %v", err)
	}
	if n := r.conn.Dropped(); n != 2 {
		t.Errorf("%d packets dropped, want 2", n)
	}
}

func BenchmarkBatch(b *testing.B) {
	r := newRig(b)
	header, payload := make([]byte, 12), make([]byte, 1160)
	b.ReportAllocs()
	var index uint64
	for b.Loop() {
		for range 9 {
			index++
			if err := r.batch.Packet(r.conn, header, payload, 1, index); err != nil {
				b.Fatal(err)
			}
		}
		if err := r.batch.Flush(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*9), "ns/packet")
}
