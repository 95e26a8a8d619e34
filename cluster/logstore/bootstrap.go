package logstore

import (
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
)

// checkOwner compares the file's owner with the directory's identity. The
// identity adopts a cluster first, then the file is stamped, then it gets its
// first state; so only an empty file may be without a stamp.
func (s *Store) checkOwner(f *found) error {
	owner, want := string(f.stable[string(keyOwner)]), s.cfg.Owner
	_, kept := f.stable[string(keyLog)]
	empty := s.span.empty() && (len(f.stable) == 0 || kept && len(f.stable) == 1)
	switch {
	case owner == want && (want != "" || empty):
		return nil
	case empty:
		err := protect(func() error { return s.db.Set(keyOwner, sealValue(keyOwner, []byte(want))) })
		if err != nil {
			return diskError(s.cfg.Path, "store owner: %w", err)
		}
		return nil
	case want == "":
		return identityError(s.cfg.Path, "the log belongs to %q but the identity beside it has no cluster: these files are not from one directory, put back the right ones",
			owner)
	default:
		return identityError(s.cfg.Path, "the log belongs to %q, the identity beside it says %q: these files are not from one directory, put back the right ones",
			owner, want)
	}
}

// Adopt stamps the file with its owner, durably, after datadir.Dir.Adopt and
// before Bootstrap.
func (s *Store) Adopt(owner string) error {
	if owner == "" {
		return errors.New("adopt a log store: no owner")
	}
	return s.put(keyOwner, []byte(owner))
}

// Bootstrap gives an empty node its first configuration, with which all masters
// of a forming cluster begin. It does nothing on a node with any state, and it
// finishes the work of a bootstrap that a crash cut off: raft.BootstrapCluster
// stores the term and then the entry, and would refuse for ever after the first.
func (s *Store) Bootstrap(conf *raft.Config, snaps raft.SnapshotStore, trans raft.Transport, c raft.Configuration) error {
	list, err := snaps.List()
	if err != nil {
		return fmt.Errorf("bootstrap: list snapshots: %w", err)
	}
	vote, err := s.get(keyVote)
	if err != nil {
		return err
	}
	term, err := s.GetUint64(keyCurrentTerm)
	if err != nil {
		return err
	}
	last, err := s.LastIndex()
	if err != nil {
		return err
	}
	if len(list) > 0 || vote != nil || term > 1 || last > 0 {
		return nil
	}
	if term == 1 {
		if err := s.SetUint64(keyCurrentTerm, 0); err != nil {
			return err
		}
	}
	if err := raft.BootstrapCluster(conf, s, s, snaps, trans, c); err != nil {
		return fmt.Errorf("bootstrap: %w", err)
	}
	return nil
}

// DropSuperseded compares the log with the newest snapshot, of that index and
// term (zeros: there is none). It deletes the whole log, and says so, when the
// snapshot makes it useless: the log ends before the snapshot, or holds an entry of
// another term at the snapshot's index. Raft deletes such a log when it installs a
// snapshot; after a crash in between it would continue behind a hole, or refuse
// every AppendEntries and ask for the snapshot for ever (hashicorp/raft#697). A log
// that begins after the entry that follows the snapshot is an error: entries are
// lost. Call it before raft.NewRaft.
func (s *Store) DropSuperseded(index, term uint64) (bool, error) {
	s.mu.RLock()
	first, last := s.span.first, s.span.last()
	s.mu.RUnlock()
	switch {
	case last == 0 || first == index+1:
		return false, nil
	case first > index+1:
		return false, diskError(s.cfg.Path, "the log begins at entry %d and the newest snapshot ends at %d, entries in between are lost: put the snapshots back, or remove this member and re-add it with --rejoin",
			first, index)
	case last >= index:
		var l raft.Log
		if err := s.GetLog(index, &l); err != nil {
			return false, err
		}
		if l.Term == term {
			return false, nil
		}
	}
	if err := s.RaiseFloor(index); err != nil {
		return false, err
	}
	return true, s.DeleteRange(first, last)
}
