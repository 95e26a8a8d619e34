package datadir

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// acquire takes the directory's lock and writes our pid into it. The file stays
// when the lock goes: removing it would let two processes lock two files.
func acquire(dir string) (*os.File, error) {
	path := filepath.Join(dir, lockName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, diskError(dir, "open lock: %w%s", err, remedy(err))
	}
	if err := lockFile(f); err != nil {
		return nil, errors.Join(inUse(dir, f, err), f.Close())
	}
	if err := writePID(f); err != nil {
		return nil, errors.Join(diskError(dir, "write lock: %w%s", err, remedy(err)), f.Close())
	}
	return f, nil
}

func lockFile(f *os.File) error {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func writePID(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

func inUse(dir string, f *os.File, err error) *Error {
	if !errors.Is(err, unix.EWOULDBLOCK) {
		return diskError(dir, "lock data directory: %w", err)
	}
	who := "another process"
	if b, err := io.ReadAll(io.LimitReader(f, 32)); err == nil {
		if pid, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil {
			who = fmt.Sprintf("process %d", pid)
		}
	}
	return diskError(dir, "the data directory is in use by %s: stop it, or give this master its own --data-dir", who)
}
