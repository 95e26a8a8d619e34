package datadir

import (
	"testing"

	"golang.org/x/sys/unix"
)

func mountReadOnly(t *testing.T, path string) {
	t.Helper()
	if err := unix.Mount("tmpfs", path, "tmpfs", unix.MS_RDONLY, "mode=0700"); err != nil {
		t.Skipf("cannot mount a file system here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(path, 0); err != nil {
			t.Error(err)
		}
	})
}
