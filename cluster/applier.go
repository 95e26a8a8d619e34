package cluster

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"github.com/taskraft/taskraft/fsm"
)

// applier is the table as Raft sees it: it implements raft.BatchingFSM. Raft
// calls all its methods from one goroutine.
type applier struct {
	table   *table
	log     *slog.Logger
	applied func(*fsm.Applied) // in log order, with table.mu held for writing
	renewed func()             // the table was replaced, with table.mu held for writing
	news    func()             // a term's first entry, or a change of the members, was applied; must not block
	fatal   func(*Fault)

	hashes  hashes
	record  recorder
	tap     tap
	watch   func(l *raft.Log, done *fsm.Applied, hash uint64) // nil: no simulator does
	failed  bool
	decoder fsm.Decoder

	// oldest is the lowest snapshot index that leaves no hole before the log. Set
	// while Raft starts, 0 afterwards.
	oldest uint64

	// Raft's AppliedIndex means "sent to the applier"; this is applied.
	index, term atomic.Uint64
}

// response of an entry that the table has not seen: the outcome is unknown.
type unseen struct{}

// Apply implements raft.FSM; with ApplyBatch there, Raft does not call it.
func (a *applier) Apply(l *raft.Log) any { return a.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch implements raft.BatchingFSM: one lock per batch, decoding before it.
func (a *applier) ApplyBatch(logs []*raft.Log) []any {
	out := make([]any, len(logs))
	for i := range out {
		out[i] = unseen{}
	}
	if a.failed {
		return out
	}
	entries, err := a.decode(logs)
	defer a.decoder.Reset()
	a.commit(logs[:len(entries)], entries, out)
	if err != nil {
		a.fail(logs[len(entries)].Index, err)
	}
	return out
}

// stopAbove stops the node when an entry has raised the feature level above what this
// binary knows: it could not read its own next snapshot. With table.mu held.
func (a *applier) stopAbove(index uint64) {
	if level := a.table.m.FeatureLevel(); level > fsm.Level && !a.failed {
		a.fail(index, fmt.Errorf("the feature level was raised to %d, this version knows %d: %w", level, fsm.Level, fsm.ErrNewer))
	}
}

// decode decodes up to the first entry that cannot be; configuration entries are
// nil.
func (a *applier) decode(logs []*raft.Log) ([]*fsm.Entry, error) {
	entries := make([]*fsm.Entry, 0, len(logs))
	for _, l := range logs {
		var e *fsm.Entry
		if l.Type == raft.LogCommand {
			var err error
			if e, err = a.decoder.Entry(l.Data); err != nil {
				return entries, err
			}
		}
		entries = append(entries, e)
	}
	return entries, nil
}

func (a *applier) commit(logs []*raft.Log, entries []*fsm.Entry, out []any) {
	if len(logs) == 0 {
		return
	}
	a.table.mu.Lock()
	defer a.table.mu.Unlock()
	for i, l := range logs {
		if entries[i] == nil {
			a.table.m.SetApplied(l.Index, l.Term)
			a.record.ring.Reached(l.Index)
			a.tap.entry(l, nil)
			a.watched(l, nil)
			a.applied(&fsm.Applied{Index: l.Index, Term: l.Term}) // readers may wait for this index
			if l.Type == raft.LogConfiguration {
				a.news()
			}
			continue
		}
		done := a.table.m.Apply(l.Index, l.Term, entries[i])
		a.hashes.note(stateHash{l.Index, a.table.m.Hash()})
		a.applied(done)
		_, _, now := a.table.m.Position()
		a.record.entry(done, entries[i].Commands, now)
		a.tap.entry(l, done)
		a.watched(l, done)
		done.Events = nil // the table uses them again
		out[i] = done
	}
	a.record.ring.Publish()
	a.tap.flush()
	last := logs[len(logs)-1]
	a.moved(last.Index, last.Term)
	a.stopAbove(last.Index)
}

// watched tells a simulator of an applied entry; done is nil for one that is not for
// the table. With table.mu held for writing.
func (a *applier) watched(l *raft.Log, done *fsm.Applied) {
	if a.watch != nil {
		a.watch(l, done, a.table.m.Hash())
	}
}

// moved publishes the applied position; with table.mu held for writing.
func (a *applier) moved(index, term uint64) {
	a.index.Store(index)
	if a.term.Swap(term) != term {
		a.news()
	}
}

// fail stops the node before the entry at index takes effect; nothing later is
// applied either.
func (a *applier) fail(index uint64, err error) {
	a.failed = true
	a.fatal(entryFault(fmt.Errorf("apply entry %d: %w", index, err)))
}

// entryFault says what bytes that cannot be read mean for the operator.
func entryFault(err error) *Fault {
	if errors.Is(err, fsm.ErrNewer) {
		return &Fault{Kind: FaultIdentity, Err: err}
	}
	return &Fault{Kind: FaultDisk, Err: err}
}

// Restore implements raft.FSM: the new table is complete before it takes the
// old one's place.
func (a *applier) Restore(r io.ReadCloser) error {
	defer r.Close()
	if a.failed {
		return errors.New("the table has stopped")
	}
	m, err := readSnapshot(r)
	if err != nil {
		if errors.Is(err, fsm.ErrNewer) {
			a.fatal(entryFault(err))
		}
		return fmt.Errorf("restore snapshot: %w", err)
	}
	index, term, _ := m.Position()
	if index < a.oldest {
		return fmt.Errorf("restore snapshot: it ends at entry %d, at least %d is needed", index, a.oldest)
	}
	a.table.mu.Lock()
	defer a.table.mu.Unlock()
	a.table.m = m
	a.hashes.restart(stateHash{index, m.Hash()})
	a.record.ring.Jump(index)
	a.moved(index, term)
	a.renewed()
	a.log.Info("table restored from a snapshot", slog.Uint64("index", index), slog.Uint64("term", term))
	return nil
}

// Snapshot implements raft.FSM: it freezes the table, which costs O(1).
func (a *applier) Snapshot() (raft.FSMSnapshot, error) {
	if a.failed {
		return nil, errors.New("the table has stopped")
	}
	a.table.mu.Lock()
	defer a.table.mu.Unlock()
	return frozen{a.table.m.Snapshot(), a.record.ring}, nil
}
