package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/hashicorp/raft"

	"github.com/taskraft/taskraft/cluster/backup"
	"github.com/taskraft/taskraft/cluster/datadir"
	"github.com/taskraft/taskraft/cluster/logstore"
	"github.com/taskraft/taskraft/fsm"
)

// When a majority is gone for ever nobody can say which entries of the rest were
// committed: all that one master has becomes a backup, from which a new cluster
// begins. It holds whatever the lost masters had acknowledged together with this one,
// perhaps more, and not what they had acknowledged without it.

// Salvage is the table of a data directory whose master does not run. It keeps the
// directory's lock until Close.
type Salvage struct {
	Info  backup.Info
	Dir   string
	dir   *datadir.Dir
	table *fsm.Machine
}

// OpenSalvage reads the newest snapshot and all entries behind it. It changes
// nothing in the directory but what every start tidies up. Errors are *Fault: the
// directory belongs to no cluster, a master runs on it, it is damaged, or newer.
func OpenSalvage(ctx context.Context, path, version string, log *slog.Logger) (*Salvage, error) {
	dir, err := datadir.Open(path, datadir.Options{})
	if err != nil {
		return nil, fault(err)
	}
	s := &Salvage{Dir: path, dir: dir}
	if err := s.read(ctx, log); err != nil {
		return nil, errors.Join(fault(err), dir.Close())
	}
	own := dir.Identity()
	s.Info = backup.Info{
		ClusterID: own.ClusterID, Master: own.Name, Version: version,
		Level: uint32(s.table.FeatureLevel()), TakenAt: time.Now().UTC(),
	}
	s.Info.Index, s.Info.Term, _ = s.table.Position()
	return s, nil
}

func (s *Salvage) read(ctx context.Context, log *slog.Logger) error {
	own := s.dir.Identity()
	if !own.Formed() {
		return &Fault{Kind: FaultIdentity, Err: fmt.Errorf("%s: master %s belongs to no cluster yet: there is nothing to recover", s.Dir, own.Name)}
	}
	store, err := logstore.Open(logstore.Config{Path: s.dir.LogPath(), Owner: own.Owner(), Logger: log})
	if err != nil {
		return err
	}
	s.table, err = newestTable(s.dir.SnapshotPath(), store, own.Joined, log)
	if err == nil {
		err = replay(ctx, s.table, store)
	}
	return errors.Join(err, store.Close())
}

// newestTable restores, as a start does, the newest snapshot that can be read and
// that leaves no hole before the log; a table that never had one is empty.
func newestTable(path string, store *logstore.Store, fresh bool, log *slog.Logger) (*fsm.Machine, error) {
	snaps, err := openSnapshots(path, store.RaiseFloor, newRaftLog(log))
	if err != nil {
		return nil, &Fault{Kind: FaultDisk, Err: err}
	}
	list, oldest, err := fitSnapshots(snaps, store, fresh, log)
	if err != nil {
		return nil, err
	}
	var failed error
	for _, meta := range list {
		if meta.Index < oldest {
			break
		}
		_, r, err := snaps.Open(meta.ID)
		if err == nil {
			var m *fsm.Machine
			m, err = readSnapshot(r)
			if err = errors.Join(err, r.Close()); err == nil {
				return m, nil
			}
		}
		failed = errors.Join(failed, fmt.Errorf("read snapshot %s: %w", meta.ID, err))
	}
	if failed != nil && oldest > 0 {
		return nil, &Fault{Kind: FaultDisk, Err: failed}
	}
	return fsm.New(), nil // the log has it all
}

// replay applies the entries behind the table's.
func replay(ctx context.Context, table *fsm.Machine, store *logstore.Store) error {
	last, err := store.LastIndex()
	if err != nil {
		return err
	}
	at, _, _ := table.Position()
	var decoder fsm.Decoder
	for i := at + 1; i <= last; i++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		var l raft.Log
		if err := store.GetLog(i, &l); err != nil {
			return err
		}
		if l.Type != raft.LogCommand {
			table.SetApplied(l.Index, l.Term)
			continue
		}
		e, err := decoder.Entry(l.Data)
		if err != nil {
			return entryFault(fmt.Errorf("apply entry %d: %w", i, err))
		}
		table.Apply(l.Index, l.Term, e)
		decoder.Reset()
	}
	return nil
}

// Counts returns how many tasks, sessions and queues the table has.
func (s *Salvage) Counts() (tasks, sessions, queues int) { return s.table.Counts() }

// Write writes the backup.
func (s *Salvage) Write(ctx context.Context, w io.Writer) error {
	if err := backup.Write(ctxWriter{ctx, w}, s.Info, s.table.Snapshot()); err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	return nil
}

// Retire makes the directory one that no master starts from: a member of the old
// cluster beside the new one would hand the same tasks out.
func (s *Salvage) Retire(file string) error {
	return fault(s.dir.Condemn(fmt.Sprintf("its table was recovered into %s and lives on in another cluster: give this master another --data-dir", file)))
}

// Close gives the directory's lock back.
func (s *Salvage) Close() error { return s.dir.Close() }
