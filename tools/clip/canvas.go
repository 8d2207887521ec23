package main

import "math"

const (
	width  = 640
	height = 360
)

// colour is linear enough for flat shapes: red, green, blue from 0 to 1.
type colour [3]float64

// canvas is a picture that shapes are blended onto, with soft edges.
type canvas struct {
	pix []colour
	out []byte
}

func newCanvas() *canvas {
	return &canvas{pix: make([]colour, width*height), out: make([]byte, width*height*3)}
}

func (c *canvas) rgb() []byte {
	for i, p := range c.pix {
		for k := range p {
			c.out[i*3+k] = byte(math.Round(255 * min(max(p[k], 0), 1)))
		}
	}
	return c.out
}

// paint blends col where distance, in pixels from the edge of a shape and negative
// inside, says so. Only the box from x0, y0 to x1, y1 is looked at.
func (c *canvas) paint(x0, y0, x1, y1 float64, col colour, alpha float64, distance func(x, y float64) float64) {
	for y := max(0, int(y0)-1); y <= min(height-1, int(y1)+1); y++ {
		for x := max(0, int(x0)-1); x <= min(width-1, int(x1)+1); x++ {
			a := alpha * min(max(0.5-distance(float64(x), float64(y)), 0), 1)
			if a == 0 {
				continue
			}
			p := &c.pix[y*width+x]
			for k := range p {
				p[k] += (col[k] - p[k]) * a
			}
		}
	}
}

func (c *canvas) disc(x, y, r float64, col colour, alpha float64) {
	c.paint(x-r, y-r, x+r, y+r, col, alpha, func(px, py float64) float64 {
		return math.Hypot(px-x, py-y) - r
	})
}

func (c *canvas) ring(x, y, r, thick float64, col colour, alpha float64) {
	c.paint(x-r-thick, y-r-thick, x+r+thick, y+r+thick, col, alpha, func(px, py float64) float64 {
		return math.Abs(math.Hypot(px-x, py-y)-r) - thick/2
	})
}

func (c *canvas) line(xa, ya, xb, yb, thick float64, col colour, alpha float64) {
	dx, dy := xb-xa, yb-ya
	long := dx*dx + dy*dy
	c.paint(min(xa, xb)-thick, min(ya, yb)-thick, max(xa, xb)+thick, max(ya, yb)+thick, col, alpha, func(px, py float64) float64 {
		t := min(max(((px-xa)*dx+(py-ya)*dy)/long, 0), 1)
		return math.Hypot(px-xa-t*dx, py-ya-t*dy) - thick/2
	})
}

func (c *canvas) box(x0, y0, x1, y1 float64, col colour, alpha float64) {
	c.paint(x0, y0, x1, y1, col, alpha, func(px, py float64) float64 {
		return max(x0-px, px-x1, y0-py, py-y1)
	})
}

// glyphs are letters of 5 by 7 dots, a row to each number, the leftmost dot 16.
var glyphs = map[rune][7]byte{
	'T': {31, 4, 4, 4, 4, 4, 4}, 'R': {30, 17, 17, 30, 20, 18, 17}, 'E': {31, 16, 16, 30, 16, 16, 31},
	'L': {16, 16, 16, 16, 16, 16, 31}, 'I': {14, 4, 4, 4, 4, 4, 14}, 'S': {15, 16, 16, 14, 1, 1, 30},
	'F': {31, 16, 16, 30, 16, 16, 16}, 'A': {14, 17, 17, 31, 17, 17, 17}, 'M': {17, 27, 21, 21, 17, 17, 17},
	'0': {14, 17, 19, 21, 25, 17, 14}, '1': {4, 12, 4, 4, 4, 4, 14}, '2': {14, 17, 1, 2, 4, 8, 31},
	'3': {31, 2, 4, 2, 1, 17, 14}, '4': {2, 6, 10, 18, 31, 2, 2}, '5': {31, 16, 30, 1, 1, 17, 14},
	'6': {6, 8, 16, 30, 17, 17, 14}, '7': {31, 1, 2, 4, 8, 8, 8}, '8': {14, 17, 17, 14, 17, 17, 14},
	'9': {14, 17, 17, 15, 1, 2, 12}, '.': {0, 0, 0, 0, 0, 12, 12}, '/': {1, 1, 2, 4, 8, 16, 16}, ' ': {},
}

// text writes s with dots of the given size, its top left corner at x, y.
func (c *canvas) text(x, y, dot float64, s string, col colour) {
	for _, r := range s {
		for row, bits := range glyphs[r] {
			for i := range 5 {
				if bits&(16>>i) != 0 {
					px, py := x+float64(i)*dot, y+float64(row)*dot
					c.box(px, py, px+dot-1, py+dot-1, col, 1)
				}
			}
		}
		x += 6 * dot
	}
}
