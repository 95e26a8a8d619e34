package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/taskraft/taskraft/internal/proc"
)

const (
	startPatience = 30 * time.Second
	stopPatience  = 20 * time.Second
	pollEvery     = 10 * time.Millisecond
)

// program finds a program in PATH or in one of the directories, which may be
// patterns; the last match counts, as in /usr/lib/postgresql/17/bin.
func program(name string, dirs ...string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, dir := range dirs {
		found, err := filepath.Glob(filepath.Join(dir, name))
		if err != nil {
			return "", err
		}
		if len(found) > 0 {
			return slices.Max(found), nil
		}
	}
	return "", fmt.Errorf("%s: %w", name, ErrUnavailable)
}

func addr(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// daemon is a peer's server that is one process on one port.
type daemon struct {
	process *proc.Process
	addr    string
}

// start runs path with the arguments that args returns for a free port, and
// waits until something listens there.
func (d *daemon) start(ctx context.Context, dir, path string, args func(port int) []string) error {
	ports, err := proc.FreePorts(1)
	if err != nil {
		return err
	}
	d.addr = addr(ports[0])
	name := filepath.Base(path)
	d.process, err = proc.Start(proc.Spec{
		Name: name, Path: path, Args: args(ports[0]), Dir: dir, Log: filepath.Join(dir, name+".log"),
	})
	if err != nil {
		return err
	}
	return d.listening(ctx)
}

func (d *daemon) listening(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	err := proc.Poll(ctx, pollEvery, d.process.Name()+" listens", func() bool {
		if !d.process.Running() {
			return true
		}
		conn, err := net.Dial("tcp", d.addr)
		if err != nil {
			return false
		}
		return conn.Close() == nil
	})
	if err == nil && !d.process.Running() {
		err = fmt.Errorf("%s ended at once: %s", d.process.Name(), d.process.Exit())
	}
	if err != nil {
		return fmt.Errorf("%w\n%s", err, d.process.LogTail(2<<10))
	}
	return nil
}

// PIDs returns the server's process id.
func (d *daemon) PIDs() []int { return []int{d.process.PID()} }

func (d *daemon) stop() error {
	if d.process == nil || !d.process.Running() {
		return nil
	}
	return d.process.Stop(stopPatience)
}

// mkdir makes a directory below dir.
func mkdir(dir, name string) (string, error) {
	path := filepath.Join(dir, name)
	return path, os.Mkdir(path, 0o755)
}

// untilNil repeats a call until it succeeds.
func untilNil(ctx context.Context, what string, call func() error) error {
	var last error
	err := proc.Poll(ctx, 10*pollEvery, what, func() bool {
		last = call()
		return last == nil
	})
	return errors.Join(err, last)
}
