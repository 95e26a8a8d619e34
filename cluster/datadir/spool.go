package datadir

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// Spool is a file for what is too large for memory and needed by this process alone.
// Closing it removes it. It keeps its name until then, since not every file system lets
// a file without one be written.
type Spool struct{ *os.File }

// SpoolName is what a spool's name begins with; no other file's does.
const SpoolName = "spool-"

// Spool returns an empty one.
func (d *Dir) Spool() (*Spool, error) {
	f, err := os.CreateTemp(d.Path(), SpoolName+"*.tmp")
	if err != nil {
		return nil, err
	}
	return &Spool{f}, nil
}

// Close removes the file.
func (s *Spool) Close() error { return errors.Join(s.File.Close(), os.Remove(s.Name())) }

// sweep removes the spools of processes that were killed.
func (d *Dir) sweep() error {
	list, err := os.ReadDir(d.Path())
	for _, e := range list {
		if strings.HasPrefix(e.Name(), SpoolName) {
			err = errors.Join(err, os.Remove(filepath.Join(d.Path(), e.Name())))
		}
	}
	return err
}
