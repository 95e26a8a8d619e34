package main

import (
	"context"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/taskraft/taskraft/bench/report"
	"github.com/taskraft/taskraft/cluster/datadir"
)

// machine describes this machine and the disk under dir.
func machine(dir string) (report.Machine, error) {
	fs, fsync, err := datadir.Probe(dir)
	m := report.Machine{
		CPU: lineOf("/proc/cpuinfo", "model name"), CPUs: runtime.NumCPU(),
		Kernel: firstLine("/proc/sys/kernel/osrelease"), FileSystem: fs, FsyncP50: float64(fsync/time.Microsecond) / 1e3,
	}
	kib, _, _ := strings.Cut(lineOf("/proc/meminfo", "MemTotal"), " ")
	if n, err := strconv.ParseUint(kib, 10, 64); err == nil {
		m.MemoryMiB = n >> 10
	}
	return m, err
}

// lineOf returns what follows the colon in the line of a file that begins with
// key, "" if there is none.
func lineOf(path, key string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		if name, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(name) == key {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func firstLine(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(data), "\n")
	return line
}

// versions returns the versions of the peers' modules and programs.
func versions(ctx context.Context, taskraft string) map[string]string {
	v := map[string]string{"go": runtime.Version()}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range info.Deps {
			for _, path := range []string{
				"github.com/nats-io/nats-server/v2", "github.com/nats-io/nats.go", "github.com/hibiken/asynq",
				"github.com/riverqueue/river", "github.com/jackc/pgx/v5", "github.com/beanstalkd/go-beanstalk",
			} {
				if dep.Path == path {
					v[path] = dep.Version
				}
			}
		}
	}
	programs := map[string][]string{
		"taskraft": {taskraft, "version"}, "redis-server": {"redis-server", "--version"},
		"postgresql": {"psql", "--version"}, "beanstalkd": {"beanstalkd", "-v"},
	}
	for name, command := range programs {
		if out, err := exec.CommandContext(ctx, command[0], command[1:]...).Output(); err == nil {
			first, _, _ := strings.Cut(string(out), "\n")
			v[name] = strings.TrimSpace(first)
		}
	}
	return v
}
