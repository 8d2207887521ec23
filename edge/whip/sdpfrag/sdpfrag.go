// Package sdpfrag reads and writes the SDP fragments with which WHIP and WHEP
// trickle candidates and restart ICE: RFC 8840, Section 9 and RFC 9725, Section
// 4.3. It is pure.
package sdpfrag

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pion/sdp/v3"
)

// Limits of a fragment.
const (
	maxLines      = 1024
	maxCandidates = 128
	maxCredential = 256 // RFC 8839, Section 5.4
)

// ErrInvalid is wrapped by every error about an SDP fragment.
var ErrInvalid = errors.New("invalid SDP fragment")

// Fragment is the body of a PATCH: RFC 8840, Section 9.
//
//	a=ice-ufrag:EsAw
//	a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1
//	m=audio 9 UDP/TLS/RTP/SAVPF 0
//	a=mid:0
//	a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host
//	a=end-of-candidates
type Fragment struct {
	Ufrag, Pwd string
	Media      []Media
}

// Media is what a fragment says of one media section.
type Media struct {
	MID string
	// Candidates are the values of a=candidate lines, with their "candidate:".
	Candidates []string
	// End says that there are no more candidates.
	End bool
}

// Parse reads a fragment. Lines that say nothing about ICE are ignored.
func Parse(s string) (Fragment, error) {
	var f Fragment
	var m *Media
	lines, candidates := 0, 0
	for line := range strings.SplitSeq(s, "\n") {
		line = strings.TrimSuffix(line, "\r")
		if lines++; lines > maxLines {
			return Fragment{}, fmt.Errorf("%w: more than %d lines", ErrInvalid, maxLines)
		}
		if line == "" {
			continue
		}
		kind, value, ok := strings.Cut(line, "=")
		if !ok || len(kind) != 1 {
			return Fragment{}, fmt.Errorf("%w: line %d is not <type>=<value>", ErrInvalid, lines)
		}
		if kind == "m" {
			f.Media = append(f.Media, Media{})
			m = &f.Media[len(f.Media)-1]
			continue
		}
		if kind != "a" {
			continue
		}
		key, value, _ := strings.Cut(value, ":")
		switch key {
		case "ice-ufrag", "ice-pwd":
			if value == "" || len(value) > maxCredential || strings.ContainsAny(value, " \t") {
				return Fragment{}, fmt.Errorf("%w: line %d: %s is empty or too long", ErrInvalid, lines, key)
			}
			field := &f.Ufrag
			if key == "ice-pwd" {
				field = &f.Pwd
			}
			// With bundled media all sections have the same; RFC 8840 puts it on top.
			if *field != "" && *field != value {
				return Fragment{}, fmt.Errorf("%w: line %d: a second %s", ErrInvalid, lines, key)
			}
			*field = value
		case "mid", "candidate", "end-of-candidates":
			if m == nil {
				return Fragment{}, fmt.Errorf("%w: line %d: a=%s before the first m= line", ErrInvalid, lines, key)
			}
			switch key {
			case "mid":
				m.MID = value
			case "candidate":
				if candidates++; candidates > maxCandidates {
					return Fragment{}, fmt.Errorf("%w: more than %d candidates", ErrInvalid, maxCandidates)
				}
				m.Candidates = append(m.Candidates, "candidate:"+value)
			default:
				m.End = true
			}
		}
	}
	if f.Ufrag == "" && len(f.Media) == 0 {
		return Fragment{}, fmt.Errorf("%w: neither credentials nor a media section", ErrInvalid)
	}
	return f, nil
}

// Append writes the fragment.
func (f Fragment) Append(b []byte) []byte {
	line := func(parts ...string) {
		for _, p := range parts {
			b = append(b, p...)
		}
		b = append(b, "\r\n"...)
	}
	if f.Ufrag != "" {
		line("a=ice-ufrag:", f.Ufrag)
	}
	if f.Pwd != "" {
		line("a=ice-pwd:", f.Pwd)
	}
	for _, m := range f.Media {
		// The kind and formats mean nothing here: RFC 8840, Section 9.
		line("m=audio 9 UDP/TLS/RTP/SAVPF 0")
		if m.MID != "" {
			line("a=mid:", m.MID)
		}
		for _, c := range m.Candidates {
			line("a=", c)
		}
		if m.End {
			line("a=end-of-candidates")
		}
	}
	return b
}

// FromDescription takes from a session description what an ICE restart changes:
// the credentials, and the candidates of the first section that has any.
func FromDescription(description string) (Fragment, error) {
	var desc sdp.SessionDescription
	if err := desc.UnmarshalString(description); err != nil {
		return Fragment{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	for _, md := range desc.MediaDescriptions {
		ufrag, ok := md.Attribute("ice-ufrag")
		pwd, ok2 := md.Attribute("ice-pwd")
		if !ok || !ok2 {
			continue
		}
		mid, _ := md.Attribute("mid")
		m := Media{MID: mid, End: true}
		for _, a := range md.Attributes {
			if a.Key == "candidate" {
				m.Candidates = append(m.Candidates, "candidate:"+a.Value)
			}
		}
		return Fragment{Ufrag: ufrag, Pwd: pwd, Media: []Media{m}}, nil
	}
	return Fragment{}, fmt.Errorf("%w: a description without ICE credentials", ErrInvalid)
}

// Apply returns a session description with the credentials and candidates of the
// fragment instead of its own.
func (f Fragment) Apply(description string) (string, error) {
	var desc sdp.SessionDescription
	if err := desc.UnmarshalString(description); err != nil {
		return "", fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	replace := func(attrs []sdp.Attribute) []sdp.Attribute {
		kept := attrs[:0]
		for _, a := range attrs {
			switch a.Key {
			case "candidate", "end-of-candidates":
				continue
			case "ice-ufrag":
				a.Value = f.Ufrag
			case "ice-pwd":
				a.Value = f.Pwd
			}
			kept = append(kept, a)
		}
		return kept
	}
	desc.Attributes = replace(desc.Attributes)
	for _, md := range desc.MediaDescriptions {
		md.Attributes = replace(md.Attributes)
		mid, _ := md.Attribute("mid")
		for _, m := range f.Media {
			if m.MID != mid {
				continue
			}
			for _, c := range m.Candidates {
				md.Attributes = append(md.Attributes, sdp.NewAttribute("candidate", strings.TrimPrefix(c, "candidate:")))
			}
			if m.End {
				md.Attributes = append(md.Attributes, sdp.NewPropertyAttribute("end-of-candidates"))
			}
		}
	}
	b, err := desc.Marshal()
	return string(b), err
}
