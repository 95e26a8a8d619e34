package cli

import (
	"log/slog"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/taskraft/taskraft/cmd/taskraft/internal/settings"
)

const (
	// leastFiles is the least number of open files that a master starts with: one
	// per worker, client and master, and its stores.
	leastFiles = 1024
	// memoryShare of a container's memory is where collection gets eager.
	memoryShare = 0.9
)

// checkLimits refuses to start where the system's limits are too low. Go has
// raised the soft limit to the hard one before.
func checkLimits() error {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return fail(exitBind, "", "read the limit of open files: %w", err)
	}
	if files.Cur < leastFiles {
		return fail(exitBind, "ulimit -n 65536, or LimitNOFILE=65536 in the systemd unit", "open files: nofile %d < %d", files.Cur, leastFiles)
	}
	return nil
}

// checkTimeZone warns of a TZ that Go replaces by UTC without a word.
func (a *app) checkTimeZone(log *slog.Logger) {
	name, ok := lookupEnv(a.Env, "TZ")
	if !ok || name == "" {
		return
	}
	name = strings.TrimPrefix(name, ":")
	if _, err := time.LoadLocation(name); err != nil && !isFile(name) {
		log.Warn("unknown time zone: using UTC", "tz", name)
	}
}

func isFile(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

func lookupEnv(env []string, name string) (string, bool) {
	for _, kv := range env {
		if key, value, ok := strings.Cut(kv, "="); ok && key == name {
			return value, true
		}
	}
	return "", false
}

// tuneMemory sets the collector where the operator did not, and returns the
// values in effect.
func tuneMemory(env []string) (gogc, limit string) {
	if _, set := lookupEnv(env, "GOMEMLIMIT"); !set {
		if most := containerMemory(); most > 0 {
			debug.SetMemoryLimit(int64(float64(most) * memoryShare))
		}
	}
	if _, set := lookupEnv(env, "GOGC"); !set {
		paceCollector()
	}
	gogc, limit = strconv.Itoa(gcPercentNow()), "none"
	if n := debug.SetMemoryLimit(-1); n < math.MaxInt64 {
		limit = settings.FormatSize(n >> 20 << 20)
	}
	return gogc, limit
}

// containerMemory is the control group's memory limit in bytes, 0 if there is none.
func containerMemory() int64 {
	data, err := os.ReadFile("/sys/fs/cgroup/memory.max")
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
	if err != nil {
		return 0 // "max"
	}
	return n
}

func gomaxprocs() int { return runtime.GOMAXPROCS(0) }
