package bwe

import (
	"slices"
	"testing"
	"time"
)

func TestReaderMatchesWhatWasSent(t *testing.T) {
	l := NewLog(epoch)
	r := NewReader(l)
	for i := range 10 {
		l.Add(epoch.Add(time.Duration(i)*ms), 100+i, Kind(i))
	}
	b := encodeTransport(t, 2, 0, []Status{{Seq: 7}, {8, true, 3 * ms}, {9, true, 5 * ms}, {10, true, 5 * ms}})
	got, err := r.Read(nil, epoch.Add(time.Second), b)
	if err != nil {
		t.Fatal(err)
	}
	want := []Result{
		{Seq: 7, Sent: 7 * ms, Arrived: 128 * ms, Size: 107, Kind: 7},
		{Seq: 8, Sent: 8 * ms, Arrived: 131 * ms, Size: 108, Kind: 8, Received: true},
		{Seq: 9, Sent: 9 * ms, Arrived: 133 * ms, Size: 109, Kind: 9, Received: true},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if _, err := r.Read(nil, epoch, b[:7]); err == nil {
		t.Error("half a message is read")
	}
	if _, err := r.Read(nil, epoch.Add(time.Second), encodeTransport(t, 2, 4, []Status{{9, true, 5 * ms}})); err != nil {
		t.Error(err)
	}
	if got, want := r.Counts(), (ReaderCounts{Messages: 2, Malformed: 1, Missing: 3, Stale: 1}); got != want {
		t.Errorf("counts %+v, want %+v", got, want)
	}
}

// TestReaderUnwraps follows the reference time over the end of its 24 bits, and
// back for a message that was overtaken.
func TestReaderUnwraps(t *testing.T) {
	l := NewLog(epoch)
	r := NewReader(l)
	var last time.Duration
	for i, c := range []struct {
		reference uint32
		step      time.Duration // from the message before
	}{
		{0xfffffe, 0},
		{0xffffff, 64 * ms},
		{0, 64 * ms},
		{2, 128 * ms},
		{0xffffff, -192 * ms},
		{3, 256 * ms},
		{0x700000, (0x700000 - 3) * referenceTick},
	} {
		seq := l.Add(epoch, 100, Media)
		got, err := r.Read(nil, epoch, encodeTransport(t, c.reference, uint8(i), []Status{{seq, true, 0}}))
		if err != nil || len(got) != 1 {
			t.Fatal(got, err)
		}
		if step := got[0].Arrived - last; i > 0 && step != c.step {
			t.Errorf("reference %#x: a step of %v, want %v", c.reference, step, c.step)
		}
		last = got[0].Arrived
	}
}

// TestReaderKnowsWhatIsOverwritten reads feedback on packets whose entries were
// used again.
func TestReaderKnowsWhatIsOverwritten(t *testing.T) {
	l := NewLog(epoch)
	r := NewReader(l)
	for range LogEntries + 2 {
		l.Add(epoch, 100, Media)
	}
	got, err := r.Read(nil, epoch, encodeTransport(t, 0, 0, []Status{{0, true, 0}, {1, true, 0}, {2, true, 0}}))
	if err != nil || len(got) != 1 || got[0].Seq != 2 || r.Counts().Stale != 2 {
		t.Errorf("got %+v, %v, counts %+v", got, err, r.Counts())
	}
}
