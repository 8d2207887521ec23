package transport

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/pion/dtls/v3"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
)

// TestSeal opens with pion's context what our sealers have closed, across the
// wrap of the sequence number and two of the roll-over counter's steps, with
// header extensions, and into a buffer that holds packets already.
func TestSeal(t *testing.T) {
	for _, profile := range []dtls.SRTPProtectionProfile{
		dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AEAD_AES_256_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80,
	} {
		rng := rand.New(rand.NewPCG(1, uint64(profile)))
		p := srtp.ProtectionProfile(profile)
		keyLen, err := p.KeyLen()
		if err != nil {
			t.Fatal(err)
		}
		saltLen, err := p.SaltLen()
		if err != nil {
			t.Fatal(err)
		}
		key, salt := randomBytes(rng, keyLen), randomBytes(rng, saltLen)
		s, err := newSealer(profile, key, salt)
		if err != nil {
			t.Fatal(err)
		}
		receiver, err := srtp.CreateContext(key, salt, p)
		if err != nil {
			t.Fatal(err)
		}
		buf := append(make([]byte, 0, 4096), "before"...)
		const first, ssrc = 65_000, 0xCAFE0001
		for index := uint64(first); index < first+3*65_536; index += 1 + uint64(rng.IntN(50)) {
			h := rtp.Header{Version: 2, PayloadType: 96, SSRC: ssrc, SequenceNumber: uint16(index), Timestamp: rng.Uint32()}
			if rng.IntN(2) == 0 {
				if err := h.SetExtension(3, randomBytes(rng, 8)); err != nil {
					t.Fatal(err)
				}
			}
			header, err := h.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			payload := randomBytes(rng, 1+rng.IntN(1200))
			out, err := s.seal(buf, header, payload, ssrc, index, new(nonce))
			if err != nil {
				t.Fatal(err)
			}
			if got := len(out) - len(buf); got != len(header)+len(payload)+s.overhead() {
				t.Fatalf("%v: a packet of %d bytes grew to %d", profile, len(header)+len(payload), got)
			}
			plain, err := receiver.DecryptRTP(nil, out[len(buf):], nil)
			if err != nil {
				t.Fatalf("%v: packet %d: %v", profile, index, err)
			}
			if !bytes.Equal(plain, append(header, payload...)) || string(out[:6]) != "before" {
				t.Fatalf("%v: packet %d came out as another", profile, index)
			}
		}
	}
}

func TestSealRefusesUnknownProfile(t *testing.T) {
	if _, err := newSealer(dtls.SRTP_NULL_HMAC_SHA1_80, make([]byte, 16), make([]byte, 14)); err == nil {
		t.Error("a profile without encryption was accepted")
	}
}

func randomBytes(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

func BenchmarkSeal(b *testing.B) {
	s, err := newSealer(dtls.SRTP_AEAD_AES_128_GCM, make([]byte, 16), make([]byte, 12))
	if err != nil {
		b.Fatal(err)
	}
	header, payload := make([]byte, 12), make([]byte, 1160)
	buf := make([]byte, 0, 2048)
	b.ReportAllocs()
	var index uint64
	iv := new(nonce)
	for b.Loop() {
		index++
		if _, err := s.seal(buf, header, payload, 1, index, iv); err != nil {
			b.Fatal(err)
		}
	}
}
