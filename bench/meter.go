package main

import (
	"fmt"
	"runtime"
	"syscall"
	"time"
)

// meter reads what the process has used so far.
type meter struct {
	cpu     time.Duration // user and system
	mallocs uint64
	wall    time.Time
}

func readMeter() (meter, error) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return meter{}, fmt.Errorf("getrusage: %w", err)
	}
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	return meter{
		cpu:     time.Duration(usage.Utime.Nano() + usage.Stime.Nano()),
		mallocs: mem.Mallocs,
		wall:    time.Now(),
	}, nil
}

// used is what happened between two readings.
type used struct {
	cpu, wall time.Duration
	mallocs   uint64
}

// metered runs f and returns what the process used meanwhile.
func metered(f func() error) (used, error) {
	before, err := readMeter()
	if err != nil {
		return used{}, err
	}
	if err := f(); err != nil {
		return used{}, err
	}
	after, err := readMeter()
	if err != nil {
		return used{}, err
	}
	return used{
		cpu:     after.cpu - before.cpu,
		wall:    after.wall.Sub(before.wall),
		mallocs: after.mallocs - before.mallocs,
	}, nil
}
