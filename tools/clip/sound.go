package main

import (
	"encoding/binary"
	"io"
	"math"
)

const sampleRate = 48_000

// writeAudio writes the loop, and before it the given part of its end.
func writeAudio(out io.Writer, warmup float64) error {
	var b [4]byte
	for i := -int(warmup * sampleRate); i < seconds*sampleRate; i++ {
		left, right := sample(float64((i+seconds*sampleRate)%(seconds*sampleRate)) / sampleRate)
		binary.LittleEndian.PutUint16(b[0:], uint16(int16(left*32767)))
		binary.LittleEndian.PutUint16(b[2:], uint16(int16(right*32767)))
		if _, err := out.Write(b[:]); err != nil {
			return err
		}
	}
	return nil
}

// sample is the sound at t: a quiet chord whose tones fit the loop, and a tick at
// each second, from left and right in turn; the first is higher.
func sample(t float64) (left, right float64) {
	wave := func(hz float64) float64 { return math.Sin(2 * math.Pi * hz * t) }
	swell := 0.75 + 0.25*math.Cos(2*math.Pi*t/seconds)
	chord := 0.035 * swell * (wave(110) + wave(165) + 0.7*wave(220) + 0.5*wave(277.125))

	since := t - math.Floor(t)
	hz := 880.0
	if t < 1 {
		hz = 1320
	}
	rise := min(since/0.002, 1)
	tick := 0.5 * rise * math.Exp(-since*22) * math.Sin(2*math.Pi*hz*since)
	pan := 0.35
	if int(t)%2 == 0 {
		pan = 0.65
	}
	return chord + tick*pan*1.3, chord + tick*(1-pan)*1.3
}
