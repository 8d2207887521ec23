package transport

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/pion/dtls/v3"
	"github.com/pion/srtp/v3"
)

// rtcpGuard protects RTCP on its way out, and opens what comes in. Either has one
// user at a time.
type rtcpGuard interface {
	// seal appends the protected compound packet to dst.
	seal(dst, compound []byte) ([]byte, error)
	// open appends the compound packet in b to dst. What is forged or was opened
	// before is an error.
	open(dst, b []byte) ([]byte, error)
}

// What makes an SRTCP packet none.
var (
	errSRTCP   = errors.New("malformed SRTCP packet")
	errReplay  = errors.New("SRTCP packet came before")
	errSources = errors.New("SRTCP from more sources than a client has")
)

// gcmRTCP is SRTCP under AEAD_AES_128_GCM and AEAD_AES_256_GCM: RFC 7714, Section 9.
// pion's needs two ciphers more for each direction, and allocates.
type gcmRTCP struct {
	out, in gcm
	index   uint32       // of the last packet out
	sources []rtcpSource // the first known of them
	known   int
	iv      nonce
	aad     [srtcpClear + srtcpIndex]byte
	inIV    nonce
	inAAD   [srtcpClear + srtcpIndex]byte
}

// rtcpSource is what of an SSRC was opened: RFC 3711, Section 3.3.2.
type rtcpSource struct {
	ssrc, newest uint32
	seen         uint64 // bit i: newest - i
}

const (
	// maxSources bounds the SSRCs that a viewer sends RTCP from: one for each
	// section, or the same for all. A publisher has one for each source of media.
	maxSources = 16
	srtcpClear = 8       // header and SSRC, which are not encrypted
	srtcpIndex = 4       // with the E flag
	srtcpE     = 1 << 31 // encrypted
)

// Labels of the key derivation: RFC 3711, Section 4.3.2.
const (
	labelRTCPEncryption = 0x03
	labelRTCPSalt       = 0x05
)

func newGCMRTCP(outKey, outSalt, inKey, inSalt []byte, sources int) (*gcmRTCP, error) {
	g := &gcmRTCP{sources: make([]rtcpSource, sources)}
	for _, d := range []struct {
		key, salt []byte
		to        *gcm
	}{{outKey, outSalt, &g.out}, {inKey, inSalt, &g.in}} {
		key, err := derive(d.key, d.salt, labelRTCPEncryption, len(d.key))
		if err != nil {
			return nil, err
		}
		salt, err := derive(d.key, d.salt, labelRTCPSalt, len(d.to.salt))
		if err != nil {
			return nil, err
		}
		copy(d.to.salt[:], salt)
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, err
		}
		if d.to.aead, err = cipher.NewGCM(block); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// rtcpIV is that of RFC 7714, Section 9.1: 00 00 SSRC 00 00 index, exclusive or the
// salt.
func (g *gcm) rtcpIV(iv *nonce, ssrc []byte, index uint32) {
	*iv = nonce{}
	copy(iv[2:], ssrc)
	binary.BigEndian.PutUint32(iv[8:], index)
	for i := range iv {
		iv[i] ^= g.salt[i]
	}
}

func (g *gcmRTCP) seal(dst, compound []byte) ([]byte, error) {
	if len(compound) < srtcpClear {
		return dst, errSRTCP
	}
	g.index++
	if g.index >= srtcpE {
		return dst, errors.New("all SRTCP indices are used up") // after 68 years of one a second
	}
	g.out.rtcpIV(&g.iv, compound[4:srtcpClear], g.index)
	copy(g.aad[:], compound[:srtcpClear])
	binary.BigEndian.PutUint32(g.aad[srtcpClear:], srtcpE|g.index)
	dst = append(dst, compound[:srtcpClear]...)
	dst = g.out.aead.Seal(dst, g.iv[:], compound[srtcpClear:], g.aad[:])
	return append(dst, g.aad[srtcpClear:]...), nil
}

func (g *gcmRTCP) open(dst, b []byte) ([]byte, error) {
	end := len(b) - srtcpIndex
	if end < srtcpClear+gcmOverhead {
		return dst, errSRTCP
	}
	word := binary.BigEndian.Uint32(b[end:])
	index := word &^ srtcpE
	if word&srtcpE == 0 {
		return dst, errSRTCP // clients that negotiate GCM encrypt
	}
	s, err := g.source(binary.BigEndian.Uint32(b[4:]))
	if err != nil {
		return dst, err
	}
	if s.before(index) {
		return dst, errReplay
	}
	g.in.rtcpIV(&g.inIV, b[4:srtcpClear], index)
	copy(g.inAAD[:], b[:srtcpClear])
	copy(g.inAAD[srtcpClear:], b[end:])
	out := append(dst, b[:srtcpClear]...)
	if out, err = g.in.aead.Open(out, g.inIV[:], b[srtcpClear:end], g.inAAD[:]); err != nil {
		return dst, err
	}
	s.note(index)
	if g.known < len(g.sources) && s == &g.sources[g.known] { // its first
		g.known++
	}
	return out, nil
}

// source finds what is known of an SSRC, or a place for it, which counts once a packet
// of it has been opened.
func (g *gcmRTCP) source(ssrc uint32) (*rtcpSource, error) {
	for i := range g.known {
		if g.sources[i].ssrc == ssrc {
			return &g.sources[i], nil
		}
	}
	if g.known == len(g.sources) {
		return nil, errSources
	}
	s := &g.sources[g.known]
	*s = rtcpSource{ssrc: ssrc}
	return s, nil
}

// before reports whether an index was noted, or is too old to tell.
func (s *rtcpSource) before(index uint32) bool {
	if s.seen == 0 || index > s.newest {
		return false
	}
	back := s.newest - index
	return back >= 64 || s.seen>>back&1 != 0
}

func (s *rtcpSource) note(index uint32) {
	if s.seen == 0 || index > s.newest {
		s.seen = s.seen<<(index-s.newest) | 1 // a shift by 64 or more leaves nothing
		s.newest = index
		return
	}
	s.seen |= 1 << (s.newest - index)
}

// pionRTCP is every other profile.
type pionRTCP struct {
	out, in *srtp.Context
	sources map[uint32]bool // that something was opened of: in never forgets one
	most    int
}

func (p *pionRTCP) seal(dst, compound []byte) ([]byte, error) {
	return p.out.EncryptRTCP(dst, compound, nil)
}

func (p *pionRTCP) open(dst, b []byte) ([]byte, error) {
	if len(b) < srtcpClear {
		return dst, errSRTCP
	}
	ssrc := binary.BigEndian.Uint32(b[4:])
	if !p.sources[ssrc] && len(p.sources) == p.most {
		return dst, errSources
	}
	out, err := p.in.DecryptRTCP(dst, b, nil)
	if err != nil {
		return dst, err
	}
	p.sources[ssrc] = true
	return out, nil
}

// newRTCPGuard returns the protection of RTCP under a profile, with a client that sends
// it from so many sources at the most.
func newRTCPGuard(profile dtls.SRTPProtectionProfile, k *srtp.SessionKeys, sources int) (rtcpGuard, error) {
	if profile == dtls.SRTP_AEAD_AES_128_GCM || profile == dtls.SRTP_AEAD_AES_256_GCM {
		return newGCMRTCP(k.LocalMasterKey, k.LocalMasterSalt, k.RemoteMasterKey, k.RemoteMasterSalt, sources)
	}
	out, err := srtp.CreateContext(k.LocalMasterKey, k.LocalMasterSalt, srtp.ProtectionProfile(profile))
	if err != nil {
		return nil, fmt.Errorf("SRTCP: %w", err)
	}
	in, err := srtp.CreateContext(k.RemoteMasterKey, k.RemoteMasterSalt, srtp.ProtectionProfile(profile),
		srtp.SRTCPReplayProtection(replayWindow))
	if err != nil {
		return nil, fmt.Errorf("SRTCP: %w", err)
	}
	return &pionRTCP{out: out, in: in, sources: map[uint32]bool{}, most: sources}, nil
}

const replayWindow = 64
