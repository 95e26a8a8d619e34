package peer

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// clockTick is the unit of CPU times in /proc: USER_HZ is 100 wherever Linux runs Go.
const clockTick = 10 * time.Millisecond

// Usage is what processes have used since they started.
type Usage struct {
	CPU     time.Duration // user and system time, with that of ended children
	Written uint64        // bytes that went, or will go, to a block device
}

// Since returns what was used after before.
func (u Usage) Since(before Usage) Usage {
	return Usage{CPU: u.CPU - before.CPU, Written: u.Written - min(u.Written, before.Written)}
}

// UsageOf adds up the processes and all their descendants.
func UsageOf(pids []int) (Usage, error) {
	var sum Usage
	family, err := descendants(pids)
	if err != nil {
		return sum, err
	}
	for _, pid := range family {
		cpu, err := cpuTime(pid)
		if err != nil {
			return sum, err
		}
		written, err := field(pid, "io", "write_bytes:")
		if err != nil {
			return sum, err
		}
		sum.CPU += cpu
		sum.Written += written
	}
	return sum, nil
}

// LargestRSS returns the resident memory in bytes of the largest of the processes.
func LargestRSS(pids []int) (uint64, error) {
	var largest uint64
	for _, pid := range pids {
		kib, err := field(pid, "status", "VmRSS:")
		if err != nil {
			return 0, err
		}
		largest = max(largest, kib<<10)
	}
	return largest, nil
}

// OwnCPU returns the CPU time of this process.
func OwnCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// descendants returns pids and all processes below them.
func descendants(pids []int) ([]int, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	children := make(map[int][]int)
	for _, path := range stats {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			continue
		}
		if f, err := stat(pid); err == nil { // it may have ended meanwhile
			parent, err := strconv.Atoi(f[1])
			if err == nil {
				children[parent] = append(children[parent], pid)
			}
		}
	}
	var family []int
	for todo := pids; len(todo) > 0; {
		family = append(family, todo...)
		var next []int
		for _, pid := range todo {
			next = append(next, children[pid]...)
		}
		todo = next
	}
	return family, nil
}

// stat returns the fields of /proc/PID/stat from the state on: the name before
// it may contain anything.
func stat(pid int) ([]string, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, fmt.Errorf("read process accounts: %w", err)
	}
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	if len(fields) < 15 {
		return nil, fmt.Errorf("read process accounts of %d: %q", pid, data)
	}
	return fields, nil
}

// cpuTime is utime, stime, cutime and cstime.
func cpuTime(pid int) (time.Duration, error) {
	fields, err := stat(pid)
	if err != nil {
		return 0, err
	}
	var ticks int64
	for _, f := range fields[11:15] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read CPU time of %d: %w", pid, err)
		}
		ticks += n
	}
	return time.Duration(ticks) * clockTick, nil
}

// field returns a number from a file of "name: number" lines.
func field(pid int, file, name string) (uint64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		return 0, fmt.Errorf("read process accounts: %w", err)
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == name {
			return strconv.ParseUint(f[1], 10, 64)
		}
	}
	return 0, fmt.Errorf("read %s of process %d: there is none", name, pid)
}
