package cluster

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/taskraft/taskraft/internal/faultdisk"
)

// TestSnapshotSurvivesAPowerCut: when a snapshot is closed, the log that it replaces
// may be deleted. Raft alone leaves a directory without the names of its files.
func TestSnapshotSurvivesAPowerCut(t *testing.T) {
	disk, dir := filepath.Join(t.TempDir(), "disk"), t.TempDir()
	if err := os.Mkdir(disk, 0o700); err != nil {
		t.Fatal(err)
	}
	d, err := faultdisk.Mount(disk, dir)
	if errors.Is(err, syscall.EPERM) || errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
		t.Skipf("nothing can be mounted here: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	sink := createSnapshot(t, openedSnapshots(t, dir), 7)
	if _, err := sink.Write([]byte("the table")); err != nil {
		t.Fatal(err)
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := d.PowerCut(false); err != nil {
		t.Fatal(err)
	}
	list, err := openedSnapshots(t, dir).List()
	if err != nil || len(list) != 1 || list[0].Index != 7 {
		t.Errorf("after the power cut: %v, err %v, want the snapshot of entry 7", list, err)
	}
}
