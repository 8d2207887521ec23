//go:build !race

package transport

import (
	"testing"
	"time"

	"trellis/edge/rtc/packet"
)

// TestNothingIsAllocated: nine packets of a frame out in one call, a report, and a
// report in.
func TestNothingIsAllocated(t *testing.T) {
	r := newRig(t)
	key, salt := make([]byte, 16), make([]byte, 12)
	guard, err := newGCMRTCP(key, salt, key, salt, maxSources)
	if err != nil {
		t.Fatal(err)
	}
	r.conn.keys.Load().rtcp = guard
	got := 0
	r.conn.in.begin(newPipe(), Handler{RTCP: func([]byte, time.Time) { got++ }})
	report := make([]byte, 60)
	report[0], report[1] = 0x80, 200
	client, err := newGCMRTCP(key, salt, key, salt, maxSources)
	if err != nil {
		t.Fatal(err)
	}
	header, payload, sealed := make([]byte, 28), make([]byte, 1160), make([]byte, 0, 128)
	var index uint64
	n := testing.AllocsPerRun(100, func() {
		for range 9 {
			if err := r.batch.Packet(r.conn, header, payload, 1, index); err != nil {
				t.Fatal(err)
			}
			index++
		}
		if err := r.batch.Flush(); err != nil {
			t.Fatal(err)
		}
		if err := r.conn.WriteRTCP(report); err != nil {
			t.Fatal(err)
		}
		if sealed, err = client.seal(sealed[:0], report); err != nil {
			t.Fatal(err)
		}
		r.conn.receive(sealed, time.Now())
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
	if got < 100 || r.conn.Refused() != 0 {
		t.Errorf("%d reports came in, %d were refused", got, r.conn.Refused())
	}
}

// TestMediaAllocatesNothing: packets of a publisher from the port to its Handler.
func TestMediaAllocatesNothing(t *testing.T) {
	for _, profile := range mediaProfiles {
		m := newMediaPair(t, profile)
		c := newConn(&Port{cfg: Config{Demux: newDemux(t, nil), Silence: time.Second}}, nil)
		got := 0
		c.in.begin(newPipe(), Handler{RTP: func(p packet.Packet) { got += len(p.Payload) }})
		c.unlock(&keys{in: *m.guard})
		var sealed [][]byte
		for seq := range uint16(202) {
			sealed = append(sealed, m.seal(plainPacket(7, seq, make([]byte, 1000))))
		}
		c.receive(sealed[0], time.Now())
		next := 1
		n := testing.AllocsPerRun(200, func() {
			c.receive(sealed[next], time.Now())
			next++
		})
		if n != 0 || got != 202*1000 {
			t.Errorf("profile %d: %v allocations, %d bytes arrived", profile, n, got)
		}
	}
}
