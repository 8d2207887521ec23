package stream

import (
	"testing"
	"time"
)

func TestCaptureTimeForms(t *testing.T) {
	at := time.Date(2026, 11, 30, 8, 0, 0, 250_000_000, time.UTC)
	for _, offset := range []time.Duration{
		0, 1, -1, time.Millisecond, -time.Millisecond, 10 * time.Second, -10 * time.Second, 40 * 365 * 24 * time.Hour, -1500 * time.Millisecond,
	} {
		var b [CaptureOffsetBytes]byte
		PutCaptureTime(&b, at, offset)
		got, o, ok := ParseCaptureTime(b[:])
		if !ok || o == nil || *o != offset || !got.Equal(at) {
			t.Errorf("%v with %v: got %v, %v, %v", at, offset, got, o, ok)
		}
		got, o, ok = ParseCaptureTime(b[:CaptureTimeBytes])
		if !ok || o != nil || !got.Equal(at) {
			t.Errorf("%v: got %v, %v, %v", at, got, o, ok)
		}
	}
	for n := range 20 {
		if _, _, ok := ParseCaptureTime(make([]byte, n)); ok != (n == 8 || n == 16) {
			t.Errorf("%d bytes: %v", n, ok)
		}
	}
	// The description's example of the format: half a second back is all ones and a half.
	var b [CaptureOffsetBytes]byte
	PutCaptureTime(&b, time.Unix(ntpEpoch, 0), -500*time.Millisecond)
	if want := [CaptureOffsetBytes]byte{8: 0xff, 9: 0xff, 10: 0xff, 11: 0xff, 12: 0x80}; b != want {
		t.Errorf("%x, want %x", b, want)
	}
}

func FuzzParseCaptureTime(f *testing.F) {
	f.Add([]byte{0xee, 0, 0, 0, 0x80, 0, 0, 0})
	f.Add([]byte{0xee, 0, 0, 0, 0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x80, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		at, offset, ok := ParseCaptureTime(b)
		if !ok {
			return
		}
		var again [CaptureOffsetBytes]byte
		if offset == nil {
			offset = new(time.Duration)
		}
		PutCaptureTime(&again, at, *offset)
		at2, offset2, ok := ParseCaptureTime(again[:])
		if d := at2.Sub(at); !ok || d < -1 || d > 1 || *offset2-*offset < -1 || *offset2-*offset > 1 {
			t.Errorf("%x: %v, %v became %v, %v", b, at, *offset, at2, *offset2)
		}
	})
}

// TestCapturesAreInterpolated: senders need not send the extension with each frame.
func TestCapturesAreInterpolated(t *testing.T) {
	const rate = 90_000
	at := time.Date(2026, 11, 30, 8, 0, 0, 0, time.UTC)
	var c captures
	if _, ok := c.of(0, rate); ok {
		t.Error("something is known before anything came")
	}
	const first = 1<<32 - 90 // it wraps
	var short, long [CaptureOffsetBytes]byte
	PutCaptureTime(&short, at, 0)
	PutCaptureTime(&long, at.Add(2*time.Second+time.Minute), -time.Second) // the clock was set meanwhile
	c.note(first, short[:CaptureTimeBytes])
	c.note(first+7, []byte{1, 2, 3})
	var after uint32 = first
	after += 2 * rate
	c.note(after, long[:])
	for name, tc := range map[string]struct {
		ticks int64 // after the first
		want  time.Duration
		ok    bool
		long  bool
	}{
		"itself":            {0, 0, true, false},
		"right after":       {90, time.Millisecond, true, false},
		"right before":      {-90, -time.Millisecond, true, false},
		"nearer to the one": {rate - 9, time.Second - 100*time.Microsecond, true, false},
		"or to the other":   {rate + 9, time.Minute + time.Second + 100*time.Microsecond, true, true},
		"the other":         {2 * rate, time.Minute + 2*time.Second, true, true},
		"long after":        {6 * rate, time.Minute + 6*time.Second, true, true},
		"too long after":    {7 * rate, 0, false, false},
		"too long before":   {-5 * rate, 0, false, false},
		"half a wrap away":  {1 << 31, 0, false, false},
	} {
		got, ok := c.of(uint32(first+tc.ticks), rate)
		if ok != tc.ok || ok && (!got.at.Equal(at.Add(tc.want)) || got.hasOffset != tc.long) {
			t.Errorf("%s: %v, %v, offset %v; want %v, %v", name, got.at.Sub(at), ok, got.hasOffset, tc.want, tc.ok)
		}
	}
	for range 2 * captureSlots {
		c.note(500, long[:])
	}
	if _, ok := c.of(500+4*rate, rate); !ok {
		t.Error("the ring forgets what is new")
	}
}

// TestPeerClock: the report that was fastest tells what the peer's clock says, within half of a
// round trip.
func TestPeerClock(t *testing.T) {
	now := time.Date(2026, 11, 30, 8, 0, 0, 0, time.UTC)
	const ahead = 90 * time.Second
	var c peerClock
	var trips leastOf
	if at, _ := c.at(now, &trips); !at.IsZero() {
		t.Errorf("%v before any report", at)
	}
	ways := []int{80, 30, 45, 200, 31, 500}
	for i, way := range ways {
		sent := now.Add(time.Duration(i) * time.Second)
		c.reported(sent.Add(ahead), sent.Add(time.Duration(way)*time.Millisecond))
	}
	want := func(when string, at, truth time.Time, bound, within time.Duration) {
		t.Helper()
		if off := at.Sub(truth).Abs(); bound != within || off > max(within, 30*time.Millisecond) {
			t.Errorf("%s: off by %v, said to be within %v", when, off, bound)
		}
	}
	at, bound := c.at(now, &trips)
	want("without a round trip", at, now.Add(ahead), bound, -1)
	for _, trip := range []int{90, 52, 300} {
		trips.add(time.Duration(trip) * time.Millisecond)
	}
	at, bound = c.at(now, &trips)
	want("with one", at, now.Add(ahead), bound, 26*time.Millisecond)
	c.set()
	c.reported(now, now.Add(40*time.Millisecond))
	at, bound = c.at(now, &trips)
	want("after it was set", at, now, bound, 26*time.Millisecond)
	for range clockReports {
		c.reported(now, now.Add(50*time.Millisecond))
	}
	if at, _ := c.at(now, &trips); !at.Equal(now.Add(-24 * time.Millisecond)) {
		t.Errorf("off by %v when the fast report is long ago", at.Sub(now))
	}
}
