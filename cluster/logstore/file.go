package logstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"

	"github.com/taskraft/taskraft/cluster/datadir"
)

// A file is made under another name and renamed when it is whole and durable: a
// crash leaves either no raft.db or a sound one.
const (
	creating   = ".tmp"
	compacting = ".compact"
)

func removeLeftovers(path string) error {
	for _, suffix := range []string{creating, compacting} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// create makes an empty file.
func create(path string) error {
	db, err := openBolt(path + creating)
	if err != nil {
		return err
	}
	if err := db.Close(); err != nil {
		return err
	}
	return publish(path+creating, path)
}

// publish makes a finished file durable under its final name.
func publish(from, to string) error {
	f, err := os.OpenFile(from, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return datadir.SyncDir(filepath.Dir(to))
}

const (
	// compactMinimum: smaller files are left as they are, bbolt reuses free pages.
	compactMinimum = 256 << 20
	// compactTx is the size of a transaction while copying, in bytes.
	compactTx = 16 << 20
)

// compact replaces a checked file by a copy without its free pages, and was by
// what the check of the copy saw. On a disk without room for both it does nothing.
func compact(cfg *Config, was *found) error {
	path := cfg.Path
	if space, err := datadir.Measure(filepath.Dir(path)); err != nil || space.Free < uint64(was.usedBytes)*2+datadir.StartMinimum {
		cfg.Logger.Warn("log store not compacted, too little space", "bytes", was.fileBytes, "used", was.usedBytes, "free", space.Free, "err", err)
		return nil
	}
	if err := protect(func() error { return copyBolt(path+compacting, path) }); err != nil {
		return errors.Join(err, os.Remove(path+compacting))
	}
	now, err := inspect(path + compacting)
	if err != nil {
		return err
	}
	if now.span.first != was.span.first || now.span.last() != was.span.last() || len(now.stable) != len(was.stable) {
		return fmt.Errorf("the copy has entries %d to %d instead of %d to %d",
			now.span.first, now.span.last(), was.span.first, was.span.last())
	}
	if err := publish(path+compacting, path); err != nil {
		return err
	}
	cfg.Logger.Info("log store compacted", "before", was.fileBytes, "after", now.fileBytes)
	*was = *now
	return nil
}

// copyBolt copies what a file holds. The copy is not synced: publish does it.
func copyBolt(to, from string) (err error) {
	src, err := bbolt.Open(from, 0o600, &bbolt.Options{ReadOnly: true, Timeout: lockTimeout})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	dst, err := bbolt.Open(to, 0o600, &bbolt.Options{
		NoSync: true, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType, Timeout: lockTimeout,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dst.Close()) }()
	return bbolt.Compact(dst, src, compactTx)
}
