package rtc

import "testing"

// TestWishedLayers: the smallest that is enough, with all that are as large.
func TestWishedLayers(t *testing.T) {
	for _, c := range []struct {
		heights []int64
		wish    Wish
		want    int
	}{
		{nil, Wish{Height: 180}, 0},
		{[]int64{180, 360, 720}, Wish{}, 0},
		{[]int64{180, 360, 720}, Wish{Height: 1}, 1},
		{[]int64{180, 360, 720}, Wish{Height: 180}, 1},
		{[]int64{180, 360, 720}, Wish{Height: 181}, 2},
		{[]int64{180, 360, 720}, Wish{Height: 720}, 3},
		{[]int64{180, 360, 720}, Wish{Height: 1080}, 0}, // none is: all are wanted
		{[]int64{180, 180, 360, 360}, Wish{Height: 100}, 2},
		{[]int64{0, 0}, Wish{Height: 180}, 0}, // nobody says how large they are
	} {
		var all []*layer
		for _, h := range c.heights {
			la := &layer{}
			la.height.Store(h)
			all = append(all, la)
		}
		if got := c.wish.layers(all); got != c.want {
			t.Errorf("%d lines of %v: %d layers, want %d", c.wish.Height, c.heights, got, c.want)
		}
	}
}
