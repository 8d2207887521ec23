package main

import (
	"testing"
	"time"
)

func TestJudge(t *testing.T) {
	fault := time.Unix(1000, 0)
	at := func(d int) time.Time { return fault.Add(time.Duration(d) * time.Millisecond) }
	v := &viewer{came: map[string][]arrival{"t": {
		{0, at(-700)}, {1, at(-200)}, {2, at(-20)}, {3, at(280)}, {5, at(310)}, {5, at(320)}, {4, at(300)}, {7, at(330)}, {8, at(400)},
	}}}
	var got views
	v.judge(&got, "t", 1, 8, fault)
	if got.GapMs[0] != 300 || got.Lost != 1 || got.Double != 1 {
		t.Errorf("%+v, want a gap of 300 ms over the fault, number 6 lost, number 5 twice", got)
	}
}

func TestQuantile(t *testing.T) {
	var values []float64
	for i := range 100 {
		values = append(values, float64(100-i))
	}
	for share, want := range map[float64]float64{0: 1, 0.5: 50, 0.99: 99, 0.999: 100, 1: 100} {
		if got := quantile(values, share); got != want {
			t.Errorf("%v: %v, want %v", share, got, want)
		}
	}
	if got := quantile(nil, 0.5); got != 0 {
		t.Errorf("of nothing: %v", got)
	}
}

func TestPayload(t *testing.T) {
	b := payload(77, time.Unix(5, 0), 120)
	frame := append([]byte{0}, b...) // time zero
	if n, err := parsePayload(frame); err != nil || n != 77 {
		t.Errorf("%d, %v", n, err)
	}
	frame[100]++
	if _, err := parsePayload(frame); err == nil {
		t.Error("a changed object passes")
	}
}
