package draw_test

import (
	"encoding/xml"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"trellis/routing"
	"trellis/routing/draw"
	"trellis/routing/routingtest"
)

// Every picture is well-formed and shows numbers.
func TestPictures(t *testing.T) {
	for seed := range 60 {
		r := rand.New(rand.NewPCG(uint64(seed), 11))
		d := routingtest.Several(r, 3+r.IntN(12), 2)
		p, err := routing.New(d, routing.Config{})
		if err != nil {
			t.Fatal(err)
		}
		p.Plan(nil)
		plan, err := routing.Protect(d, p.Result(), routing.ByNode, 1)
		if err != nil {
			t.Fatal(err)
		}
		for i := range d.Tracks {
			svg := string(draw.SVG(d, plan, i))
			if strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
				t.Fatalf("seed %d: a number is none", seed)
			}
			x := xml.NewDecoder(strings.NewReader(svg))
			for {
				if _, err := x.Token(); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
			}
		}
	}
}
