// Command clip draws the picture and the sound of the demonstration clip: a
// lattice with objects travelling on it, a clock, a frame counter, and ticks that
// are heard when the hand is up. It writes raw frames or samples to standard
// output; make.sh encodes them.
//
// Everything moves with a period of the loop, so that its end joins its beginning.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
)

// The loop: 8 seconds, each second of which begins with a tick.
const (
	seconds = 8
	fps     = 30
	frames  = seconds * fps
)

func main() {
	what := flag.String("write", "video", "video: RGB frames of 640x360; audio: 16-bit stereo samples at 48 kHz")
	warmup := flag.Float64("warmup", 0, "seconds of sound from the loop's end to begin with, to settle an encoder")
	flag.Parse()
	out := bufio.NewWriterSize(os.Stdout, 1<<20)
	if err := run(out, *what, *warmup); err != nil {
		fmt.Fprintln(os.Stderr, "clip:", err)
		os.Exit(1)
	}
}

func run(out *bufio.Writer, what string, warmup float64) error {
	var err error
	switch what {
	case "video":
		err = writeVideo(out)
	case "audio":
		err = writeAudio(out, warmup)
	default:
		err = fmt.Errorf("cannot write %q", what)
	}
	if err != nil {
		return err
	}
	return out.Flush()
}

func writeVideo(out io.Writer) error {
	background := newCanvas()
	drawBackground(background)
	c := newCanvas()
	for n := range frames {
		copy(c.pix, background.pix)
		drawFrame(c, n)
		if _, err := out.Write(c.rgb()); err != nil {
			return err
		}
	}
	return nil
}
