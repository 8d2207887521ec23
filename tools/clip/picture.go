package main

import (
	"fmt"
	"math"
)

var (
	night  = colour{0.043, 0.067, 0.110}
	slat   = colour{0.110, 0.180, 0.240}
	leaf   = colour{0.300, 0.780, 0.480}
	bloom  = colour{0.980, 0.560, 0.330}
	paper  = colour{0.930, 0.950, 0.930}
	shadow = colour{0.070, 0.110, 0.160}
)

// The lattice: slats in both diagonals, a node where they cross.
const (
	pitch                  = 80.0
	clockX, clockY, clockR = 516.0, 172.0, 84.0
)

func drawBackground(c *canvas) {
	for i := range c.pix {
		c.pix[i] = night
	}
	// Both families of slats cross where x and y are multiples of half a pitch.
	for x := -5 * pitch; x < width+5*pitch; x += pitch {
		c.line(x, 0, x+height, height, 3, slat, 1)
		c.line(x-height, height, x, 0, 3, slat, 1)
	}
	for y := 0.0; y <= height; y += pitch / 2 {
		for x := math.Mod(y, pitch); x <= width; x += pitch {
			c.disc(x, y, 4, slat, 1)
		}
	}
	c.disc(clockX, clockY, clockR+14, night, 0.92)
	c.ring(clockX, clockY, clockR, 4, leaf, 1)
	for i := range seconds {
		x, y := onClock(float64(i)/seconds, clockR-12)
		c.disc(x, y, 4, paper, 0.8)
	}
	c.box(36, 116, 372, 196, night, 0.92)
	c.text(52, 128, 8, "TRELLIS", paper)
	c.box(36, 222, 372, 292, night, 0.92)
	c.box(36, 320, 604, 332, shadow, 1)
}

// onClock returns the point at a share of a turn, from the top clockwise.
func onClock(turn, r float64) (x, y float64) {
	sin, cos := math.Sincos(2 * math.Pi * turn)
	return clockX + r*sin, clockY - r*cos
}

func drawFrame(c *canvas, n int) {
	t := float64(n) / fps
	drawTravellers(c, t)

	// The hand goes round once in the loop, and is at a mark when a tick is heard.
	sinceTick := t - math.Floor(t)
	flash := math.Exp(-sinceTick * 7)
	x, y := onClock(math.Floor(t)/seconds, clockR-12)
	c.disc(x, y, 5+7*flash, bloom, min(1, 0.2+flash))
	x, y = onClock(t/seconds, clockR-22)
	c.line(clockX, clockY, x, y, 5, leaf, 1)
	c.disc(clockX, clockY, 8, leaf, 1)

	c.text(52, 232, 4, fmt.Sprintf("FRAME %03d/%d", n, frames), leaf)
	c.text(52, 263, 3, fmt.Sprintf("T %d.%02d S", n/fps, n%fps*100/fps), paper)
	c.box(36, 320, 36+568*float64(n+1)/frames, 332, bloom, 1)
	for i := 1; i < seconds; i++ {
		c.box(35+568*float64(i)/seconds, 316, 36+568*float64(i)/seconds, 336, paper, 0.7)
	}
}

// drawTravellers moves objects along slats. Each covers whole pitches in the loop,
// so that it is where another was when the loop begins again.
func drawTravellers(c *canvas, t float64) {
	step := pitch * 2 * t / seconds * 2
	for i := range 5 {
		for k := -6.0; k < 10; k += 2 {
			s := step + k*pitch
			x0 := float64(i*2)*pitch - pitch
			if i%2 == 0 {
				traveller(c, x0+s, s, leaf)
			} else {
				traveller(c, x0+s, float64(height)+pitch/2-s, bloom)
			}
		}
	}
}

func traveller(c *canvas, x, y float64, col colour) {
	inClock := math.Hypot(x-clockX, y-clockY) < clockR+18
	inText := x > 30 && x < 378 && y > 110 && y < 292
	if inClock || inText || y > 310 {
		return
	}
	c.disc(x, y, 9, col, 0.25)
	c.disc(x, y, 5, col, 1)
}
