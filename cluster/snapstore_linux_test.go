package cluster

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/taskraft/taskraft/fsm"
)

// fill makes every further write to the open files below dir fail with ENOSPC.
func fill(t *testing.T, dir string) {
	t.Helper()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	links, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	filled := 0
	for _, l := range links {
		if to, err := os.Readlink(l); err != nil || !strings.HasPrefix(to, dir) {
			continue
		}
		fd, err := strconv.Atoi(filepath.Base(l))
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Dup3(int(full.Fd()), fd, unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		filled++
	}
	if filled != 1 {
		t.Fatalf("%d open files in %s, want the one of the snapshot", filled, dir)
	}
}

func TestB14SnapshotOnAFullDiskLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	s := openedSnapshots(t, dir)
	t.Run("taken", func(t *testing.T) {
		sink := createSnapshot(t, s, 7)
		fill(t, dir)
		if err := (frozen{s: fsm.New().Snapshot()}).Persist(sink); !errors.Is(err, unix.ENOSPC) {
			t.Errorf("got %v, want %v", err, unix.ENOSPC)
		}
	})
	t.Run("cut off while written", func(t *testing.T) { // as Raft does on an InstallSnapshot
		sink := createSnapshot(t, s, 8)
		fill(t, dir)
		if _, err := sink.Write(make([]byte, 1<<20)); !errors.Is(err, unix.ENOSPC) {
			t.Errorf("got %v, want %v", err, unix.ENOSPC)
		}
		if err := sink.Cancel(); !errors.Is(err, unix.ENOSPC) {
			t.Errorf("got %v, want %v: Raft's sink has changed", err, unix.ENOSPC)
		}
	})
	if left := leftovers(t, dir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
