package fanout

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/ice/v4"
	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/rtcp"
	"github.com/pion/srtp/v3"
	"github.com/pion/transport/v4/packetio"
)

// counters are what all viewers of a process have received.
type counters struct {
	packets, bytes, lost, frames, opened atomic.Uint64
	streamed                             atomic.Uint64 // bytes on streams

	mu   sync.Mutex
	late *Histogram // since it was last taken
}

// viewer is one WebRTC viewer: real up to the keys, cheap behind them.
type viewer struct {
	all   *counters
	agent *ice.Agent
	conn  *ice.Conn
	in    *srtp.Context
	out   *srtp.Context
	dtls  *dtls.Conn
	mux   ice.UDPMux       // of a socket of its own; nil: the agent's socket
	inbox *packetio.Buffer // DTLS
	keyed chan struct{}    // closed once in and out are there
	plain []byte           // owned by whoever reads media
	begun chan struct{}    // closed with the first packet
	ended chan struct{}    // closed when nothing is read any more

	// What some servers need beyond media. May be nil.
	leave   func() error
	channel func(context.Context, *dtls.Conn) error

	inspect *inspector // opens all packets; nil: some are opened, for the time they bring

	mu       sync.Mutex
	picture  uint8          // payload type
	arrivals *twcc.Recorder // nil unless the arrival of all packets is reported
	streams  map[uint32]*inbound
}

// inbound is one SSRC, as its receiver reports it (RFC 3550, Section 6.4.1).
type inbound struct {
	first, last uint16
	cycles      uint32
	received    uint32
	video       bool
	fresh       bool      // the next packet begins a frame
	sampled     uint32    // frames since one was opened
	due         time.Time // of the frame that is on; zero: not opened
}

const (
	videoType = 96
	audioType = 97
	rtxType   = 98
	// openEvery is of how many frames one is opened to see when it was due.
	openEvery = 4
	mtu       = 1600
)

// identity is a certificate with its fingerprint (RFC 8122, Section 5).
type identity struct {
	cert        tls.Certificate
	fingerprint string
}

// join opens a session and returns when packets come. What inspects them may be nil.
func join(ctx context.Context, d door, number int, id identity, cfg Load, all *counters, inspect *inspector) (*viewer, error) {
	v := &viewer{
		all: all, inspect: inspect, picture: videoType, streams: map[uint32]*inbound{}, begun: make(chan struct{}), ended: make(chan struct{}),
		inbox: packetio.NewBuffer(), keyed: make(chan struct{}), plain: make([]byte, 0, mtu),
	}
	if cfg.Arrivals {
		v.arrivals = twcc.NewRecorder(1)
	}
	opts := []ice.AgentOption{
		ice.WithCandidateTypes([]ice.CandidateType{ice.CandidateTypeHost}), ice.WithNetworkTypes([]ice.NetworkType{ice.NetworkTypeUDP4}),
		ice.WithIncludeLoopback(), ice.WithIPFilter(func(ip net.IP) (keep bool) { return ip.IsLoopback() }),
		ice.WithMulticastDNSMode(ice.MulticastDNSModeDisabled),
	}
	var err error
	switch {
	case cfg.Light:
		v.mux, err = tapped(cfg.GRO, v.media)
	case cfg.GRO:
		v.mux, err = tapped(true, func([]byte) bool { return false })
	}
	if err != nil {
		return nil, err
	}
	if v.mux != nil {
		opts = append(opts, ice.WithUDPMux(v.mux))
	}
	if v.agent, err = ice.NewAgentWithOptions(opts...); err != nil {
		if v.mux != nil {
			err = errors.Join(err, v.mux.Close())
		}
		return nil, err
	}
	if err := v.connect(ctx, d, number, id); err != nil {
		return nil, errors.Join(err, v.close())
	}
	select {
	case <-v.begun:
		return v, nil
	case <-ctx.Done():
		return nil, errors.Join(errors.New("connected, but no packet came"), v.close())
	}
}

func (v *viewer) connect(ctx context.Context, d door, number int, id identity) error {
	us, err := v.gather(ctx)
	if err != nil {
		return err
	}
	us.fingerprint = id.fingerprint
	answer, err := d.enter(ctx, v, number, us)
	if err != nil {
		return err
	}
	for _, c := range answer.candidates {
		if err := v.reach(c); err != nil {
			return err
		}
	}
	if v.conn, err = v.agent.Dial(ctx, answer.ufrag, answer.pwd); err != nil {
		return fmt.Errorf("ICE: %w", err)
	}
	go v.read()
	if v.dtls, err = dtls.ClientWithOptions(&dtlsPipe{v.inbox, v.conn}, v.conn.RemoteAddr(),
		dtls.WithCertificates(id.cert), dtls.WithInsecureSkipVerify(true), // both ends are ours
		dtls.WithSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM),
		dtls.WithExtendedMasterSecret(dtls.RequireExtendedMasterSecret),
	); err != nil {
		return fmt.Errorf("DTLS: %w", err)
	}
	if err := v.dtls.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("DTLS: %w", err)
	}
	profile, ok := v.dtls.SelectedSRTPProtectionProfile()
	state, known := v.dtls.ConnectionState()
	if !ok || !known {
		return errors.New("DTLS: no SRTP profile")
	}
	cfg := srtp.Config{Profile: srtp.ProtectionProfile(profile)}
	if err := cfg.ExtractSessionKeysFromDTLS(&state, true); err != nil {
		return err
	}
	if v.in, err = srtp.CreateContext(cfg.Keys.RemoteMasterKey, cfg.Keys.RemoteMasterSalt, cfg.Profile); err != nil {
		return err
	}
	if v.out, err = srtp.CreateContext(cfg.Keys.LocalMasterKey, cfg.Keys.LocalMasterSalt, cfg.Profile); err != nil {
		return err
	}
	close(v.keyed)
	if v.channel != nil {
		return v.channel(ctx, v.dtls)
	}
	return nil
}

// reach adds a candidate of the server.
func (v *viewer) reach(candidate string) error {
	remote, err := ice.UnmarshalCandidate(candidate)
	if err != nil || remote.NetworkType() != ice.NetworkTypeUDP4 {
		return nil //nolint:nilerr // TCP, IPv6, or what we do not know
	}
	return v.agent.AddRemoteCandidate(remote)
}

// local is our side of the transport.
type local struct {
	ufrag, pwd, fingerprint string
	candidates              []string
}

func (v *viewer) gather(ctx context.Context) (l local, err error) {
	done := make(chan struct{})
	if err := v.agent.OnCandidate(func(c ice.Candidate) {
		if c == nil {
			close(done)
			return
		}
		l.candidates = append(l.candidates, c.Marshal())
	}); err != nil {
		return l, err
	}
	if err := v.agent.GatherCandidates(); err != nil {
		return l, err
	}
	select {
	case <-done:
	case <-ctx.Done():
		return l, context.Cause(ctx)
	}
	l.ufrag, l.pwd, err = v.agent.GetLocalUserCredentials()
	return l, err
}

// dtlsPipe is where DTLS reads what read has sorted out, and writes to the peer.
type dtlsPipe struct {
	*packetio.Buffer

	conn *ice.Conn
}

// ReadFrom implements net.PacketConn.
func (p *dtlsPipe) ReadFrom(b []byte) (int, net.Addr, error) {
	n, err := p.Read(b)
	return n, p.conn.RemoteAddr(), err
}

// WriteTo implements net.PacketConn.
func (p *dtlsPipe) WriteTo(b []byte, _ net.Addr) (int, error) { return p.conn.Write(b) }

// LocalAddr implements net.PacketConn.
func (p *dtlsPipe) LocalAddr() net.Addr { return p.conn.LocalAddr() }

// SetDeadline implements net.PacketConn.
func (p *dtlsPipe) SetDeadline(t time.Time) error { return p.SetReadDeadline(t) }

// SetWriteDeadline implements net.PacketConn: nothing waits to be written.
func (p *dtlsPipe) SetWriteDeadline(time.Time) error { return nil }

// media takes a packet that the socket has read, if it is RTP (RFC 7983, Section 7, and
// RFC 5761, Section 4).
func (v *viewer) media(b []byte) bool {
	if len(b) < 12 || b[0] < 128 || b[0] > 191 {
		return false
	}
	if b[1] >= 192 && b[1] <= 223 {
		return true // RTCP, which nobody reads
	}
	select {
	case <-v.keyed:
		v.rtp(b, v.plain, time.Now())
	default: // came before the end of the handshake
	}
	return true
}

// read takes what comes by way of the agent: DTLS, and media unless the socket's reader
// has that.
func (v *viewer) read() {
	defer close(v.ended)
	buf := make([]byte, mtu)
	for {
		n, err := v.conn.Read(buf)
		if err != nil {
			return
		}
		if n > 0 && buf[0] >= 20 && buf[0] <= 63 {
			_, _ = v.inbox.Write(buf[:n]) // a full buffer loses a packet, as networks do
			continue
		}
		v.media(buf[:n])
	}
}

// rtp looks at a packet. Its header is in the clear.
func (v *viewer) rtp(b, plain []byte, now time.Time) {
	v.all.packets.Add(1)
	v.all.bytes.Add(uint64(len(b)))
	seq, ssrc := binary.BigEndian.Uint16(b[2:]), binary.BigEndian.Uint32(b[8:])
	fate := fateMedia
	if v.inspect != nil {
		fate = v.inspect.packet(v.in, b, now)
	}
	if fate == fateLost {
		return
	}
	v.mu.Lock()
	if fate == fateRepair {
		v.arrived(ssrc, b, now)
		v.mu.Unlock()
		return
	}
	s := v.streams[ssrc]
	if s == nil {
		s = &inbound{first: seq, last: seq - 1, video: b[1]&0x7f == v.picture}
		v.streams[ssrc] = s
	}
	step := seq - s.last
	if step == 0 || step >= 1<<15 {
		v.mu.Unlock()
		return // again, or late: it was counted as lost
	}
	if seq < s.last {
		s.cycles++
	}
	s.last = seq
	s.received++
	v.arrived(ssrc, b, now)
	v.mu.Unlock()
	if len(v.streams) == 2 {
		select {
		case <-v.begun:
		default:
			close(v.begun)
		}
	}
	if step > 1 {
		v.all.lost.Add(uint64(step - 1))
		s.fresh, s.due = false, time.Time{}
	}
	if s.video && v.inspect == nil {
		v.frame(s, b, plain, now)
	}
}

// arrived notes when a packet came, for the next feedback. It is called with mu held.
func (v *viewer) arrived(ssrc uint32, b []byte, now time.Time) {
	if v.arrivals == nil {
		return
	}
	if n, ok := arrivalSeq(b); ok {
		v.arrivals.Record(ssrc, n, now.UnixMicro())
	}
}

// frame follows the frames of a picture: the marker bit ends one (RFC 7741,
// Section 4.1).
func (v *viewer) frame(s *inbound, b, plain []byte, now time.Time) {
	if s.fresh {
		s.due = time.Time{}
		if s.sampled++; s.sampled >= openEvery {
			s.sampled = 0
			if p, err := v.in.DecryptRTP(plain[:0], b, nil); err == nil {
				v.all.opened.Add(1)
				if due, ok := dueOf(p[12:]); ok {
					s.due = due
				}
			}
		}
	}
	s.fresh = b[1]&0x80 != 0
	if !s.fresh {
		return
	}
	v.all.frames.Add(1)
	if !s.due.IsZero() {
		v.all.mu.Lock()
		v.all.late.Add(now.Sub(s.due))
		v.all.mu.Unlock()
	}
}

// arrivalID is the id of the transport-wide sequence number in the header.
const arrivalID = 3

// arrivalSeq reads that number: RFC 8285, Section 4.2.
func arrivalSeq(b []byte) (uint16, bool) {
	if b[0]&0x10 == 0 || len(b) < 16 || binary.BigEndian.Uint16(b[12:]) != 0xbede {
		return 0, false
	}
	ext := b[16:min(len(b), 16+4*int(binary.BigEndian.Uint16(b[14:])))]
	for len(ext) >= 3 {
		id, size := ext[0]>>4, int(ext[0]&0x0f)+1
		if id == arrivalID && size == 2 {
			return binary.BigEndian.Uint16(ext[1:]), true
		}
		if ext[0] == 0 { // padding
			size = 0
		}
		ext = ext[min(1+size, len(ext)):]
	}
	return 0, false
}

// feedback reports what has arrived when, as browsers do all the time.
func (v *viewer) feedback() error {
	if v.arrivals == nil {
		return nil
	}
	v.mu.Lock()
	packets := v.arrivals.BuildFeedbackPacket()
	v.mu.Unlock()
	for _, p := range packets {
		raw, err := p.Marshal()
		if err != nil {
			return err
		}
		if err := v.send(raw); err != nil {
			return err
		}
	}
	return nil
}

// report sends a receiver report.
func (v *viewer) report() error {
	v.mu.Lock()
	rr := rtcp.ReceiverReport{SSRC: 1}
	for ssrc, s := range v.streams {
		highest := s.cycles<<16 | uint32(s.last)
		expected := highest - uint32(s.first) + 1
		rr.Reports = append(rr.Reports, rtcp.ReceptionReport{
			SSRC: ssrc, LastSequenceNumber: highest, TotalLost: min(expected-min(s.received, expected), 1<<23-1),
		})
	}
	v.mu.Unlock()
	raw, err := rr.Marshal()
	if err != nil {
		return err
	}
	return v.send(raw)
}

// send protects an RTCP packet and sends it.
func (v *viewer) send(raw []byte) error {
	sealed, err := v.out.EncryptRTCP(nil, raw, nil)
	if err != nil {
		return err
	}
	_, err = v.conn.Write(sealed)
	return err
}

func (v *viewer) close() error {
	var errs []error
	if v.leave != nil {
		errs = append(errs, v.leave())
	}
	if v.dtls != nil {
		errs = append(errs, v.dtls.Close())
	}
	return errors.Join(append(errs, v.vanish())...)
}

// vanish closes what there is here and says nothing to the server.
func (v *viewer) vanish() error {
	errs := []error{v.agent.Close(), v.inbox.Close()}
	if v.mux != nil {
		errs = append(errs, v.mux.Close())
	}
	if v.conn != nil {
		<-v.ended
	}
	if v.dtls != nil {
		_ = v.dtls.Close() // its alert has no way out any more
	}
	return errors.Join(errs...)
}
