package framing

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"
)

// redVector is a packet of Opus (111) with the one before it, 960 ticks earlier.
const redVector = "ef0f0003" + "6f" + "fcaabb" + "fc0102"

func redBlocks() []REDBlock {
	return []REDBlock{
		{PayloadType: 111, Offset: 960, Data: []byte{0xfc, 0xaa, 0xbb}},
		{PayloadType: 111, Data: []byte{0xfc, 1, 2}},
	}
}

func TestRED(t *testing.T) {
	b := AppendRED(nil, redBlocks())
	if got := hex.EncodeToString(b); got != redVector {
		t.Errorf("got %s, want %s", got, redVector)
	}
	got, err := ParseRED(b, nil)
	if err != nil || len(got) != 2 {
		t.Fatalf("%v, %v", got, err)
	}
	for i, want := range redBlocks() {
		if g := got[i]; g.PayloadType != want.PayloadType || g.Offset != want.Offset || !bytes.Equal(g.Data, want.Data) {
			t.Errorf("block %d is %+v, want %+v", i, g, want)
		}
	}
	for n := range 8 { // up to the primary block's first byte
		if _, err := ParseRED(b[:n], nil); !errors.Is(err, ErrRED) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func TestREDLeavesOutWhatHasNoPlace(t *testing.T) {
	for name, blocks := range map[string][]REDBlock{
		"too old":   {{Offset: MaxREDOffset + 1, Data: []byte{1}}, {Offset: 960, Data: []byte{2}}, {Data: []byte{3}}},
		"too large": {{Offset: 1920, Data: make([]byte, maxREDLength+1)}, {Offset: 960, Data: []byte{2}}, {Data: []byte{3}}},
	} {
		got, err := ParseRED(AppendRED(nil, blocks), nil)
		if err != nil || len(got) != 2 || got[0].Data[0] != 2 || got[1].Data[0] != 3 {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func FuzzParseRED(f *testing.F) {
	b, err := hex.DecodeString(redVector)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte{0x6f})
	f.Fuzz(func(t *testing.T, b []byte) {
		blocks, err := ParseRED(b, nil)
		if err != nil {
			return
		}
		for _, r := range blocks[:len(blocks)-1] {
			if !r.describable() {
				return // what AppendRED leaves out
			}
		}
		if again := AppendRED(nil, blocks); !bytes.Equal(again, b) {
			t.Errorf("%x became %x", b, again)
		}
	})
}

func BenchmarkAppendRED(b *testing.B) {
	blocks := []REDBlock{{PayloadType: 111, Offset: 960, Data: make([]byte, 80)}, {PayloadType: 111, Data: make([]byte, 80)}}
	buf := AppendRED(nil, blocks)
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendRED(buf[:0], blocks)
	}
}
