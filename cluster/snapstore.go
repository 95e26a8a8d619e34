package cluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/taskraft/taskraft/cluster/datadir"
)

// snapshotStore is Raft's store of snapshots in files without its leftovers: a
// sink whose disk is full repeats the error instead of removing what it has
// written, a sink that cannot be opened leaves a directory, and so does a crash.
// Together they would keep the disk full for ever. It also tells of every whole
// snapshot before Raft may delete the log that it replaces.
type snapshotStore struct {
	*raft.FileSnapshotStore
	path string
	kept func(index uint64) error

	mu   sync.Mutex
	open map[string]bool // directories of sinks in use
}

// unfinished ends the names of what is no snapshot yet, in Raft's store.
const unfinished = ".tmp"

// openSnapshots opens the snapshots folder in parent, whose lock the caller holds.
// kept is called with the index of every snapshot that is durably in place.
func openSnapshots(parent string, kept func(index uint64) error, log hclog.Logger) (*snapshotStore, error) {
	s := &snapshotStore{path: filepath.Join(parent, "snapshots"), kept: kept, open: map[string]bool{}}
	if err := s.sweep(); err != nil { // first: opening writes, which takes space
		return nil, fmt.Errorf("remove unfinished snapshots: %w", err)
	}
	var err error
	if s.FileSnapshotStore, err = raft.NewFileSnapshotStoreWithLogger(parent, keepSnapshots, log); err != nil {
		return nil, fmt.Errorf("open snapshots: %w", err)
	}
	if err := datadir.SyncDir(parent); err != nil { // the folder itself
		return nil, fmt.Errorf("open snapshots: %w", err)
	}
	return s, nil
}

// Create implements raft.SnapshotStore.
func (s *snapshotStore) Create(version raft.SnapshotVersion, index, term uint64, c raft.Configuration, at uint64, tr raft.Transport) (raft.SnapshotSink, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sink, err := s.FileSnapshotStore.Create(version, index, term, c, at, tr)
	if err != nil {
		return nil, errors.Join(err, s.sweep())
	}
	s.open[sink.ID()+unfinished] = true
	return &snapshotSink{SnapshotSink: sink, store: s, index: index}, nil
}

// ended removes what the sink of that id has left.
func (s *snapshotStore) ended(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, id+unfinished)
	return s.sweep()
}

// sweep removes the unfinished snapshots that no sink is writing; with mu held.
func (s *snapshotStore) sweep() error {
	list, err := os.ReadDir(s.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	for _, e := range list {
		if name := e.Name(); strings.HasSuffix(name, unfinished) && !s.open[name] {
			err = errors.Join(err, os.RemoveAll(filepath.Join(s.path, name)))
		}
	}
	return err
}

// snapshotSink is one snapshot that is being written.
type snapshotSink struct {
	raft.SnapshotSink
	store *snapshotStore
	index uint64
}

// Close implements raft.SnapshotSink. Raft syncs the files of a snapshot and the
// folder of snapshots, but not the names of the files in their own directory: without
// these there is an empty snapshot after a power cut, and no log before it any more.
func (s *snapshotSink) Close() error {
	err := s.SnapshotSink.Close()
	if err == nil {
		err = datadir.SyncDir(filepath.Join(s.store.path, s.ID()))
	}
	if err == nil {
		err = s.store.kept(s.index)
	}
	return errors.Join(err, s.store.ended(s.ID()))
}

// Cancel implements raft.SnapshotSink.
func (s *snapshotSink) Cancel() error {
	return errors.Join(s.SnapshotSink.Cancel(), s.store.ended(s.ID()))
}
