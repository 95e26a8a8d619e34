package wal

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// datasync makes what was written to the file durable.
func datasync(f *os.File) error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}

// allocate gives the file its size and its blocks, so that no write changes them.
func allocate(f *os.File, size int64) error {
	err := unix.Fallocate(int(f.Fd()), 0, 0, size)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return f.Truncate(size)
	}
	return os.NewSyscallError("fallocate", err)
}
