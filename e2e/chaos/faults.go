package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/taskraft/taskraft/internal/checker"
	"github.com/taskraft/taskraft/internal/proc"
)

// processKinds are faults of processes, and of what a log says.
var processKinds = []kind{
	{name: "kill leader", do: killLeader},
	{name: "kill follower", do: killFollower},
	{name: "kill all masters", do: killAll},
	{name: "stop leader", do: stopLeader},
	{name: "freeze leader", do: freezeLeader},
	{name: "freeze follower", do: freezeFollower},
	{name: "kill worker", do: killWorker, worker: true},
	{name: "lose worker", do: loseWorker, worker: true},
	{name: "freeze worker", do: freezeWorker, worker: true},
	{name: "flip a bit", do: flipBit},
	{name: "truncate log", do: truncateLog},
}

func killLeader(ctx context.Context, n *hand, f *checker.Fault) (string, error) {
	return endLeader(ctx, n, f, (*proc.Master).Kill)
}

func stopLeader(ctx context.Context, n *hand, f *checker.Fault) (string, error) {
	return endLeader(ctx, n, f, (*proc.Master).Stop)
}

func endLeader(ctx context.Context, n *hand, f *checker.Fault, end func(*proc.Master) error) (string, error) {
	m, term, err := n.leader(ctx, f)
	if err != nil {
		return "", err
	}
	if err := end(m); err != nil {
		return "", err
	}
	effect, err := n.deposed(ctx, m, term)
	return effect, errors.Join(err, n.back(ctx, m))
}

func killFollower(ctx context.Context, n *hand, f *checker.Fault) (string, error) {
	m, err := n.follower(ctx, f)
	if err != nil {
		return "", err
	}
	if err := m.Kill(); err != nil {
		return "", err
	}
	effect := m.Process().Exit()
	return effect, errors.Join(pass(ctx, n.between(0.1, 2)), n.back(ctx, m))
}

func killAll(ctx context.Context, n *hand, f *checker.Fault) (string, error) {
	f.Target = "all"
	for _, m := range n.stage.cluster.Masters() { // all signals first, then all funerals
		if err := m.Process().Signal(syscall.SIGKILL); err != nil {
			return "", err
		}
	}
	for _, m := range n.stage.cluster.Masters() {
		<-m.Process().Done()
	}
	began := time.Now()
	if err := n.stage.cluster.Start(); err != nil {
		return "", err
	}
	_, err := n.stage.cluster.Leader(ctx)
	return fmt.Sprintf("a leader serves %d ms after the start", time.Since(began).Milliseconds()), err
}

func freezeLeader(ctx context.Context, n *hand, f *checker.Fault) (string, error) {
	m, term, err := n.leader(ctx, f)
	if err != nil {
		return "", err
	}
	if err := m.Process().Signal(syscall.SIGSTOP); err != nil {
		return "", err
	}
	effect, err := n.deposed(ctx, m, term)
	err = errors.Join(err, pass(ctx, n.between(0, 3)), m.Process().Signal(syscall.SIGCONT))
	return effect, errors.Join(err, n.stage.cluster.Rejoined(ctx, m))
}

func freezeFollower(ctx context.Context, n *hand, f *checker.Fault) (string, error) {
	m, err := n.follower(ctx, f)
	if err != nil {
		return "", err
	}
	if err := m.Process().Signal(syscall.SIGSTOP); err != nil {
		return "", err
	}
	err = pass(ctx, n.between(1, 4))
	effect := ""
	if _, deaf := m.Status(ctx); deaf != nil {
		effect = "it did not answer"
	}
	return effect, errors.Join(err, m.Process().Signal(syscall.SIGCONT), n.stage.cluster.Rejoined(ctx, m))
}

// anyWorker returns the place of one of the workers. One that has ended by itself, as
// when its predecessor's connection was still thought to live, is started again first.
func (n *hand) anyWorker(f *checker.Fault) (int, error) {
	i := n.rng.IntN(len(n.stage.workers))
	w := n.stage.workers[i]
	f.Target = w.ID
	if w.Running() {
		return i, nil
	}
	again, err := n.stage.worker(w.ID)
	if err == nil {
		n.stage.workers[i] = again
	}
	return i, err
}

// killWorker kills a worker's process; the next one of that id takes over at once.
func killWorker(ctx context.Context, n *hand, f *checker.Fault) (string, error) {
	return n.replaceWorker(ctx, f, 0)
}

// loseWorker kills a worker's process, and the next one comes after its session has
// expired.
func loseWorker(ctx context.Context, n *hand, f *checker.Fault) (string, error) {
	return n.replaceWorker(ctx, f, 11*time.Second)
}

func (n *hand) replaceWorker(ctx context.Context, f *checker.Fault, after time.Duration) (effect string, err error) {
	i, err := n.anyWorker(f)
	if err != nil {
		return "", err
	}
	w := n.stage.workers[i]
	if err := w.Kill(); err != nil {
		return "", err
	}
	effect = w.Exit()
	if err := pass(ctx, after); err != nil {
		return effect, err
	}
	again, err := n.stage.worker(w.ID)
	if err == nil {
		n.stage.workers[i] = again
	}
	return effect, err
}

// freezeWorker stops a worker for longer than its session lives.
func freezeWorker(ctx context.Context, n *hand, f *checker.Fault) (string, error) {
	i, err := n.anyWorker(f)
	if err != nil {
		return "", err
	}
	w := n.stage.workers[i]
	if err := w.Signal(syscall.SIGSTOP); err != nil {
		return "", err
	}
	err = pass(ctx, n.between(11, 13))
	return "it was silent for longer than its TTL", errors.Join(err, w.Signal(syscall.SIGCONT), pass(ctx, time.Second))
}

func flipBit(ctx context.Context, n *hand, f *checker.Fault) (string, error) {
	return damage(ctx, n, f, func(b []byte) []byte {
		b[written(b)/3] ^= 1 << n.rng.IntN(8)
		return b
	})
}

func truncateLog(ctx context.Context, n *hand, f *checker.Fault) (string, error) {
	return damage(ctx, n, f, func(b []byte) []byte { return b[:written(b)/3] })
}

// damage does something to the written part of a killed follower's log. It must not
// come up with that: it exits with the code for a bad disk, or comes up because
// what was damaged was not needed. Then it gets its own log back.
func damage(ctx context.Context, n *hand, f *checker.Fault, do func([]byte) []byte) (string, error) {
	m, err := n.follower(ctx, f)
	if err != nil {
		return "", err
	}
	if err := m.Kill(); err != nil {
		return "", err
	}
	if d := n.stage.disks[m.Name]; d != nil { // so that it takes nothing back later, from under the damage
		if _, err := d.PowerCut(false); err != nil {
			return "", err
		}
	}
	path, whole, err := newestSegment(filepath.Join(n.stage.data(m), "wal"))
	if err != nil {
		return "", err
	}
	bad := do(slices.Clone(whole))
	if err := os.WriteFile(path, bad, 0o600); err != nil {
		return "", err
	}
	if err := m.Start(); err != nil {
		return "", err
	}
	err = proc.Poll(ctx, 50*time.Millisecond, m.Name+" starts or refuses to", func() bool {
		s, err := m.Status(ctx)
		return !m.Running() || err == nil && s.GetAppliedIndex() > 0
	})
	if err != nil {
		return "", err
	}
	effect := m.Process().Exit()
	if effect != "exit status 10" {
		return "", fmt.Errorf("with a damaged log: %q, want exit status 10", effect)
	}
	effect = "refused: " + effect
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		return effect, err
	}
	return effect, n.back(ctx, m)
}

// written returns where the zeros begin that a segment is allocated with.
func written(b []byte) int { return len(bytes.TrimRight(b, "\x00")) }

// newestSegment returns the log's last file.
func newestSegment(dir string) (path string, data []byte, err error) {
	err = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(d.Name(), ".wal") && p > path {
			path = p
		}
		return err
	})
	if err != nil || path == "" {
		return "", nil, errors.Join(err, fmt.Errorf("no file in %s", dir))
	}
	data, err = os.ReadFile(path)
	return path, data, err
}
