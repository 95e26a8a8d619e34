package datadir

import (
	"errors"
	"os"
	"slices"
	"time"
)

// probes is how many writes Probe times: enough for a median, quick on a slow disk.
const probes = 33

// Probe names dir's file system (ext4, xfs, tmpfs, nfs, …, or its magic number)
// and measures the median time of a 4 KiB write followed by fdatasync. The
// directory must exist and be writable; nothing stays in it.
func Probe(dir string) (fs string, fsyncP50 time.Duration, err error) {
	fs, err = fsType(dir)
	if err != nil {
		return "", 0, diskError(dir, "find file system type: %w", err)
	}
	f, err := os.CreateTemp(dir, ".probe-*")
	if err != nil {
		return fs, 0, diskError(dir, "create probe file: %w%s", err, remedy(err))
	}
	fsyncP50, err = probe(f)
	if err := errors.Join(err, f.Close(), os.Remove(f.Name())); err != nil {
		return fs, 0, diskError(dir, "probe fsync: %w%s", err, remedy(err))
	}
	return fs, fsyncP50, nil
}

// probe overwrites the same page again and again, as bbolt does with its meta
// pages: growing the file would also time the file system's journal.
func probe(f *os.File) (time.Duration, error) {
	page := make([]byte, 4096)
	if _, err := f.WriteAt(page, 0); err != nil {
		return 0, err
	}
	if err := f.Sync(); err != nil {
		return 0, err
	}
	took := make([]time.Duration, probes)
	for i := range took {
		page[0] = byte(i)
		start := time.Now()
		if _, err := f.WriteAt(page, 0); err != nil {
			return 0, err
		}
		if err := fdatasync(f); err != nil {
			return 0, err
		}
		took[i] = time.Since(start)
	}
	slices.Sort(took)
	return took[probes/2], nil
}

// Volatile reports whether a file system of that name forgets at power-off, so
// that fsync there promises nothing.
func Volatile(fs string) bool { return fs == "tmpfs" || fs == "ramfs" }

// Network reports whether a file system of that name lives on another machine,
// where locks and fsync cannot be relied upon.
func Network(fs string) bool { return fs == "nfs" || fs == "cifs" || fs == "smb2" || fs == "9p" }
