package livekit

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Transport is one side of an ICE and DTLS session, as a description has it.
type Transport struct {
	Ufrag, Pwd string
	// Fingerprint is "sha-256 AB:CD…".
	Fingerprint string
	// Candidates are without "candidate:".
	Candidates []string
}

// Offered is what is needed of an offer.
type Offered struct {
	Transport
	sections []section
}

type section struct {
	kind    string // of the m line
	mid     string
	payload int // type of VP8 or Opus; -1: neither is offered
}

// Media returns the payload types of the picture and the sound that are offered,
// and false while there is not one of each.
func (o *Offered) Media() (video, audio int, ok bool) {
	video, audio = -1, -1
	for _, s := range o.sections {
		switch {
		case s.kind == "video" && s.payload >= 0:
			video = s.payload
		case s.kind == "audio" && s.payload >= 0:
			audio = s.payload
		}
	}
	return video, audio, video >= 0 && audio >= 0
}

// ParseOffer reads an offer of the server.
func ParseOffer(sdp string) (o Offered, err error) {
	var s *section
	for line := range strings.Lines(sdp) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if kind, isMedia := strings.CutPrefix(name, "m="); isMedia {
			kind, _, _ = strings.Cut(kind, " ")
			o.sections = append(o.sections, section{kind: kind, payload: -1})
			s = &o.sections[len(o.sections)-1]
			continue
		}
		switch name {
		case "a=ice-ufrag":
			o.Ufrag = value
		case "a=ice-pwd":
			o.Pwd = value
		case "a=fingerprint":
			o.Fingerprint = value
		case "a=candidate":
			o.Candidates = append(o.Candidates, value)
		case "a=mid":
			if s != nil {
				s.mid = value
			}
		case "a=rtpmap":
			number, codec, _ := strings.Cut(value, " ")
			if s == nil || s.payload >= 0 || codec != wanted[s.kind] {
				continue
			}
			if s.payload, err = strconv.Atoi(number); err != nil {
				return o, fmt.Errorf("line %q: %w", line, err)
			}
		}
	}
	if o.Ufrag == "" || o.Fingerprint == "" || len(o.sections) == 0 {
		return o, errors.New("offer: there is no transport")
	}
	return o, nil
}

// wanted are the codecs that are accepted. Anything else is left out of the answer:
// retransmissions on a stream of their own, RED, header extensions and their feedback.
var wanted = map[string]string{"video": "VP8/90000", "audio": "opus/48000/2"}

// Answer accepts all tracks in wanted codecs, and the data channels. The answering
// side begins DTLS.
func (o *Offered) Answer(t Transport) string {
	var b, mids strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	for _, s := range o.sections {
		if !s.refused() {
			mids.WriteString(" " + s.mid)
		}
	}
	line("v=0")
	line("o=- 1 1 IN IP4 127.0.0.1")
	line("s=-")
	line("t=0 0")
	line("a=group:BUNDLE%s", mids.String())
	for i, s := range o.sections {
		switch {
		case s.refused():
			line("m=%s 0 UDP/TLS/RTP/SAVPF 0", s.kind)
			line("c=IN IP4 0.0.0.0")
			line("a=mid:%s", s.mid)
			line("a=inactive")
			continue
		case s.kind == application:
			line("m=application 9 UDP/DTLS/SCTP webrtc-datachannel")
			line("c=IN IP4 0.0.0.0")
			line("a=mid:%s", s.mid)
			line("a=sctp-port:5000")
			line("a=max-message-size:65535")
		default:
			line("m=%s 9 UDP/TLS/RTP/SAVPF %d", s.kind, s.payload)
			line("c=IN IP4 0.0.0.0")
			line("a=mid:%s", s.mid)
			line("a=recvonly")
			line("a=rtcp-mux")
			line("a=rtpmap:%d %s", s.payload, wanted[s.kind])
			if s.kind == "video" {
				line("a=rtcp-fb:%d nack", s.payload)
				line("a=rtcp-fb:%d nack pli", s.payload)
			}
		}
		line("a=ice-ufrag:%s", t.Ufrag)
		line("a=ice-pwd:%s", t.Pwd)
		line("a=fingerprint:%s", t.Fingerprint)
		line("a=setup:active")
		if i == 0 {
			for _, c := range t.Candidates {
				line("a=candidate:%s", c)
			}
			line("a=end-of-candidates")
		}
	}
	return b.String()
}

const application = "application"

func (s *section) refused() bool { return s.kind != application && s.payload < 0 }
