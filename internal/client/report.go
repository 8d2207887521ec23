package client

import (
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Percentiles are of a distribution, in milliseconds.
type Percentiles struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// PublishReport says what was published.
type PublishReport struct {
	Protocol  Protocol `json:"protocol"`
	URL       string   `json:"url"`
	Broadcast string   `json:"broadcast"`
	// ConnectMs is the time until media could flow.
	ConnectMs float64 `json:"connect_ms"`
	// Reconnects is how often another session took the place of one, and Skipped how
	// many frames were due while there was none.
	Reconnects int   `json:"reconnects"`
	Skipped    int64 `json:"skipped"`
	// DurationS is the time from the first frame to the last.
	DurationS float64          `json:"duration_s"`
	Tracks    []PublishedTrack `json:"tracks"`
}

// PublishedTrack is one track of a PublishReport.
type PublishedTrack struct {
	Kind      string  `json:"kind"`
	Codec     string  `json:"codec"`
	Source    string  `json:"source"`
	Objects   int64   `json:"objects"`
	KeyFrames int64   `json:"key_frames"`
	Bytes     int64   `json:"bytes"`
	FrameRate float64 `json:"frame_rate"`
	// LatenessMs is how long after they were due frames were sent.
	LatenessMs Percentiles `json:"lateness_ms"`
}

// WatchReport says what was received.
type WatchReport struct {
	Protocol  Protocol `json:"protocol"`
	URL       string   `json:"url"`
	Broadcast string   `json:"broadcast"`
	// ConnectMs is the time until media could flow.
	ConnectMs float64 `json:"connect_ms"`
	// Reconnects is how often another session, at another node or the same, took the
	// place of one.
	Reconnects int `json:"reconnects"`
	// DurationS is the time from the first frame to the last.
	DurationS float64        `json:"duration_s"`
	Tracks    []WatchedTrack `json:"tracks"`
	// Files are those that were written.
	Files []string `json:"files,omitempty"`
}

// WatchedTrack is one kind of track in a WatchReport.
type WatchedTrack struct {
	Kind string `json:"kind"`
	// Track is its name, where the protocol has names.
	Track     string `json:"track,omitempty"`
	Codec     string `json:"codec"`
	Width     int    `json:"width,omitempty"`
	Height    int    `json:"height,omitempty"`
	Objects   int64  `json:"objects"`
	KeyFrames int64  `json:"key_frames"`
	Bytes     int64  `json:"bytes"`
	// FrameRate is that of arrival, without the first second.
	FrameRate float64 `json:"frame_rate"`
	// Gaps is how often presentation times jump, and Lost how many frames are
	// missing there, judging by the usual step.
	Gaps int64 `json:"gaps"`
	Lost int64 `json:"lost"`
	// PacketsLost (WebRTC) and GroupsReset (MoQ) are what the transport gave up.
	PacketsLost uint64 `json:"packets_lost"`
	GroupsReset uint64 `json:"groups_reset"`
	// AgeMs is the age of frames when they were complete here, of those that were made
	// after we had connected; null when AgeFrom is unsynchronised.
	AgeMs   *Percentiles `json:"age_ms"`
	AgeFrom AgeSource    `json:"age_from"`
	// DelayVariationMs is how much longer frames took than the fastest one until then,
	// which needs no common clock.
	DelayVariationMs Percentiles `json:"delay_variation_ms"`
	// LongestSilenceMs is the longest time between two frames.
	LongestSilenceMs float64 `json:"longest_silence_ms"`
	// TimeToFirstFrameMs runs from the beginning of connecting to the first frame
	// that can be decoded.
	TimeToFirstFrameMs float64 `json:"time_to_first_frame_ms"`
}

// durations is a distribution of times.
type durations struct{ h *hdrhistogram.Histogram }

// Times from a microsecond to ten minutes, to three digits.
func newDurations() durations {
	return durations{hdrhistogram.New(1, (10 * time.Minute).Microseconds(), 3)}
}

func (d durations) add(v time.Duration) {
	us := min(max(v.Microseconds(), 0), d.h.HighestTrackableValue())
	_ = d.h.RecordValue(us) // in range: cannot fail
}

func (d durations) count() int64 { return d.h.TotalCount() }

func (d durations) percentiles() Percentiles {
	at := func(q float64) float64 { return toMs(time.Duration(d.h.ValueAtQuantile(q)) * time.Microsecond) }
	return Percentiles{P50: at(50), P95: at(95), P99: at(99), Max: at(100)}
}

// toMs rounds to microseconds.
func toMs(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// rate returns events per second, rounded to hundredths.
func rate(events int64, d time.Duration) float64 {
	if events <= 0 || d <= 0 {
		return 0
	}
	return math.Round(float64(events)/d.Seconds()*100) / 100
}
