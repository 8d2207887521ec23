package moqlite

import (
	"bytes"
	"io"
	"testing"
)

// BenchmarkAppend and BenchmarkParse run every message through its codec.
func BenchmarkAppend(b *testing.B) {
	for name, codec := range codecs {
		for _, m := range codec.values {
			b.Run(name, func(b *testing.B) {
				b.ReportAllocs()
				var buf []byte
				for b.Loop() {
					buf = AppendMessage(buf[:0], m, Version05)
				}
			})
			break
		}
	}
}

func BenchmarkParse(b *testing.B) {
	for _, tc := range golden {
		b.Run(tc.name, func(b *testing.B) {
			b.ReportAllocs()
			body := tc.want.Append(nil, tc.version)
			for b.Loop() {
				if _, err := codecs[tc.codec].parse(body, tc.version); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// The two below are on the path of every frame.
func BenchmarkFrameHeader(b *testing.B) {
	b.ReportAllocs()
	var buf []byte
	for b.Loop() {
		buf = FrameHeader{Delta: 33333, Size: 4000}.Append(buf[:0], Version05)
		if _, _, err := ParseFrameHeader(buf, Version05); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReader(b *testing.B) {
	const frames = 60
	payload := make([]byte, 1000)
	group := AppendUniStream(nil, UniStreamGroup, Group{SubscribeID: 1, Sequence: 1000}, Version05)
	for range frames {
		group = FrameHeader{Delta: 33333, Size: uint64(len(payload))}.Append(group, Version05)
		group = append(group, payload...)
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(group)))
	for b.Loop() {
		r := NewReader(bytes.NewReader(group))
		if _, err := r.Varint(); err != nil {
			b.Fatal(err)
		}
		if _, err := r.Message(); err != nil {
			b.Fatal(err)
		}
		for range frames {
			h, err := r.FrameHeader(Version05, 1<<20)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := io.ReadFull(r, payload[:h.Size]); err != nil {
				b.Fatal(err)
			}
		}
	}
}
