package transport

import (
	"testing"

	"github.com/pion/dtls/v3"
)

// TestTouch: clients at every stage are touched, whatever protects their media, and nothing of
// them is changed or allocated.
func TestTouch(t *testing.T) {
	r := newRig(t)
	bare, old, gone := newConn(r.port, nil), r.viewer(r.receiver), r.viewer(r.receiver)
	media, err := newSealer(dtls.SRTP_AES128_CM_HMAC_SHA1_80, make([]byte, 16), make([]byte, 14))
	if err != nil {
		t.Fatal(err)
	}
	old.keys.Store(&keys{media: media})
	gone.dest.Store(nil)
	conns := []*Conn{r.conn, bare, old, gone, r.viewer(r.receiver)}
	for len(conns) < MaxTouched {
		conns = append(conns, r.conn)
	}
	if state := r.conn.keys.Load().media.(*gcm).state; len(state) < 10*16+256 {
		t.Errorf("a cipher has %d bytes, fewer than its round keys and table", len(state))
	}
	first := Touch(conns)
	if n := testing.AllocsPerRun(10, func() {
		if again := Touch(conns); again != first {
			t.Errorf("%d, then %d", first, again)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if Touch(nil) != 0 {
		t.Error("nobody was touched")
	}
	r.packet(0, 100)
	if err := r.batch.Flush(); err != nil {
		t.Fatal(err)
	}
	r.expect(100)
}
