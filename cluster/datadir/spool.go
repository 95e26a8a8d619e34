package datadir

import (
	"errors"
	"os"
	"path/filepath"
)

// Spool is a file for what is too large for memory and needed by this process alone.
// Closing it removes it. It keeps its name until then, since not every file system lets
// a file without one be written.
type Spool struct{ *os.File }

const spools = "spool-*.tmp"

// Spool returns an empty one.
func (d *Dir) Spool() (*Spool, error) {
	f, err := os.CreateTemp(d.Path(), spools)
	if err != nil {
		return nil, err
	}
	return &Spool{f}, nil
}

// Close removes the file.
func (s *Spool) Close() error { return errors.Join(s.File.Close(), os.Remove(s.Name())) }

// sweep removes the spools of processes that were killed.
func (d *Dir) sweep() error {
	left, err := filepath.Glob(filepath.Join(d.Path(), spools))
	for _, name := range left {
		err = errors.Join(err, os.Remove(name))
	}
	return err
}
