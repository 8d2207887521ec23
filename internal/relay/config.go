package relay

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Config bounds what a Table may hold. A zero field means its default.
type Config struct {
	// MaxBroadcasts and MaxTracks (per broadcast) bound the names. Defaults
	// 100,000 and 256.
	MaxBroadcasts int
	MaxTracks     int
	// MaxGroups bounds the groups cached per track. Default 128: two and a half
	// seconds of audio at one group for each 20 ms frame, enough for a link to
	// repair a loss at any distance on earth.
	MaxGroups int
	// MaxObjectBytes bounds one object. Default 8 MiB.
	MaxObjectBytes int
	// MaxGroupBytes bounds one group. Default 32 MiB: ten seconds at 25 Mbit/s.
	MaxGroupBytes int
	// MaxTrackBytes bounds the cache of one track. Default 64 MiB.
	MaxTrackBytes int
	// MaxBytes bounds the caches of all tracks together. Default 2 GiB.
	MaxBytes int64
	// Retention is how long a group stays after a newer one began, unless the
	// track's own MaxLatency is longer. Default 5 s, at most 30 s either way.
	Retention time.Duration
	// Linger is how long a track is kept open without a subscriber. Default 5 s.
	Linger time.Duration
	// Orphan is how long a group whose writer went away waits for another to
	// go on with it. Default 2 s.
	Orphan time.Duration
	// Metrics receives the package's collectors; nil for none.
	Metrics prometheus.Registerer
}

const maxRetention = 30 * time.Second

func (c Config) withDefaults() (Config, error) {
	for _, f := range []struct {
		name string
		v    *int
		def  int
	}{
		{"MaxBroadcasts", &c.MaxBroadcasts, 100_000},
		{"MaxTracks", &c.MaxTracks, 256},
		{"MaxGroups", &c.MaxGroups, 128},
		{"MaxObjectBytes", &c.MaxObjectBytes, 8 << 20},
		{"MaxGroupBytes", &c.MaxGroupBytes, 32 << 20},
		{"MaxTrackBytes", &c.MaxTrackBytes, 64 << 20},
	} {
		if *f.v < 0 {
			return c, fmt.Errorf("relay.Config.%s is %d: must not be negative", f.name, *f.v)
		}
		if *f.v == 0 {
			*f.v = f.def
		}
	}
	for _, f := range []struct {
		name string
		v    *time.Duration
		def  time.Duration
	}{
		{"Retention", &c.Retention, 5 * time.Second},
		{"Linger", &c.Linger, 5 * time.Second},
		{"Orphan", &c.Orphan, 2 * time.Second},
	} {
		if *f.v < 0 {
			return c, fmt.Errorf("relay.Config.%s is %v: must not be negative", f.name, *f.v)
		}
		if *f.v == 0 {
			*f.v = f.def
		}
	}
	if c.MaxBytes < 0 {
		return c, fmt.Errorf("relay.Config.MaxBytes is %d: must not be negative", c.MaxBytes)
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = 2 << 30
	}
	if c.MaxGroups < 2 {
		return c, fmt.Errorf("relay.Config.MaxGroups is %d: at least 2, the newest and the one before", c.MaxGroups)
	}
	if c.MaxObjectBytes > c.MaxGroupBytes || c.MaxGroupBytes > c.MaxTrackBytes {
		return c, fmt.Errorf("relay.Config: need MaxObjectBytes (%d) <= MaxGroupBytes (%d) <= MaxTrackBytes (%d)",
			c.MaxObjectBytes, c.MaxGroupBytes, c.MaxTrackBytes)
	}
	c.Retention = min(c.Retention, maxRetention)
	return c, nil
}
