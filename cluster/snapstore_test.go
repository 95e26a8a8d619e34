package cluster

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"
)

func createSnapshot(t *testing.T, s *snapshotStore, index uint64) raft.SnapshotSink {
	t.Helper()
	_, tr := raft.NewInmemTransport("n1")
	sink, err := s.Create(1, index, 1, raft.Configuration{}, 1, tr)
	if err != nil {
		t.Fatal(err)
	}
	return sink
}

func openedSnapshots(t *testing.T, dir string) *snapshotStore {
	t.Helper()
	s, err := openSnapshots(dir, newRaftLog(discard))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// leftovers returns the unfinished snapshots in a directory.
func leftovers(t *testing.T, dir string) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, "snapshots", "*.tmp"))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestUnfinishedSnapshotsAreRemovedAtTheStart(t *testing.T) {
	dir := t.TempDir()
	createSnapshot(t, openedSnapshots(t, dir), 7) // and the process dies
	if len(leftovers(t, dir)) != 1 {
		t.Fatal("nothing is left: Raft's store has changed")
	}
	openedSnapshots(t, dir)
	if left := leftovers(t, dir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestSweepSparesWhatIsBeingWritten(t *testing.T) {
	dir := t.TempDir()
	s := openedSnapshots(t, dir)
	going := createSnapshot(t, s, 7)
	if err := createSnapshot(t, s, 8).Cancel(); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "snapshots", "1-9-0.tmp"), 0o700); err != nil { // of a Create that failed
		t.Fatal(err)
	}
	if err := createSnapshot(t, s, 10).Close(); err != nil {
		t.Fatal(err)
	}
	if left := leftovers(t, dir); len(left) != 1 {
		t.Errorf("left: %v, want the one that is being written", left)
	}
	if err := going.Close(); err != nil {
		t.Fatal(err)
	}
	if list, err := s.List(); err != nil || len(list) != 2 {
		t.Errorf("%d snapshots, err %v, want 2", len(list), err)
	}
}
