package bwe

import (
	"encoding/binary"
	"math"
	"testing"
	"time"
)

// FuzzController has a Controller take whatever reports a viewer can write, on
// packets that were sent and on others, at any pace: what it decides stays within
// bounds, and so does what it keeps.
func FuzzController(f *testing.F) {
	f.Add([]byte{1, 0, 0, 10, 0, 1, 8, 0x20, 8, 4, 4, 4, 4, 4, 4, 4, 4})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x40, 4, 0x80, 0, 0x7f, 0xff, 0x80, 0})
	f.Fuzz(func(t *testing.T, script []byte) {
		log := NewLog(epoch)
		reader := NewReader(log)
		c, err := New(Config{}, log)
		if err != nil {
			t.Fatal(err)
		}
		now := epoch
		var results []Result
		for number := uint8(0); len(script) >= 8; number++ {
			now = now.Add(time.Duration(script[0]) * 10 * ms)
			for range int(script[1]) {
				log.Add(now, int(script[2])*8, Media)
			}
			// The rest are the fields of a message, and a part of its chunks and deltas.
			n := min(int(script[3])%32, len(script)-8)
			b := []byte{0x8f, 205, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, script[4], script[5], 0, script[6], script[7], script[7], script[4], number}
			b = append(b, script[8:8+n]...)
			b = append(b, make([]byte, 256)...) // so that many are whole
			binary.BigEndian.PutUint16(b[2:], uint16(len(b)/4-1))
			script = script[8+n:]
			if results, err = reader.Read(results[:0], now, b); err == nil {
				c.Feedback(now, results)
			}
			c.Tick(now)
			_, _ = c.Probe(now)
			e := c.Estimate()
			if e.Bps <= 0 || e.SustainedBps < 0 || e.AckedBps < 0 || e.RTT < 0 || e.QueueDelay < 0 ||
				math.IsNaN(e.Loss) || e.Loss < 0 || e.Loss > 1 {
				t.Fatalf("estimate %+v", e)
			}
			if len(results) > LogEntries {
				t.Fatalf("%d results", len(results))
			}
		}
	})
}
