package fanout

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// clockTick is USER_HZ, which is 100 on every Linux that Go runs on.
const clockTick = 10 * time.Millisecond

// cpuOf returns the user and system time that the kernel has charged to a process:
// proc_pid_stat(5), fields 14 and 15.
func cpuOf(pid int) (time.Duration, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The name, in parentheses, may hold anything.
	fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
	const utime, stime = 14 - 3, 15 - 3
	if len(fields) <= stime {
		return 0, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	ticks := int64(0)
	for _, i := range []int{utime, stime} {
		n, err := strconv.ParseInt(string(fields[i]), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/%d/stat: %w", pid, err)
		}
		ticks += n
	}
	return time.Duration(ticks) * clockTick, nil
}

// rssOf returns the resident memory of a process in bytes.
func rssOf(pid int) (uint64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/%d/status has no VmRSS", pid)
}

// fdsOf returns how many files a process has open.
func fdsOf(pid int) (int, error) {
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	return len(all), err
}

// dropsAt returns how many packets the kernel has dropped at the UDP socket with a
// port, since its buffer was full: the last field of /proc/net/udp.
func dropsAt(port int) uint64 {
	data, err := os.ReadFile("/proc/net/udp")
	if err != nil {
		return 0 // it excuses nothing, then
	}
	suffix := fmt.Sprintf(":%04X", port)
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) > 2 && strings.HasSuffix(f[1], suffix) {
			n, _ := strconv.ParseUint(f[len(f)-1], 10, 64) // zero for what is no number
			return n
		}
	}
	return 0
}
