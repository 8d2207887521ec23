package transport

import (
	"log/slog"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/srtp/v3"
)

// roamer is a viewer that was checked at a port of an address, with its client's keys.
type roamer struct {
	t      *testing.T
	demux  *Demux
	conn   *Conn
	client *srtp.Context
	got    int // packets
}

var (
	roamedFrom = netip.MustParseAddrPort("192.0.2.1:1000")
	roamedTo   = netip.MustParseAddrPort("192.0.2.1:2000")
)

func newRoamer(t *testing.T, demux *Demux, name string) *roamer {
	t.Helper()
	r := &roamer{t: t, demux: demux}
	r.conn = newConn(&Port{cfg: Config{Demux: demux, Silence: time.Second, Log: slog.New(slog.DiscardHandler)}}, nil)
	r.conn.in.begin(newPipe(), Handler{RTCP: func([]byte, time.Time) { r.got++ }})
	r.conn.client.Credentials(name, password)
	key, salt := []byte(name + "key of 128 bits.")[:16], []byte("a salt of 12")
	k := srtp.SessionKeys{LocalMasterKey: key, LocalMasterSalt: salt, RemoteMasterKey: key, RemoteMasterSalt: salt}
	guard, err := newRTCPGuard(dtls.SRTP_AEAD_AES_128_GCM, &k, maxSources)
	if err != nil {
		t.Fatal(err)
	}
	r.conn.keys.Store(&keys{rtcp: guard})
	if r.client, err = srtp.CreateContext(key, salt, srtp.ProtectionProfileAeadAes128Gcm); err != nil {
		t.Fatal(err)
	}
	r.check(name, roamedFrom)
	r.conn.dest.Store(&dest{addr: roamedFrom})
	return r
}

func (r *roamer) check(name string, from netip.AddrPort) {
	r.demux.pass(binding(r.t, name+":client", password), from, time.Now())
}

// report is a packet that only the client can have sealed.
func (r *roamer) report() []byte {
	r.t.Helper()
	b, err := r.client.EncryptRTCP(nil, []byte{0x80, 201, 0, 1, 0, 0, 0, 1}, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return b
}

// send has a packet come from an address.
func (r *roamer) send(b []byte, from netip.AddrPort) { r.demux.pass(b, from, time.Now()) }

func (r *roamer) wantAt(what string, want netip.AddrPort) {
	r.t.Helper()
	if got := r.conn.dest.Load().addr; got != want {
		r.t.Errorf("%s: media goes to %v, want %v", what, got, want)
	}
}

// TestAnotherPort: a client whose NAT gives it another port is sent its media there with its
// next report, for good once it has been checked there.
func TestAnotherPort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		demux := newDemux(t, &script{})
		newRoamer(t, demux, "next") // to whom the packets might belong
		r := newRoamer(t, demux, "ours")
		r.send(r.report(), roamedFrom)
		r.wantAt("before", roamedFrom)
		r.send(r.report(), roamedTo)
		r.wantAt("after a report", roamedTo)
		r.send(r.report(), roamedTo)
		if r.got != 3 {
			t.Errorf("%d packets of 3 were taken", r.got)
		}
		r.check("ours", roamedTo)
		time.Sleep(2 * roamPatience)
		r.wantAt("checked", roamedTo)
		if n := demux.Refused(RefusedStranger) + r.conn.Refused(); n != 0 {
			t.Errorf("%d packets refused", n)
		}
	})
}

// TestRoamingIsUndone where no check confirms it, or one shows that the client is
// where it was: someone else has sent its packet on.
func TestRoamingIsUndone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoamer(t, newDemux(t, &script{}), "ours")
		r.send(r.report(), roamedTo)
		r.check("ours", roamedFrom)
		r.wantAt("checked at the first", roamedFrom)
		r.send(r.report(), netip.MustParseAddrPort("192.0.2.1:3000"))
		time.Sleep(roamPatience - time.Second)
		r.wantAt("after a while", netip.MustParseAddrPort("192.0.2.1:3000"))
		time.Sleep(2 * time.Second)
		r.wantAt("never checked", roamedFrom)
	})
}

// TestNobodyRoamsBy what is forged, was seen before, is from another address or is no RTCP;
// nor behind a NAT with many others, nor by guessing.
func TestNobodyRoamsBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		demux := newDemux(t, &script{})
		r := newRoamer(t, demux, "ours")
		seen, forged := r.report(), r.report()
		r.send(seen, roamedFrom)
		forged[len(forged)-6] ^= 1
		elsewhere := netip.MustParseAddrPort("192.0.2.2:2000")
		for _, b := range [][]byte{seen, forged, {0x80, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1}, {22, 0, 0}} {
			r.send(b, roamedTo)
		}
		r.send(r.report(), elsewhere)
		r.wantAt("strangers", roamedFrom)
		if n := demux.Refused(RefusedStranger); n != 5 {
			t.Errorf("%d packets refused, want 5", n)
		}
		for range strayBurst {
			r.send(forged, roamedTo)
		}
		r.send(r.report(), roamedTo)
		r.wantAt("too many guesses", roamedFrom)
		time.Sleep(time.Second)
		others := make([]*roamer, maxNeighbours)
		for i := range others {
			others[i] = newRoamer(t, demux, string(rune('a'+i))+"fth")
		}
		r.send(r.report(), roamedTo)
		r.wantAt("too many neighbours", roamedFrom)
		for _, o := range others {
			o.conn.client.Forget()
		}
		r.send(r.report(), roamedTo)
		r.wantAt("alone again", roamedTo)
		r.conn.client.Forget()
		if len(demux.strays.near) != 0 {
			t.Errorf("%d addresses are left", len(demux.strays.near))
		}
	})
}
