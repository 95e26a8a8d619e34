package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/taskraft/taskraft/internal/proc"
)

// freezing stops a process where it is, and returns what lets it go on.
type freezing func(ctx context.Context, s *stage, p *proc.Process) (thaw func() error, err error)

// bySignal stops the process alone: the programs of a worker run on.
func bySignal(_ context.Context, _ *stage, p *proc.Process) (func() error, error) {
	return func() error { return p.Signal(syscall.SIGCONT) }, p.Signal(syscall.SIGSTOP)
}

// byCgroup stops the process and all its programs at once, as a paused container or
// virtual machine is.
func byCgroup(ctx context.Context, s *stage, p *proc.Process) (func() error, error) {
	g, err := newCgroup(fmt.Sprintf("%s-%d", s.label, p.PID()))
	if err != nil {
		return nil, err
	}
	if err := g.freeze(ctx, p.PID()); err != nil {
		return nil, errors.Join(err, g.thaw(ctx))
	}
	return func() error { return g.thaw(context.WithoutCancel(ctx)) }, nil
}

// cgroup is a group of processes of version 2, below this program's own.
type cgroup struct{ home, dir string }

// newCgroup makes one, where the kernel has them and lets us.
func newCgroup(name string) (*cgroup, error) {
	home, err := ownCgroup()
	if err != nil {
		return nil, err
	}
	g := &cgroup{home: home, dir: filepath.Join(home, fmt.Sprintf("taskraft-chaos-%d-%s", os.Getpid(), name))}
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		return nil, fmt.Errorf("make a cgroup: %w", err)
	}
	if _, err := os.Stat(filepath.Join(g.dir, "cgroup.freeze")); err != nil {
		return nil, errors.Join(fmt.Errorf("cgroups cannot freeze: %w", err), os.Remove(g.dir))
	}
	return g, nil
}

// canFreeze says why processes cannot be frozen by cgroup.
func canFreeze(name string) error {
	g, err := newCgroup(name)
	if err != nil {
		return err
	}
	return os.Remove(g.dir)
}

// ownCgroup returns the directory of the cgroup that this program is in.
func ownCgroup() (string, error) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return "", fmt.Errorf("find cgroups: %w", err)
	}
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", fmt.Errorf("find cgroups: %w", err)
	}
	root, path := "", ""
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 2 && f[2] == "cgroup2" {
			root = f[1]
		}
	}
	for line := range strings.Lines(string(groups)) {
		if p, ok := strings.CutPrefix(line, "0::"); ok {
			path = strings.TrimSpace(p)
		}
	}
	if root == "" || path == "" {
		return "", errors.New("no cgroups of version 2")
	}
	return filepath.Join(root, path), nil
}

// freeze takes a process and its descendants in, and returns when all stand still.
func (g *cgroup) freeze(ctx context.Context, pid int) error {
	if err := g.write("cgroup.freeze", "1"); err != nil {
		return err
	}
	for settled := false; !settled; { // one that was born meanwhile is in the next family
		settled = true
		all, err := family(pid)
		if err != nil {
			return err
		}
		in, err := g.members()
		if err != nil {
			return err
		}
		for _, p := range all {
			if slices.Contains(in, p) {
				continue
			}
			settled = false
			if err := g.move(p, g.dir); err != nil {
				return err
			}
		}
	}
	return proc.Poll(ctx, time.Millisecond, "the cgroup is frozen", func() bool {
		events, err := os.ReadFile(filepath.Join(g.dir, "cgroup.events"))
		return err == nil && strings.Contains(string(events), "frozen 1")
	})
}

// thaw lets all go on, where they were before, and removes the group.
func (g *cgroup) thaw(ctx context.Context) error {
	if err := g.write("cgroup.freeze", "0"); err != nil {
		return err
	}
	var last error
	err := proc.Poll(ctx, 10*time.Millisecond, "the cgroup is empty", func() bool {
		in, err := g.members()
		for _, p := range in {
			err = errors.Join(err, g.move(p, g.home))
		}
		last = errors.Join(err, os.Remove(g.dir))
		return last == nil
	})
	if err != nil {
		return errors.Join(err, last)
	}
	return nil
}

func (g *cgroup) write(name, text string) error {
	return os.WriteFile(filepath.Join(g.dir, name), []byte(text), 0)
}

// move moves a process; one that has ended is nowhere.
func (*cgroup) move(pid int, to string) error {
	err := os.WriteFile(filepath.Join(to, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0)
	if errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return err
}

func (g *cgroup) members() (pids []int, err error) {
	f, err := os.Open(filepath.Join(g.dir, "cgroup.procs"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		pid, err := strconv.Atoi(lines.Text())
		if err != nil {
			return nil, err
		}
		pids = append(pids, pid)
	}
	return pids, nil
}

// family returns a process and all that descend from it.
func family(pid int) ([]int, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	children := make(map[int][]int)
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // it has ended
		}
		if err != nil {
			return nil, err
		}
		var child, parent int
		var state string
		name := strings.LastIndex(string(text), ")") // "17 (a name) S 1 …"
		if _, err := fmt.Sscan(string(text[:max(name, 0)]), &child); err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		if _, err := fmt.Sscan(string(text[name+1:]), &state, &parent); err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		if state != "Z" {
			children[parent] = append(children[parent], child)
		}
	}
	all := []int{pid}
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
	}
	return all, nil
}
