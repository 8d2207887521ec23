package whip

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pion/sdp/v3"
)

// Limits of a fragment.
const (
	maxFragmentLines = 1024
	maxCandidates    = 128
	maxCredential    = 256 // RFC 8839, Section 5.4
)

// ErrFragment is wrapped by every error about an SDP fragment.
var ErrFragment = errors.New("invalid SDP fragment")

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
	Media      []FragmentMedia
}

// FragmentMedia is what a fragment says of one media section.
type FragmentMedia struct {
	MID string
	// Candidates are the values of a=candidate lines, with their "candidate:".
	Candidates []string
	// End says that there are no more candidates.
	End bool
}

// ParseFragment reads a fragment. Lines that say nothing about ICE are ignored.
func ParseFragment(s string) (Fragment, error) {
	var f Fragment
	var m *FragmentMedia
	lines, candidates := 0, 0
	for line := range strings.SplitSeq(s, "\n") {
		line = strings.TrimSuffix(line, "\r")
		if lines++; lines > maxFragmentLines {
			return Fragment{}, fmt.Errorf("%w: more than %d lines", ErrFragment, maxFragmentLines)
		}
		if line == "" {
			continue
		}
		kind, value, ok := strings.Cut(line, "=")
		if !ok || len(kind) != 1 {
			return Fragment{}, fmt.Errorf("%w: line %d is not <type>=<value>", ErrFragment, lines)
		}
		if kind == "m" {
			f.Media = append(f.Media, FragmentMedia{})
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
				return Fragment{}, fmt.Errorf("%w: line %d: %s is empty or too long", ErrFragment, lines, key)
			}
			field := &f.Ufrag
			if key == "ice-pwd" {
				field = &f.Pwd
			}
			// With bundled media all sections have the same; RFC 8840 puts it on top.
			if *field != "" && *field != value {
				return Fragment{}, fmt.Errorf("%w: line %d: a second %s", ErrFragment, lines, key)
			}
			*field = value
		case "mid", "candidate", "end-of-candidates":
			if m == nil {
				return Fragment{}, fmt.Errorf("%w: line %d: a=%s before the first m= line", ErrFragment, lines, key)
			}
			switch key {
			case "mid":
				m.MID = value
			case "candidate":
				if candidates++; candidates > maxCandidates {
					return Fragment{}, fmt.Errorf("%w: more than %d candidates", ErrFragment, maxCandidates)
				}
				m.Candidates = append(m.Candidates, "candidate:"+value)
			default:
				m.End = true
			}
		}
	}
	if f.Ufrag == "" && len(f.Media) == 0 {
		return Fragment{}, fmt.Errorf("%w: neither credentials nor a media section", ErrFragment)
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

// fragmentOf takes from an answer what an ICE restart changes: the credentials,
// and the candidates of the bundle's first section.
func fragmentOf(answer string) (Fragment, error) {
	var desc sdp.SessionDescription
	if err := desc.UnmarshalString(answer); err != nil {
		return Fragment{}, fmt.Errorf("our own answer: %w", err)
	}
	for _, md := range desc.MediaDescriptions {
		ufrag, ok := md.Attribute("ice-ufrag")
		pwd, ok2 := md.Attribute("ice-pwd")
		if !ok || !ok2 {
			continue
		}
		mid, _ := md.Attribute("mid")
		m := FragmentMedia{MID: mid, End: true}
		for _, a := range md.Attributes {
			if a.Key == "candidate" {
				m.Candidates = append(m.Candidates, "candidate:"+a.Value)
			}
		}
		return Fragment{Ufrag: ufrag, Pwd: pwd, Media: []FragmentMedia{m}}, nil
	}
	return Fragment{}, errors.New("our own answer has no ICE credentials")
}
