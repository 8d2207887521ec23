package quality

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
)

const (
	filmSeconds = 4
	// grain is the amplitude of what changes from frame to frame, of 255: it keeps
	// encoders at their target rate, which a test pattern does not.
	grain = 8
	pan   = 2 // pixels that the picture moves in a frame
)

// writeFilm writes what the publisher's camera sees, as YUV4MPEG2: a landscape of
// random blocks that moves by, with grain. Browsers play it over and over.
func writeFilm(name string, seed uint64) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := f.Close(); err == nil {
			err = cerr
		}
	}()
	w := bufio.NewWriterSize(f, 1<<20)
	if _, err := fmt.Fprintf(w, "YUV4MPEG2 W%d H%d F%d:1 Ip A1:1 C420jpeg\n", cameraWidth, cameraHeight, cameraRate); err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	land := newLandscape(rng)
	row := make([]byte, cameraWidth)
	for n := range filmSeconds * cameraRate {
		if _, err := w.WriteString("FRAME\n"); err != nil {
			return err
		}
		for plane, scale := range []int{1, 2, 2} {
			width := cameraWidth / scale
			for y := range cameraHeight / scale {
				for x := range width {
					v := int(land.at(x*scale+n*pan, y*scale+n, plane))
					if plane == 0 {
						v += rng.IntN(2*grain+1) - grain
					}
					row[x] = byte(min(max(v, 16), 235))
				}
				if _, err := w.Write(row[:width]); err != nil {
					return err
				}
			}
		}
	}
	return w.Flush()
}

// landscape is random hills of several sizes on top of each other, smooth as most
// of what cameras see.
type landscape struct{ tiles [3][64][64]byte }

func newLandscape(rng *rand.Rand) *landscape {
	l := &landscape{}
	for i := range l.tiles {
		for y := range l.tiles[i] {
			for x := range l.tiles[i][y] {
				l.tiles[i][y][x] = byte(rng.IntN(256))
			}
		}
	}
	return l
}

func (l *landscape) at(x, y, plane int) byte {
	sum := 0
	for i, size := range []int{96, 48, 24} {
		weight := 4 - i
		sum += weight * l.hill(i, x+plane*size*17, y, size)
	}
	return byte(sum / 9)
}

// hill interpolates between the four corners of a tile.
func (l *landscape) hill(i, x, y, size int) int {
	t := &l.tiles[i]
	tx, ty, fx, fy := x/size, y/size, x%size, y%size
	corner := func(dx, dy int) int { return int(t[(ty+dy)%64][(tx+dx)%64]) }
	top := corner(0, 0)*(size-fx) + corner(1, 0)*fx
	bottom := corner(0, 1)*(size-fx) + corner(1, 1)*fx
	return (top*(size-fy) + bottom*fy) / (size * size)
}
