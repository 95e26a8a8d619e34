package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/taskraft/taskraft/cluster/datadir"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/settings"
	"github.com/taskraft/taskraft/cmd/taskraft/internal/show"
)

const (
	// manyFiles is for some ten thousand workers and clients.
	manyFiles = 65536
	// slowShare and tooSlowShare are the parts of a heartbeat that the median durable
	// write may take: above the one elections get likely, above the other a master with
	// --raft-timing lan does not start.
	slowShare, tooSlowShare = 5, 2.5
)

func (a *app) doctorCommand() *cobra.Command {
	m := &a.config.master
	return a.command(commandSpec{
		use: "doctor [--data-dir DIR] [flags]", short: "Look whether this machine can run a master, one line for each finding",
		long: `Look at this machine with the settings of a master: the data directory, its file
system and how long a durable write takes, free space, ports, the limit of open
files, time synchronization. Nothing is changed; a master may run meanwhile, and
then has its ports. A problem ends with code 1, notes alone end with 0.`,
		example: "  taskraft doctor --data-dir /var/lib/taskraft\n  taskraft doctor --config /etc/taskraft.yaml",
		rows:    concat(a.config.outputRows(), doctorRows(m)),
		run:     func(ctx context.Context, _ []string) error { return a.printFindings(a.examine(ctx)) },
	})
}

// doctorRows are the settings of a master that the machine must suit; none is required.
func doctorRows(m *masterConfig) settings.Table {
	var rows settings.Table
	for _, r := range m.rows() {
		switch r.Flag {
		case "data-dir", "grpc-addr", "raft-addr", "http-addr", "raft-timing":
			r.Required = false
			rows = append(rows, r)
		}
	}
	return rows
}

func (a *app) examine(ctx context.Context) *findings {
	m := &a.config.master
	f := new(findings)
	dir := "no --data-dir given"
	if m.dataDir != "" {
		dir = f.directory(m.dataDir, raftTimings[m.raftTiming])
	}
	for _, x := range []struct{ flag, addr string }{{"grpc-addr", m.grpcAddr}, {"raft-addr", m.raftAddr}, {"http-addr", m.httpAddr}} {
		f.port(ctx, x.flag, x.addr)
	}
	f.files()
	switch synchronized, known := clockSynchronized(); {
	case !known:
		f.add(note, "clock", "", "", "this system does not say whether its clock is synchronized")
	case !synchronized:
		f.add(note, "clock", "", "run chrony or systemd-timesyncd", "the kernel says that nothing synchronizes its clock")
	}
	f.Summary = dir
	return f
}

// directory looks at the data directory, or where it would be made, and says how it is.
func (f *findings) directory(path string, heartbeat time.Duration) string {
	const check = "data_dir"
	at := path
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		at = filepath.Dir(filepath.Clean(path))
		f.add(note, check, path, "", "does not exist yet: the first start makes it")
	case err != nil:
		f.add(problem, check, path, "run this as the user that the master runs as", "cannot be looked at: %v", err)
		return path
	case !info.IsDir():
		f.add(problem, check, path, "name a directory", "is not a directory")
		return path
	case info.Mode().Perm()&0o022 != 0:
		f.add(problem, check, path, "chmod 700 "+path, "can be written by group or others (mode %04o)", info.Mode().Perm())
	}
	if why := datadir.Condemned(path); why != "" {
		f.add(problem, check, path, "", "is not to be used: %s", why)
	}
	fs, p50, err := datadir.Probe(at)
	if err != nil {
		f.add(problem, check, at, "make it, or give it to the user that the master runs as", "cannot be written: %v", err)
		return path
	}
	switch {
	case datadir.Volatile(fs):
		f.add(note, "file_system", at, "a disk, outside of tests", "is on %s, which forgets everything at power-off", fs)
	case datadir.Network(fs):
		f.add(problem, "file_system", at, "a local disk", "is on %s, where locks and fsync cannot be relied upon", fs)
	}
	took := show.Duration(p50)
	switch {
	case float64(p50) > float64(heartbeat)/tooSlowShare:
		f.add(problem, "disk_speed", at, "a faster disk, or a longer --raft-timing on every master", "takes %s for a durable write (median), a heartbeat is %s", took, heartbeat)
	case p50 > heartbeat/slowShare:
		f.add(note, "disk_speed", at, "a faster disk, or a longer --raft-timing on every master", "takes %s for a durable write (median), a heartbeat is %s", took, heartbeat)
	}
	f.room(at)
	return fmt.Sprintf("%s on %s, durable write %s (median)", path, fs, took)
}

func (f *findings) room(at string) {
	switch s, err := datadir.Measure(at); {
	case err != nil:
		f.add(problem, "disk_space", at, "use a local disk", "does not tell its free space: %v", err)
	case s.Free < datadir.StartMinimum:
		f.add(problem, "disk_space", at, "free some", "has %d MiB free: a master does not start below %d", s.Free>>20, datadir.StartMinimum>>20)
	case s.Low():
		f.add(problem, "disk_space", at, "free some", "has %d MiB of %d free: submits would be refused", s.Free>>20, s.Total>>20)
	}
}

// port looks whether an address can be listened on.
func (f *findings) port(ctx context.Context, flag, addr string) {
	if addr == "" {
		return
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err == nil {
		_ = l.Close()
		return
	}
	bad, _ := errors.AsType[*failure](bindFailure(flag, addr, err))
	text := strings.TrimPrefix(bad.Error(), "--"+flag+": ")
	if _, holder := listener(portOf(addr)); holder == "taskraft" {
		f.add(note, "port", "--"+flag, "", "%s: a master runs here", text)
		return
	}
	f.add(problem, "port", "--"+flag, bad.try, "%s", text)
}

func portOf(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return port
}

func (f *findings) files() {
	var files syscall.Rlimit
	const do = "ulimit -n 65536, or LimitNOFILE=65536 in the systemd unit"
	switch err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); {
	case err != nil:
		f.add(problem, "open_files", "", do, "the limit cannot be read: %v", err)
	case files.Cur < leastFiles:
		f.add(problem, "open_files", "", do, "the limit is %d, a master needs %d", files.Cur, leastFiles)
	case files.Cur < manyFiles:
		f.add(note, "open_files", "", do, "the limit is %d: enough for some %d workers and clients", files.Cur, files.Cur/2)
	}
}
