package quality

import (
	"sync"
	"time"
)

// frame is a picture that the viewer's browser has shown.
type frame struct {
	At     float64 `json:"at"` // ms since 1970
	Height int     `json:"height"`
}

// seen is what the viewer's page tells, every 200 ms.
type seen struct {
	At     float64     `json:"at"`
	Frames []frame     `json:"frames"`
	Ports  []uint16    `json:"ports"` // at which the viewer knows the server
	Video  *videoStats `json:"video"`
	Audio  *audioStats `json:"audio"`
}

// videoStats are those of RTCInboundRtpStreamStats, all since the beginning.
type videoStats struct {
	Bytes   float64 `json:"bytes"`
	Lost    float64 `json:"lost"`
	NACKs   float64 `json:"nacks"`
	PLIs    float64 `json:"plis"`
	Decoded float64 `json:"decoded"`
	Dropped float64 `json:"dropped"`
	Freezes float64 `json:"freezes"`
	Frozen  float64 `json:"frozen"` // seconds
	Buffer  float64 `json:"buffer"` // mean delay, seconds
	Height  int     `json:"height"`
	// Delayed is how long frames were kept back together, in seconds; Emitted is how many.
	Delayed float64 `json:"delayed"`
	Emitted float64 `json:"emitted"`
	// Repairs are packets of FlexFEC, Discarded those of them that were not needed or of no use.
	Repairs   float64 `json:"repairs"`
	Discarded float64 `json:"discarded"`
	Repeated  float64 `json:"repeated"`
}

type audioStats struct {
	Bytes     float64 `json:"bytes"`
	Lost      float64 `json:"lost"`
	Samples   float64 `json:"samples"`
	Concealed float64 `json:"concealed"`
	Twice     float64 `json:"twice"`
	Silent    float64 `json:"silent"`
}

// published is what the publisher's page tells, every 500 ms.
type published struct {
	At     float64 `json:"at"`
	Layers []struct {
		RID    string  `json:"rid"`
		Height int     `json:"height"`
		Frames float64 `json:"frames"`
		Bytes  float64 `json:"bytes"`
		Keys   float64 `json:"keys"`
		Limit  string  `json:"limit"`
	} `json:"layers"`
}

// carried is what the path has carried towards the viewer since the beginning.
type carried struct {
	at      time.Duration
	bytes   uint64
	dropped uint64
}

// recording is one profile with one server. Its methods are safe for concurrent use.
type recording struct {
	path uint16 // its port: the only one at which a viewer may know the server

	mu        sync.Mutex
	began     time.Time // zero before the profile begins
	frames    []frame
	seen      []seen
	published []published
	carried   []carried
	problems  []string
}

func (r *recording) addSeen(s seen) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.frames = append(r.frames, s.Frames...)
	s.Frames = nil
	r.seen = append(r.seen, s)
}

func (r *recording) addPublished(p published) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.published = append(r.published, p)
}

// maxProblems bounds what is kept of what goes wrong.
const maxProblems = 20

func (r *recording) problem(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.problems) < maxProblems {
		r.problems = append(r.problems, text)
	}
}

// begin starts the profile's time.
func (r *recording) begin(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.began = now
}

func (r *recording) carry(c carried) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.carried = append(r.carried, c)
}

// layersSent returns how many layers the publisher sends, by its last word.
func (r *recording) layersSent() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.published) < 2 {
		return 0
	}
	last, before := r.published[len(r.published)-1], r.published[len(r.published)-2]
	n := 0
	for _, l := range last.Layers {
		for _, b := range before.Layers {
			if b.RID == l.RID && l.Frames > b.Frames {
				n++
			}
		}
	}
	return n
}

// pictures returns how many pictures the viewer has shown.
func (r *recording) pictures() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.frames)
}

// sent returns what the publisher sent of each layer between two times, in bit/s, by
// its own count.
func (r *recording) sent(from, to time.Duration) []float64 {
	at := func(p *published) time.Duration {
		return time.Duration((p.At - float64(r.began.UnixMicro())/1e3) * float64(time.Millisecond))
	}
	var first, last *published
	for i := range r.published {
		switch p := &r.published[i]; {
		case at(p) <= from || first == nil:
			first = p
		case at(p) <= to:
			last = p
		}
	}
	if last == nil {
		return nil
	}
	var all []float64
	for _, l := range last.Layers {
		for _, b := range first.Layers {
			if b.RID == l.RID {
				all = append(all, (l.Bytes-b.Bytes)*8/(at(last)-at(first)).Seconds())
			}
		}
	}
	return all
}

// around returns a port at which the viewer knows the server, other than the path's;
// zero if there is none.
func (r *recording) around() uint16 {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.seen {
		for _, port := range r.seen[i].Ports {
			if port != r.path {
				return port
			}
		}
	}
	return 0
}
