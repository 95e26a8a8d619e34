package wal

import (
	"os"

	"github.com/taskraft/taskraft/cluster/datadir"
	"github.com/taskraft/taskraft/cluster/mutant"
)

// Disk watches what an open log does to its files, so that a simulator can lose what
// was not synced. Its methods may take their time, and fail what they are asked about.
type Disk interface {
	// Writing is called before b is written.
	Writing(f *os.File, b []byte, at int64) error
	// Syncing is called before what was written is made durable.
	Syncing(f *os.File) error
	// SyncingNames is called before the names of a directory's files are made durable.
	SyncingNames(dir string) error
}

// Attend has d watch the log from now on. Call it before any write.
func (l *Log) Attend(d Disk) { l.disk = d }

func (l *Log) put(f *os.File, b []byte, at int64) error {
	if l.disk != nil {
		if err := l.disk.Writing(f, b, at); err != nil {
			return err
		}
	}
	_, err := f.WriteAt(b, at)
	return err
}

func (l *Log) sync(f *os.File) error {
	if mutant.On("M2") { // S18
		return nil
	}
	if l.disk != nil {
		if err := l.disk.Syncing(f); err != nil {
			return err
		}
	}
	return datasync(f)
}

// syncNames makes the names of the log's files durable.
func (l *Log) syncNames() error {
	if mutant.On("M4") { // S18
		return nil
	}
	if l.disk != nil {
		if err := l.disk.SyncingNames(l.dir); err != nil {
			return err
		}
	}
	return datadir.SyncDir(l.dir)
}
