package datadir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/taskraft/taskraft/cluster/mutant"
)

// The names inside a data directory.
const (
	lockName      = "lock"
	identityName  = "identity.json"
	logName       = "raft.db"
	walName       = "wal"
	snapshotsName = "snapshots"
	condemnedName = "condemned" // why no master may start from this directory
	eventsName    = "events"
)

// Options say what Open may do and whom it serves.
type Options struct {
	// Create allows a first start: a missing directory is created with mode 0700
	// and an empty one gets an identity with a new incarnation. Without it an
	// empty or missing directory is refused.
	Create bool
	// Name is the master's name; a directory of another name is refused.
	Name string

	// space replaces the measurement of free space in tests.
	space func(path string) (Space, error)
}

// Dir is an open data directory. It holds the lock until Close.
type Dir struct {
	path  string
	fs    string
	lock  *os.File
	space func(path string) (Space, error)

	mu sync.Mutex
	id State
}

// Open checks the directory, locks it and reads or creates its identity. Every
// error wraps an *Error. The path may be a symbolic link to a directory.
func Open(path string, o Options) (*Dir, error) {
	if o.space == nil {
		o.space = Measure
	}
	if err := ensure(path, o.Create); err != nil {
		return nil, err
	}
	free, err := o.space(path)
	if err != nil {
		return nil, diskError(path, "measure free space: %w", err)
	}
	if free.Free < StartMinimum {
		return nil, diskError(path, "%d MiB free, a start needs ≥ %d MiB free: make room on this file system",
			free.Free>>20, StartMinimum>>20)
	}
	fsName, err := fsType(path)
	if err != nil {
		return nil, diskError(path, "find file system type: %w", err)
	}
	lock, err := acquire(path)
	if err != nil {
		return nil, err
	}
	d := &Dir{path: path, fs: fsName, lock: lock, space: o.space}
	if err := d.sweep(); err != nil {
		return nil, errors.Join(diskError(path, "remove what an ended process left: %w", err), d.Close())
	}
	if err := d.load(o); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// ensure makes path a directory that only its owner, us, can change.
func ensure(path string, create bool) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if !create {
			return noData(path)
		}
		if err := os.MkdirAll(path, 0o700); err != nil {
			return diskError(path, "create data directory: %w%s", err, remedy(err))
		}
		if err := SyncDir(filepath.Dir(path)); err != nil {
			return diskError(path, "create data directory: %w", err)
		}
		info, err = os.Stat(path)
	}
	if err != nil {
		return diskError(path, "open data directory: %w%s", err, remedy(err))
	}
	if !info.IsDir() {
		return diskError(path, "the data directory is a file, not a directory: choose another --data-dir")
	}
	mode := info.Mode().Perm()
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && int(stat.Uid) != os.Geteuid() {
		return diskError(path, "the data directory (mode %04o) belongs to uid %d and this process runs as uid %d: run as its owner or chown it",
			mode, stat.Uid, os.Geteuid())
	}
	if mode&0o022 != 0 {
		return diskError(path, "the data directory can be written by group or others (mode %04o): chmod 700 %s", mode, path)
	}
	return nil
}

func noData(path string) *Error {
	return diskError(path, "no data at %s: form a cluster with --peers (first start) or --join one; on a restart check --data-dir", path)
}

// remedy says what to do about an errno, as the tail of a message.
func remedy(err error) string {
	switch {
	case errors.Is(err, syscall.EROFS):
		return ": the file system is read-only, remount it or choose another --data-dir"
	case errors.Is(err, syscall.ELOOP):
		return ": fix the symbolic link or choose another --data-dir"
	case errors.Is(err, syscall.ENOTDIR):
		return ": a part of the path is a file, choose another --data-dir"
	case errors.Is(err, fs.ErrPermission):
		return ": run as the owner of the directory or choose another --data-dir"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return ": make room on this file system"
	}
	return ""
}

// load reads the identity, or creates it on a first start, and compares it with
// what else is in the directory.
func (d *Dir) load(o Options) error {
	id, err := readIdentity(d.file(identityName))
	if errors.Is(err, fs.ErrNotExist) {
		return d.first(o)
	}
	if err != nil {
		return err
	}
	if o.Name != "" && o.Name != id.Name {
		return identityError(d.path, "the data belongs to master %q (%s), this is master %q: give this master its own --data-dir",
			id.Name, id.describe(), o.Name)
	}
	if id.Formed() {
		if _, err := os.Stat(d.LogPath()); errors.Is(err, fs.ErrNotExist) {
			return diskError(d.LogPath(), "the log of %s is missing: data lost; remove this member and re-add it with --rejoin, or put the file back",
				id.describe())
		}
	}
	if why, err := os.ReadFile(d.file(condemnedName)); err == nil {
		return diskError(d.file(condemnedName), "the data of %s is not to be used: %s", id.describe(), strings.TrimSpace(string(why)))
	} else if !errors.Is(err, fs.ErrNotExist) {
		return diskError(d.file(condemnedName), "open data directory: %w", err)
	}
	d.id = id
	return nil
}

// Condemned returns why no master may start from the data in path, "" if one may. It
// needs no lock: a master may run there.
func Condemned(path string) string {
	why, _ := os.ReadFile(filepath.Join(path, condemnedName))
	return strings.TrimSpace(string(why))
}

// Condemn makes the directory one that no master starts from; why says the reason,
// and what to do instead. Errors wrap an *Error.
func (d *Dir) Condemn(why string) error {
	if err := replaceFile(d.file(condemnedName), []byte(why+"\n")); err != nil {
		return diskError(d.path, "condemn the data directory: %w", err)
	}
	return nil
}

// first gives an empty directory its identity.
func (d *Dir) first(o Options) error {
	for _, name := range []string{logName, walName, snapshotsName} {
		if !exists(d.file(name)) {
			continue
		}
		return diskError(d.file(identityName), "missing beside an existing %s: put the file back from a backup of this directory, or remove this member and re-add it with --rejoin and an empty directory", name)
	}
	if !o.Create {
		return noData(d.path)
	}
	if o.Name == "" {
		return diskError(d.path, "open data directory: a first start needs the name of the master")
	}
	id := State{Name: o.Name, Incarnation: NewID()}
	if mutant.On("M22") {
		id.Incarnation = "0"
	}
	if err := writeIdentity(d.file(identityName), id); err != nil {
		return err
	}
	d.id = id
	return nil
}

// exists reports whether there is a file, or a directory with something in it.
func exists(path string) bool {
	info, err := os.Stat(path)
	if err != nil {
		return false
	}
	if !info.IsDir() {
		return true
	}
	entries, err := os.ReadDir(path)
	return err != nil || len(entries) > 0
}

func (d *Dir) file(name string) string { return filepath.Join(d.path, name) }

// Path returns the directory as it was given to Open.
func (d *Dir) Path() string { return d.path }

// LogPath returns where the log store's file is.
func (d *Dir) LogPath() string { return d.file(logName) }

// SnapshotPath returns the directory that is to be the parent of Raft's
// snapshots folder, which Raft names "snapshots" itself.
func (d *Dir) SnapshotPath() string { return d.path }

// EventsPath returns the directory of the segments with events: a cache, which may be
// missing beside the rest.
func (d *Dir) EventsPath() string { return d.file(eventsName) }

// FileSystem names the type of the file system, as Probe does.
func (d *Dir) FileSystem() string { return d.fs }

// Close releases the lock.
func (d *Dir) Close() error {
	if err := d.lock.Close(); err != nil {
		return diskError(d.path, "close lock: %w", err)
	}
	return nil
}
