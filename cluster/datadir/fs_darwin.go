package datadir

import (
	"os"

	"golang.org/x/sys/unix"
)

func fsType(path string) (string, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return "", err
	}
	return unix.ByteSliceToString(st.Fstypename[:]), nil
}

func fdatasync(f *os.File) error { return f.Sync() }
