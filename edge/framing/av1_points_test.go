package framing

import (
	"bytes"
	"encoding/hex"
	"testing"
)

// av1SequenceL3T3 is the sequence header of a browser's stream of three spatial and
// three temporal layers, without header: nine operating points.
const av1SequenceL3T3 = "008707238191c04860e430321809041c8206410124cf7f0d803401"

func TestRestrictAV1Sequence(t *testing.T) {
	whole, err := hex.DecodeString(av1SequenceL3T3)
	if err != nil {
		t.Fatal(err)
	}
	before, ok := parseAV1Sequence(whole)
	if !ok || before.layers != 0x707 {
		t.Fatalf("%+v, %v", before, ok)
	}
	for spatial, want := range map[uint8]uint16{0: 0x107, 1: 0x307} {
		b, ok := restrictAV1Sequence(whole, spatial)
		if !ok {
			t.Fatalf("layer %d: not restricted", spatial)
		}
		after, ok := parseAV1Sequence(b)
		if !ok || after.layers != want {
			t.Errorf("layer %d: %+v, %v", spatial, after, ok)
		}
		after.layers = before.layers
		if after != before {
			t.Errorf("layer %d: %+v became %+v", spatial, before, after)
		}
		if trailingBit(b) < 8*len(b)-8 {
			t.Errorf("layer %d: %x does not end with its trailing bit", spatial, b)
		}
	}
	if _, ok := restrictAV1Sequence(whole, 2); ok {
		t.Error("restricted to all layers")
	}
	for n := range len(whole) {
		restrictAV1Sequence(whole[:n], 0) // must not panic
	}
}

func TestRestrictAV1LeavesTheRest(t *testing.T) {
	sequence, err := hex.DecodeString(av1SequenceL3T3)
	if err != nil {
		t.Fatal(err)
	}
	frame := []byte{obuFrame<<3 | obuHasSize, 3, 0x10, 1, 2}
	whole := append([]byte{obuSequenceHeader<<3 | obuHasSize, byte(len(sequence))}, sequence...)
	got := restrictAV1(nil, append(whole, frame...), 0)
	if !bytes.HasSuffix(got, frame) || len(got) >= len(whole)+len(frame) {
		t.Errorf("got %x", got)
	}
	if o, rest, ok := parseOBU(got); !ok || !bytes.Equal(rest, frame) || obuType(o.header[0]) != obuSequenceHeader {
		t.Errorf("%x, %x, %v", o, rest, ok)
	}
	if got := restrictAV1(nil, frame, 0); !bytes.Equal(got, frame) {
		t.Errorf("a frame alone became %x", got)
	}
}
