package transport

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // RFC 3711, Section 4.2.1: what AES_CM_128_HMAC_SHA1_80 is
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"

	"github.com/pion/dtls/v3"

	"trellis/edge/rtc/packet"
)

// opener takes the protection off RTP packets. It has one user at a time.
type opener interface {
	// open opens a packet in place and returns its payload: header and payload follow
	// one another in b. index is the extended sequence number: RFC 3711, Section
	// 3.3.1. What is forged is an error, and b is spoilt then.
	open(b []byte, header int, ssrc uint32, index uint64) (payload []byte, err error)
}

// ErrSources is why a Conn ends whose client sends media from ever more SSRCs: three
// layers with retransmissions, sound, and what they become when cameras change. Beyond
// that they cost memory that nothing gives back before the Conn ends.
var ErrSources = fmt.Errorf("media from more than %d sources", maxMediaSources)

const maxMediaSources = 64

var errForged = errors.New("not protected by the client's keys")

// mediaGuard opens what a client sends as media, each packet once. It has one user at a
// time.
type mediaGuard struct {
	opener
	sources []*mediaSource
	fresh   mediaSource // of an SSRC of which nothing has been opened
}

// open opens a packet in place, or says why it is not taken. full: it is genuine, and of
// one source too many.
func (g *mediaGuard) open(b []byte, h *packet.Header) (payload []byte, why Refusal, full bool) {
	s := g.source(h.SSRC)
	if s == nil {
		g.fresh = mediaSource{ssrc: h.SSRC}
		s, full = &g.fresh, len(g.sources) == maxMediaSources
	}
	index, ok := s.index(h.Seq)
	if !ok {
		return nil, RefusedReplayed, false
	}
	payload, err := g.opener.open(b, h.Size, h.SSRC, index)
	switch {
	case err != nil:
		return nil, RefusedForged, false
	case full:
		return nil, RefusedSource, true
	case s == &g.fresh:
		known := g.fresh
		s = &known
		g.sources = append(g.sources, s)
	}
	s.note(index)
	return payload, NumRefusals, false
}

// source finds what is known of an SSRC, nil for nothing. There are a handful.
func (g *mediaGuard) source(ssrc uint32) *mediaSource {
	for _, s := range g.sources {
		if s.ssrc == ssrc {
			return s
		}
	}
	return nil
}

// mediaSource is what of an SSRC was opened: RFC 3711, Sections 3.3.1 and 3.3.2.
type mediaSource struct {
	ssrc   uint32
	begun  bool
	newest uint64                     // index of a packet
	seen   [replayPackets / 64]uint64 // bit i: the packet of the window whose index is i modulo its size
}

// replayPackets is how far behind the newest a packet may be: as much as is waited for
// at 40 Mbit/s (framing.Reorder).
const replayPackets = 1024

// index guesses the extended number of a packet. False: it came before, or is too old to
// tell.
func (s *mediaSource) index(seq uint16) (uint64, bool) {
	if !s.begun {
		return uint64(seq), true
	}
	// The nearest to the newest one: RFC 3711, Appendix A.
	index := s.newest + uint64(int64(int16(seq-uint16(s.newest))))
	switch {
	case index >= 1<<48: // before the beginning, or after 2^48 packets
		return 0, false
	case index > s.newest:
		return index, true
	}
	return index, s.newest-index < replayPackets && s.seen[index%replayPackets/64]>>(index%64)&1 == 0
}

// note remembers that a packet was opened.
func (s *mediaSource) note(index uint64) {
	if !s.begun {
		s.begun, s.newest = true, index
	}
	if index > s.newest {
		if index-s.newest >= replayPackets {
			clear(s.seen[:])
		} else {
			for i := s.newest + 1; i < index; i++ {
				s.seen[i%replayPackets/64] &^= 1 << (i % 64)
			}
		}
		s.newest = index
	}
	s.seen[index%replayPackets/64] |= 1 << (index % 64)
}

// newOpener returns the protection of what a client sends under a profile.
func newOpener(profile dtls.SRTPProtectionProfile, key, salt []byte) (opener, error) {
	switch profile {
	case dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AEAD_AES_256_GCM:
		g, err := newGCM(key, salt)
		if err != nil {
			return nil, err
		}
		return &gcmOpener{gcm: g}, nil
	case dtls.SRTP_AES128_CM_HMAC_SHA1_80:
		return newCMOpener(key, salt)
	case dtls.SRTP_AES128_CM_HMAC_SHA1_32, dtls.SRTP_AES256_CM_SHA1_80, dtls.SRTP_AES256_CM_SHA1_32,
		dtls.SRTP_NULL_HMAC_SHA1_80, dtls.SRTP_NULL_HMAC_SHA1_32:
	}
	return nil, fmt.Errorf("SRTP profile %#x is not one that we offer", uint16(profile))
}

// gcmOpener is AEAD_AES_128_GCM and AEAD_AES_256_GCM: RFC 7714, Section 8.
type gcmOpener struct {
	*gcm
	iv nonce
}

func (g *gcmOpener) open(b []byte, header int, ssrc uint32, index uint64) ([]byte, error) {
	g.rtpIV(&g.iv, ssrc, index)
	return g.aead.Open(b[header:header], g.iv[:], b[header:], b[:header])
}

// cmOpener is AES_CM_128_HMAC_SHA1_80: RFC 3711, Sections 4.1.1 and 4.2.1.
type cmOpener struct {
	block cipher.Block
	mac   hash.Hash
	salt  [14]byte

	counter, pad [aes.BlockSize]byte
	roc          [4]byte
	sum          [sha1.Size]byte
}

const cmTag = 10

// labelAuthentication is that of RFC 3711, Section 4.3.2.
const labelAuthentication = 0x01

func newCMOpener(key, salt []byte) (*cmOpener, error) {
	o := &cmOpener{}
	sessionKey, err := derive(key, salt, labelEncryption, len(key))
	if err != nil {
		return nil, err
	}
	sessionSalt, err := derive(key, salt, labelSalt, len(o.salt))
	if err != nil {
		return nil, err
	}
	copy(o.salt[:], sessionSalt)
	authentication, err := derive(key, salt, labelAuthentication, sha1.Size)
	if err != nil {
		return nil, err
	}
	o.mac = hmac.New(sha1.New, authentication)
	if o.block, err = aes.NewCipher(sessionKey); err != nil {
		return nil, err
	}
	return o, nil
}

func (o *cmOpener) open(b []byte, header int, ssrc uint32, index uint64) ([]byte, error) {
	end := len(b) - cmTag
	if end < header {
		return nil, errForged
	}
	binary.BigEndian.PutUint32(o.roc[:], uint32(index>>16))
	o.mac.Reset()
	o.mac.Write(b[:end])
	o.mac.Write(o.roc[:])
	if subtle.ConstantTimeCompare(o.mac.Sum(o.sum[:0])[:cmTag], b[end:]) != 1 {
		return nil, errForged
	}
	// RFC 3711, Section 4.1.1: salt * 2^16, exclusive or SSRC * 2^64, exclusive or index * 2^16.
	o.counter = [aes.BlockSize]byte{}
	copy(o.counter[:], o.salt[:])
	for i := range 4 {
		o.counter[4+i] ^= byte(ssrc >> (24 - 8*i))
	}
	for i := range 6 {
		o.counter[8+i] ^= byte(index >> (40 - 8*i))
	}
	payload := b[header:end]
	for i, block := 0, uint16(0); i < len(payload); i, block = i+aes.BlockSize, block+1 {
		binary.BigEndian.PutUint16(o.counter[14:], block)
		o.block.Encrypt(o.pad[:], o.counter[:])
		subtle.XORBytes(payload[i:], payload[i:], o.pad[:min(aes.BlockSize, len(payload)-i)])
	}
	return payload, nil
}
