package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/taskraft/taskraft/internal/checker"
	"github.com/taskraft/taskraft/internal/proc"
)

func flipBit(ctx context.Context, n *hand, f *checker.Fault) (string, error) {
	m, err := n.follower(ctx, f)
	if err != nil {
		return "", err
	}
	return n.damage(ctx, m, newestSegment, func(b []byte) []byte {
		b[written(b)/3] ^= 1 << n.rng.IntN(8)
		return b
	})
}

func truncateLog(ctx context.Context, n *hand, f *checker.Fault) (string, error) {
	m, err := n.follower(ctx, f)
	if err != nil {
		return "", err
	}
	return n.damage(ctx, m, newestSegment, func(b []byte) []byte { return b[:written(b)/3] })
}

// flipSnapshotBit damages the table that a killed follower would begin with. It may
// begin with an older one, if its log reaches back to that.
func flipSnapshotBit(ctx context.Context, n *hand, f *checker.Fault) (string, error) {
	m, err := n.follower(ctx, f)
	if err != nil {
		return "", err
	}
	if err := n.snapshotOf(ctx, m); err != nil {
		return "", err
	}
	return n.damage(ctx, m, newestState, func(b []byte) []byte {
		b[n.rng.IntN(len(b))] ^= 1 << n.rng.IntN(8)
		return b
	})
}

// snapshotOf waits until a master has a snapshot, which takes some log.
func (h *hand) snapshotOf(ctx context.Context, m *proc.Master) error {
	h.crowd.ballast.Store(ballast)
	defer h.crowd.ballast.Store(0)
	return proc.Poll(ctx, 100*time.Millisecond, m.Name+" has a snapshot", func() bool {
		s, err := m.Status(ctx)
		return err == nil && s.GetSnapshotIndex() > 0
	})
}

// damage does something to a file of a follower, which it kills first. It must not come
// up with that: it exits with the code for a bad disk, or says that it does without the
// file. Then it gets its own back.
func (h *hand) damage(ctx context.Context, m *proc.Master, find func(data string) (string, error), do func([]byte) []byte) (string, error) {
	if err := m.Kill(); err != nil {
		return "", err
	}
	if d := h.stage.disks[m.Name]; d != nil { // so that it takes nothing back later, from under the damage
		if _, err := d.PowerCut(false); err != nil {
			return "", err
		}
	}
	path, err := find(h.stage.data(m))
	if err != nil {
		return "", err
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(path, do(slices.Clone(whole)), 0o600); err != nil {
		return "", err
	}
	said, err := h.log(m)
	if err != nil {
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
	says, err := h.log(m)
	if err != nil {
		return "", err
	}
	exit := m.Process().Exit()
	switch {
	case exit == "exit status 10":
	case m.Running() && bytes.Contains(says[len(said):], []byte(unusable)):
		return "it did without: " + unusable, h.stage.cluster.Rejoined(ctx, m) // it runs
	default:
		return "", fmt.Errorf("with a damaged %s: %q, want exit status 10", filepath.Base(path), exit)
	}
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		return "", err
	}
	return "refused: " + exit, h.back(ctx, m)
}

// unusable is what a master says of a snapshot that it passes over.
const unusable = "failed to open snapshot"

// log returns what a master has logged.
func (h *hand) log(m *proc.Master) ([]byte, error) {
	return os.ReadFile(filepath.Join(h.stage.dir, m.Name+".log"))
}

// written returns where the zeros begin that a segment is allocated with.
func written(b []byte) int { return len(bytes.TrimRight(b, "\x00")) }

// newestSegment returns the path of a log's last file.
func newestSegment(data string) (string, error) {
	return newest(filepath.Join(data, "wal", "*.wal"), strings.Compare)
}

// newestState returns the path of the newest snapshot's table. Snapshots are named
// TERM-INDEX-TIME.
func newestState(data string) (string, error) {
	return newest(filepath.Join(data, "snapshots", "*-*-*", "state.bin"), func(a, b string) int {
		return cmp.Compare(taken(a), taken(b))
	})
}

func taken(path string) (at int64) {
	fmt.Sscanf(filepath.Base(filepath.Dir(path)), "%d-%d-%d", new(int), new(int), &at)
	return at
}

// newest returns the greatest of the paths that fit the pattern.
func newest(pattern string, compare func(a, b string) int) (string, error) {
	paths, err := filepath.Glob(pattern)
	if err == nil && len(paths) == 0 {
		err = errors.New("there is none")
	}
	if err != nil {
		return "", fmt.Errorf("find %s: %w", pattern, err)
	}
	return slices.MaxFunc(paths, compare), nil
}
