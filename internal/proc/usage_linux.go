package proc

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of CPU times in /proc: USER_HZ is 100 wherever Linux runs Go.
const clockTick = 10 * time.Millisecond

// Usage returns what the process has used so far, and holds now; zero when it has
// ended.
func (p *Process) Usage() Usage {
	var u Usage
	dir := "/proc/" + strconv.Itoa(p.PID())
	// Behind the name, which may hold anything, come state and 10 more fields
	// before utime and stime.
	if data, err := os.ReadFile(dir + "/stat"); err == nil {
		if fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:]); len(fields) >= 13 {
			user, _ := strconv.ParseInt(string(fields[11]), 10, 64)
			system, _ := strconv.ParseInt(string(fields[12]), 10, 64)
			u.CPU = time.Duration(user+system) * clockTick
		}
	}
	u.RSS, u.PeakRSS = kibibytes(dir+"/status", "VmRSS:"), kibibytes(dir+"/status", "VmHWM:")
	return u
}

// kibibytes returns the bytes in a line like "VmRSS:  123 kB", 0 without one.
func kibibytes(path, name string) int64 {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		var n int64
		if rest, found := strings.CutPrefix(line, name); found {
			if _, err := fmt.Sscan(rest, &n); err == nil {
				return n << 10
			}
		}
	}
	return 0
}
