package transport

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/srtp/v3"

	"trellis/edge/rtc/packet"
)

var mediaProfiles = []dtls.SRTPProtectionProfile{
	dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AEAD_AES_256_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80,
}

// mediaPair is pion sealing and us opening.
type mediaPair struct {
	tb    testing.TB
	seals *srtp.Context
	guard *mediaGuard
}

func newMediaPair(tb testing.TB, profile dtls.SRTPProtectionProfile) *mediaPair {
	tb.Helper()
	p := srtp.ProtectionProfile(profile)
	keyLen, err := p.KeyLen()
	if err != nil {
		tb.Fatal(err)
	}
	saltLen, err := p.SaltLen()
	if err != nil {
		tb.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(3, uint64(profile)))
	key, salt := randomBytes(rng, keyLen), randomBytes(rng, saltLen)
	m := &mediaPair{tb: tb, guard: &mediaGuard{}}
	if m.seals, err = srtp.CreateContext(key, salt, p); err != nil {
		tb.Fatal(err)
	}
	if m.guard.opener, err = newOpener(profile, key, salt); err != nil {
		tb.Fatal(err)
	}
	return m
}

// plain is a packet whose payload says which it is.
func plainPacket(ssrc uint32, seq uint16, payload []byte) []byte {
	b := []byte{0x90, 96, byte(seq >> 8), byte(seq), 0, 0, 0, 0}
	b = binary.BigEndian.AppendUint32(b, ssrc)
	b = append(b, 0xbe, 0xde, 0, 1, 0x10, 'm', 0, 0)
	return append(b, payload...)
}

func (m *mediaPair) seal(plain []byte) []byte {
	m.tb.Helper()
	b, err := m.seals.EncryptRTP(nil, plain, nil)
	if err != nil {
		m.tb.Fatal(err)
	}
	return b
}

// open opens a copy of a packet.
func (m *mediaPair) open(b []byte) ([]byte, Refusal) {
	b = bytes.Clone(b)
	h, err := packet.ParseHeader(b)
	if err != nil {
		return nil, RefusedKind
	}
	payload, why, _ := m.guard.open(b, &h)
	return payload, why
}

// TestOpen: what pion seals is opened, once, through wraps of the sequence number and in
// any order within the window; nothing that is forged or cut short.
func TestOpen(t *testing.T) {
	for _, profile := range mediaProfiles {
		m := newMediaPair(t, profile)
		rng := rand.New(rand.NewPCG(4, uint64(profile)))
		type late struct{ sealed, payload []byte }
		var held []late
		opened, seq := 0, uint16(65_000)
		const packets = 200_000 // three times around
		for i := range packets {
			payload := randomBytes(rng, rng.IntN(40))
			sealed := m.seal(plainPacket(7, seq, payload))
			seq++
			if i%500 == 0 {
				forged := bytes.Clone(sealed)
				forged[rng.IntN(len(forged)-8)+8] ^= 1 << rng.IntN(8)
				if _, why := m.open(forged); why == NumRefusals {
					t.Fatalf("%v: a forged packet was opened", profile)
				}
				if _, why := m.open(sealed[:rng.IntN(len(sealed))]); why == NumRefusals {
					t.Fatalf("%v: a part of a packet was opened", profile)
				}
			}
			switch {
			case i%97 == 50:
				held = append(held, late{sealed, payload})
				continue
			case i%20_000 == 10_000: // a pause, as of a muted camera
				for range 30_000 {
					seq++
				}
			}
			if got, why := m.open(sealed); why != NumRefusals || !bytes.Equal(got, payload) {
				t.Fatalf("%v: packet %d: %v, %x, want %x", profile, i, why, got, payload)
			}
			opened++
			if _, why := m.open(sealed); why != RefusedReplayed {
				t.Fatalf("%v: packet %d came twice: %v", profile, i, why)
			}
			if len(held) == 5 && i%20_000 < 10_000 {
				for j := range held {
					l := held[len(held)-1-j]
					if got, why := m.open(l.sealed); why != NumRefusals || !bytes.Equal(got, l.payload) {
						t.Fatalf("%v: late before packet %d: %v, %x, want %x", profile, i, why, got, l.payload)
					}
					if _, why := m.open(l.sealed); why != RefusedReplayed {
						t.Fatalf("%v: late before packet %d came twice: %v", profile, i, why)
					}
				}
				held = held[:0]
			}
		}
		if opened < packets*9/10 || len(m.guard.sources) != 1 {
			t.Errorf("%v: %d of %d opened, of %d sources", profile, opened, packets, len(m.guard.sources))
		}
	}
}

// TestOpenIsBounded: forged packets make no source known, and genuine ones so many.
func TestOpenIsBounded(t *testing.T) {
	m := newMediaPair(t, dtls.SRTP_AEAD_AES_128_GCM)
	for ssrc := range uint32(1000) {
		if _, why := m.open(append(plainPacket(ssrc, 1, nil), make([]byte, 40)...)); why != RefusedForged {
			t.Fatal(why)
		}
	}
	if n := len(m.guard.sources); n != 0 {
		t.Errorf("%d sources of forged packets", n)
	}
	for ssrc := range uint32(maxMediaSources) {
		if _, why := m.open(m.seal(plainPacket(ssrc, 1, nil))); why != NumRefusals {
			t.Fatal(why)
		}
	}
	forged := append(plainPacket(maxMediaSources, 1, nil), make([]byte, 40)...)
	h, err := packet.ParseHeader(forged)
	if err != nil {
		t.Fatal(err)
	}
	if _, why, full := m.guard.open(forged, &h); full || why != RefusedForged {
		t.Errorf("a forged packet of one more: %v", why)
	}
	genuine := m.seal(plainPacket(maxMediaSources, 1, nil))
	if h, err = packet.ParseHeader(genuine); err != nil {
		t.Fatal(err)
	}
	if _, why, full := m.guard.open(genuine, &h); !full || why != RefusedSource {
		t.Errorf("a genuine packet of one more: %v", why)
	}
}

// TestReplayWindow: what is as far behind as the window is wide, or twice that, is never
// taken for new.
func TestReplayWindow(t *testing.T) {
	var s mediaSource
	s.note(70_000)
	for _, c := range []struct {
		index uint64
		fresh bool
	}{
		{70_000, false},
		{69_999, true},
		{70_001, true},
		{70_000 - replayPackets + 1, true},
		{70_000 - replayPackets, false},
		{70_000 - 20_000, false},
		{70_000 + 30_000, true},
	} {
		if got, ok := s.index(uint16(c.index)); ok != c.fresh || ok && got != c.index {
			t.Errorf("%d: %d, %v", c.index, got, ok)
		}
	}
	s.note(70_000 + 5*replayPackets)
	if _, ok := s.index(uint16((70_000 + 4*replayPackets + 1) % (1 << 16))); !ok {
		t.Error("what was skipped counts as having come")
	}
	var first mediaSource
	first.note(3)
	if _, ok := first.index(65_535); ok {
		t.Error("there is a packet before the first of all")
	}
}

// TestMediaAndReports: media that is there before the keys waits for them, in order; a
// client that has no reason to send any is not heard.
func TestMediaAndReports(t *testing.T) {
	m := newMediaPair(t, dtls.SRTP_AEAD_AES_128_GCM)
	c := newConn(&Port{cfg: Config{Demux: newDemux(t, nil), Silence: time.Second}}, nil)
	var got []uint16
	c.in.begin(newPipe(), Handler{RTP: func(p packet.Packet) { got = append(got, p.Seq) }})
	const total = earlyPackets + 10
	for seq := range uint16(total) {
		c.receive(m.seal(plainPacket(1, seq, []byte("payload"))), time.Now())
	}
	if n := c.Refused(); n != total-earlyPackets || len(got) != 0 {
		t.Errorf("%d refused, %d arrived before there were keys", n, len(got))
	}
	c.unlock(&keys{in: *m.guard})
	c.receive(m.seal(plainPacket(1, total, nil)), time.Now())
	if len(got) != earlyPackets+1 || got[0] != 0 || got[earlyPackets-1] != earlyPackets-1 || got[earlyPackets] != total {
		t.Errorf("%v arrived", got)
	}
	for ssrc := range uint32(maxMediaSources) {
		c.receive(m.seal(plainPacket(100+ssrc, 0, nil)), time.Now())
	}
	if err := c.cause(); !errors.Is(err, ErrSources) {
		t.Errorf("a client with ever more sources goes on: %v", err)
	}
	n := len(got)
	c.in.close()
	c.receive(m.seal(plainPacket(1, total+1, nil)), time.Now())
	if len(got) != n {
		t.Error("something arrived after the end")
	}
}

// TestMediaWork: a client whose packets take long is heard less, and others as before.
func TestMediaWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMediaPair(t, dtls.SRTP_AEAD_AES_128_GCM)
		taken := func(work time.Duration) (n int) {
			c := newConn(&Port{cfg: Config{Demux: newDemux(t, nil), Silence: time.Second}}, nil)
			c.in.begin(newPipe(), Handler{RTP: func(packet.Packet) {
				n++
				time.Sleep(work)
			}})
			c.unlock(&keys{in: mediaGuard{opener: m.guard.opener}})
			began := time.Now()
			for seq := uint16(0); time.Since(began) < 10*time.Second; seq++ {
				c.receive(m.seal(plainPacket(uint32(work), seq, nil)), time.Now())
				time.Sleep(time.Millisecond)
			}
			if n < 9000 && c.refused[RefusedWork].Load() == 0 {
				t.Errorf("%v a packet: %d of them, and none was refused", work, n)
			}
			return n
		}
		if n := taken(3 * time.Microsecond); n < 9900 {
			t.Errorf("%d packets were taken", n)
		}
		// 0.5 s at once, and 0.25 s a second.
		if n := taken(time.Millisecond); n < 2800 || n > 3100 {
			t.Errorf("%d packets of a millisecond were taken in 10 s", n)
		}
	})
}

// FuzzOpen: whatever comes is refused, or it is what was sealed.
func FuzzOpen(f *testing.F) {
	pairs := make([]*mediaPair, len(mediaProfiles))
	for i, p := range mediaProfiles {
		pairs[i] = newMediaPair(f, p)
		f.Add(uint8(i), pairs[i].seal(plainPacket(1, 2, []byte("payload"))))
	}
	f.Fuzz(func(t *testing.T, which uint8, b []byte) {
		m := pairs[int(which)%len(pairs)]
		m.guard.sources = nil
		if got, why := m.open(b); why == NumRefusals && string(got) != "payload" {
			t.Errorf("%x was opened as %x", b, got)
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	for _, profile := range mediaProfiles {
		b.Run(srtp.ProtectionProfile(profile).String(), func(b *testing.B) {
			m := newMediaPair(b, profile)
			sealed := m.seal(plainPacket(1, 1, make([]byte, 1160)))
			buf := make([]byte, len(sealed))
			b.SetBytes(int64(len(sealed)))
			b.ReportAllocs()
			for b.Loop() {
				copy(buf, sealed)
				h, err := packet.ParseHeader(buf)
				if err != nil {
					b.Fatal(err)
				}
				clear(m.guard.sources)
				m.guard.sources = m.guard.sources[:0]
				if _, err := m.guard.opener.open(buf, h.Size, h.SSRC, 1); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkOpenPion is the same with pion's context.
func BenchmarkOpenPion(b *testing.B) {
	for _, profile := range mediaProfiles {
		b.Run(srtp.ProtectionProfile(profile).String(), func(b *testing.B) {
			m := newMediaPair(b, profile)
			p := srtp.ProtectionProfile(profile)
			keyLen, _ := p.KeyLen()
			saltLen, _ := p.SaltLen()
			rng := rand.New(rand.NewPCG(3, uint64(profile)))
			ctx, err := srtp.CreateContext(randomBytes(rng, keyLen), randomBytes(rng, saltLen), p)
			if err != nil {
				b.Fatal(err)
			}
			sealed := m.seal(plainPacket(1, 1, make([]byte, 1160)))
			buf := make([]byte, len(sealed))
			b.SetBytes(int64(len(sealed)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ctx.DecryptRTP(buf[:0], sealed, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
