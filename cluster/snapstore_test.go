package cluster

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/taskraft/taskraft/cluster/datadir"
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
	s, err := openSnapshots(dir, func(uint64) error { return nil }, newRaftLog(discard))
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

// TestB09LostSnapshotOfAnEmptyLog is a master that has installed a snapshot, after
// which Raft deletes the log, and then loses it: empty or rolled back, it must
// not vote.
func TestB09LostSnapshotOfAnEmptyLog(t *testing.T) {
	for _, keep := range []int{0, 1} {
		t.Run(strconv.Itoa(keep)+" older left", func(t *testing.T) {
			c := newTestCluster(t, 1, smallSnapshots)
			c.startAll()
			for taken := range uint64(keep + 1) {
				c.bulk(minTrailing + 30)
				eventually(t, "a snapshot", func() bool { return c.nodes[0].Status().Counters["snapshots"] > taken })
			}
			c.stop(0)
			emptyLog(t, c.cfgs[0])
			for i, s := range snapshotsOf(t, c.cfgs[0]) {
				if i >= keep {
					if err := os.RemoveAll(s); err != nil {
						t.Fatal(err)
					}
				}
			}
			n, err := Start(t.Context(), c.cfgs[0])
			if err == nil {
				n.shutdown(nil)
			}
			wantFault(t, err, FaultDisk)
		})
	}
}

// snapshotsOf returns the snapshots of a stopped master, the oldest first.
func snapshotsOf(t *testing.T, cfg Config) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(cfg.DataDir, "snapshots", "*"))
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(list, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
	return list
}

// emptyLog deletes the log of a stopped master.
func emptyLog(t *testing.T, cfg Config) {
	t.Helper()
	d, err := datadir.Open(cfg.DataDir, datadir.Options{Name: cfg.Name})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	s := openLog(t, d)
	defer s.Close()
	st := s.Stats()
	if err := s.DeleteRange(st.First, st.Last); err != nil {
		t.Fatal(err)
	}
}
