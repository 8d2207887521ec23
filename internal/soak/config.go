package soak

import (
	"cmp"
	"fmt"
	"log/slog"
	"time"
)

// Config describes a run. A zero field means its default.
type Config struct {
	// Length is how long it lasts, in virtual time. Default one hour.
	Length time.Duration
	// Staying viewers are there from the beginning to the end. Default 4.
	Staying int
	// Passing is how many places there are for viewers that join, stay for a while,
	// leave, and are followed by the next. Default 6.
	Passing int
	// Stay is how long they stay at most; half of it is the least. Default 20 s.
	Stay time.Duration
	// Every is the time between quiet points. Default a twelfth of Length.
	Every time.Duration
	// Progress, if it is set, is told how far it is.
	Progress func(phase string, virtual, of time.Duration, viewers int)
	// Log receives what the node says. Nil: nothing.
	Log *slog.Logger
}

func (c Config) withDefaults() (Config, error) {
	c.Length = cmp.Or(c.Length, time.Hour)
	c.Staying = cmp.Or(c.Staying, 4)
	c.Passing = cmp.Or(c.Passing, 6)
	c.Stay = cmp.Or(c.Stay, 20*time.Second)
	c.Every = cmp.Or(c.Every, c.Length/12)
	switch {
	case c.Staying < 0 || c.Passing < 0 || c.Stay < 0:
		return c, fmt.Errorf("soak: %d viewers that stay, %d that pass, for %v: must not be negative", c.Staying, c.Passing, c.Stay)
	case c.Every < c.Stay || c.Length < 2*c.Every:
		return c, fmt.Errorf("soak: %v with a quiet point every %v: need two of them, %v or more apart", c.Length, c.Every, c.Stay)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Progress == nil {
		c.Progress = func(string, time.Duration, time.Duration, int) {}
	}
	return c, nil
}
