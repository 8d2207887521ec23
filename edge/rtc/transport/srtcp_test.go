package transport

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/pion/dtls/v3"
	"github.com/pion/srtp/v3"
)

// TestRTCP: pion opens what we seal and we what pion does, whatever the profile;
// nothing that is forged, cut short or replayed.
func TestRTCP(t *testing.T) {
	for _, profile := range []dtls.SRTPProtectionProfile{
		dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AEAD_AES_256_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80,
	} {
		rng := rand.New(rand.NewPCG(2, uint64(profile)))
		p := srtp.ProtectionProfile(profile)
		keyLen, err := p.KeyLen()
		if err != nil {
			t.Fatal(err)
		}
		saltLen, err := p.SaltLen()
		if err != nil {
			t.Fatal(err)
		}
		k := srtp.SessionKeys{
			LocalMasterKey: randomBytes(rng, keyLen), LocalMasterSalt: randomBytes(rng, saltLen),
			RemoteMasterKey: randomBytes(rng, keyLen), RemoteMasterSalt: randomBytes(rng, saltLen),
		}
		guard, err := newRTCPGuard(profile, &k, maxSources)
		if err != nil {
			t.Fatal(err)
		}
		opens, err := srtp.CreateContext(k.LocalMasterKey, k.LocalMasterSalt, p)
		if err != nil {
			t.Fatal(err)
		}
		seals, err := srtp.CreateContext(k.RemoteMasterKey, k.RemoteMasterSalt, p)
		if err != nil {
			t.Fatal(err)
		}
		var held [][]byte
		for i := range 300 {
			plain := append([]byte{0x80, 200, 0, 6, 0, 0, 0, byte(i % 3)}, randomBytes(rng, 4*rng.IntN(20))...)
			sealed, err := guard.seal(nil, plain)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := opens.DecryptRTCP(nil, sealed, nil); err != nil || !bytes.Equal(got, plain) {
				t.Fatalf("%v: packet %d comes out as %x, %v", profile, i, got, err)
			}
			if sealed, err = seals.EncryptRTCP(nil, plain, nil); err != nil {
				t.Fatal(err)
			}
			forged := bytes.Clone(sealed)
			forged[rng.IntN(len(forged))] ^= 1
			if _, err := guard.open(nil, forged); err == nil {
				t.Fatalf("%v: a forged packet was opened", profile)
			}
			if _, err := guard.open(nil, sealed[:rng.IntN(len(sealed))]); err == nil {
				t.Fatalf("%v: a part of a packet was opened", profile)
			}
			if i%7 == 3 {
				held = append(held, sealed) // it comes late
				continue
			}
			before := []byte("before")
			if got, err := guard.open(before, sealed); profile != dtls.SRTP_AES128_CM_HMAC_SHA1_80 &&
				(err != nil || !bytes.Equal(got, append(before, plain...))) {
				t.Fatalf("%v: packet %d is opened as %x, %v", profile, i, got, err)
			}
			if _, err := guard.open(nil, sealed); err == nil {
				t.Fatalf("%v: packet %d was opened twice", profile, i)
			}
			if len(held) == 2 {
				for _, b := range held {
					if _, err := guard.open(nil, b); err != nil {
						t.Fatalf("%v: a late packet: %v", profile, err)
					}
				}
				held = held[:0]
			}
		}
	}
}

// TestRTCPSources: no client makes us remember ever more SSRCs.
func TestRTCPSources(t *testing.T) {
	key, salt := make([]byte, 16), make([]byte, 12)
	g, err := newGCMRTCP(key, salt, key, salt, maxSources)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 * maxSources {
		sealed, err := g.seal(nil, []byte{0x80, 201, 0, 1, 0, 0, 0, byte(i)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err = g.open(nil, sealed); (err == nil) != (i < maxSources) {
			t.Errorf("source %d: %v", i, err)
		}
		if i == maxSources-1 {
			if _, err := g.open(nil, sealed); !errors.Is(err, errReplay) {
				t.Errorf("the last source's packet again: %v", err)
			}
		}
	}
}
