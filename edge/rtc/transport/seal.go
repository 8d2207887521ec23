package transport

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"reflect"
	"sync"
	"unsafe"

	"github.com/pion/dtls/v3"
	"github.com/pion/srtp/v3"
)

// gcmOverhead is the length of the authentication tag: RFC 7714, Section 5.
const gcmOverhead = 16

// sealer protects RTP packets. It is safe for concurrent use, as long as each
// SSRC has one user.
type sealer interface {
	// seal appends the protected packet of header and payload to dst, which has
	// the room. index is the packet's extended sequence number: RFC 3711, Section
	// 3.3.1. iv is memory to use.
	seal(dst, header, payload []byte, ssrc uint32, index uint64, iv *nonce) ([]byte, error)
	// overhead is by how much a packet grows.
	overhead() int
}

// nonce is memory of the caller's, so that sealing allocates nothing.
type nonce [12]byte

// gcm is AEAD_AES_128_GCM and AEAD_AES_256_GCM: RFC 7714. crypto/cipher's AEAD
// has no state between calls.
type gcm struct {
	aead  cipher.AEAD
	salt  [12]byte
	state []byte // the memory of aead, for Touch: round keys and powers of the hash key
}

// newGCM derives the session keys of the master key: RFC 3711, Section 4.3.
func newGCM(key, salt []byte) (*gcm, error) {
	sessionKey, err := derive(key, salt, labelEncryption, len(key))
	if err != nil {
		return nil, err
	}
	sessionSalt, err := derive(key, salt, labelSalt, 12)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(sessionKey)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	g := &gcm{aead: aead}
	if v := reflect.ValueOf(aead); v.Kind() == reflect.Pointer {
		g.state = unsafe.Slice((*byte)(v.UnsafePointer()), v.Type().Elem().Size())
	}
	copy(g.salt[:], sessionSalt)
	return g, nil
}

// Labels of the key derivation: RFC 3711, Section 4.3.2.
const (
	labelEncryption = 0x00
	labelSalt       = 0x02
)

// derive is the AES-CM pseudo-random function of RFC 3711, Section 4.3.3, with a
// key derivation rate of zero. A salt of 12 bytes is padded: RFC 7714, Section 11.
func derive(key, salt []byte, label byte, n int) ([]byte, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("SRTP master key: %w", err)
	}
	var iv [16]byte
	copy(iv[:14], salt)
	iv[7] ^= label
	out := make([]byte, (n+15)/16*16)
	for i := range len(out) / 16 {
		binary.BigEndian.PutUint16(iv[14:], uint16(i))
		block.Encrypt(out[i*16:], iv[:])
	}
	return out[:n], nil
}

func (g *gcm) seal(dst, header, payload []byte, ssrc uint32, index uint64, iv *nonce) ([]byte, error) {
	g.rtpIV(iv, ssrc, index)
	dst = append(dst, header...)
	return g.aead.Seal(dst, iv[:], payload, header), nil
}

func (g *gcm) overhead() int { return gcmOverhead }

// rtpIV is that of RFC 7714, Section 8.1: 00 00 SSRC ROC SEQ, exclusive or the salt.
func (g *gcm) rtpIV(iv *nonce, ssrc uint32, index uint64) {
	iv[0], iv[1] = 0, 0
	binary.BigEndian.PutUint32(iv[2:], ssrc)
	binary.BigEndian.PutUint32(iv[6:], uint32(index>>16))
	binary.BigEndian.PutUint16(iv[10:], uint16(index))
	for i := range iv {
		iv[i] ^= g.salt[i]
	}
}

// legacy is every other profile, by pion's context, which allows one user at a time.
type legacy struct {
	mu      sync.Mutex
	ctx     *srtp.Context
	scratch []byte
	tag     int
}

// seal leaves the roll-over counter to pion, which counts it from the first packet of each SSRC as we do.
func (l *legacy) seal(dst, header, payload []byte, _ uint32, _ uint64, _ *nonce) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.scratch = append(append(l.scratch[:0], header...), payload...)
	n := len(dst)
	out, err := l.ctx.EncryptRTP(dst[n:n:cap(dst)], l.scratch, nil)
	if err != nil {
		return dst, err
	}
	return append(dst, out...), nil // in place, where it fits
}

func (l *legacy) overhead() int { return l.tag }

// newSealer returns the protection of what we send under a profile.
func newSealer(profile dtls.SRTPProtectionProfile, key, salt []byte) (sealer, error) {
	switch profile {
	case dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AEAD_AES_256_GCM:
		return newGCM(key, salt)
	case dtls.SRTP_AES128_CM_HMAC_SHA1_80:
		ctx, err := srtp.CreateContext(key, salt, srtp.ProtectionProfileAes128CmHmacSha1_80)
		if err != nil {
			return nil, fmt.Errorf("SRTP context: %w", err)
		}
		return &legacy{ctx: ctx, tag: 10}, nil
	case dtls.SRTP_AES128_CM_HMAC_SHA1_32, dtls.SRTP_AES256_CM_SHA1_80, dtls.SRTP_AES256_CM_SHA1_32,
		dtls.SRTP_NULL_HMAC_SHA1_80, dtls.SRTP_NULL_HMAC_SHA1_32:
	}
	return nil, fmt.Errorf("SRTP profile %#x is not one that we offer", uint16(profile))
}
