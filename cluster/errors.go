package cluster

import (
	"errors"
	"fmt"

	"github.com/taskraft/taskraft/fsm"
)

// The errors of a proposal or read. All are safe to repeat.
var (
	// ErrUncertain: leadership was lost, the caller's time ran out after enqueue,
	// or a restore came in between. The command may be applied, now or later.
	ErrUncertain = errors.New("outcome unknown")
	// ErrOverloaded: the proposal queue is full; nothing was proposed.
	ErrOverloaded = errors.New("too many proposals are waiting")
	// ErrDiskLow: free space is under the watermark; submits are refused, nothing was proposed.
	ErrDiskLow = errors.New("free disk space is below the watermark")
	// ErrMemoryLow: live objects fill the memory limit; submits are refused, nothing was proposed.
	ErrMemoryLow = errors.New("the master's memory is nearly full")
	// ErrStreamReplaced: a newer stream of the same worker process took over.
	ErrStreamReplaced = errors.New("replaced by a newer stream")
	// ErrSlowConsumer: the worker does not read its stream.
	ErrSlowConsumer = errors.New("the worker does not read its stream")
	// ErrWatchFull: a Watch has MaxWatched tasks already.
	ErrWatchFull = errors.New("too many tasks are watched")
	// ErrNoMember: no other voter has that name.
	ErrNoMember = errors.New("no other voter has this name")
	// ErrNoSuccessor: no other voter can lead at the moment.
	ErrNoSuccessor = errors.New("no other voter can take over")
	// ErrChangeUnderWay: the members are being changed already, or an earlier one has
	// not become a voter yet. Nothing was changed.
	ErrChangeUnderWay = errors.New("another change of the members is under way")
	// ErrMemberExists: the name or the address belongs to a member.
	ErrMemberExists = errors.New("a member has this name or address")
	// ErrQuorum: too few voters would be left that answer.
	ErrQuorum = errors.New("the cluster would lose its majority")
	// ErrUnreachable: the leader does not reach the master that should join.
	ErrUnreachable = errors.New("the leader does not reach the master")
	// ErrForeign: the master has data, another name, or too old a version.
	ErrForeign = errors.New("the master cannot be taken in")
	// ErrLevel: the feature level stays where it is; nothing was changed.
	ErrLevel = errors.New("the feature level cannot be raised")
	// ErrNotEmpty: a backup is restored only where nothing was ever kept.
	ErrNotEmpty = errors.New("the cluster is not empty: restore into one that was formed for it")
	// ErrStopped: this node has stopped.
	ErrStopped = errors.New("the node has stopped")
)

// NotLeaderError says that another master leads, or none: nothing was applied.
type NotLeaderError struct{ Leader Leader }

func (e *NotLeaderError) Error() string {
	if e.Leader.Name == "" {
		return "no leader is known"
	}
	return fmt.Sprintf("not the leader: ask %s at %s", e.Leader.Name, e.Leader.GRPC)
}

// RefusedError is a refusal of the state machine where the caller needs an error.
type RefusedError struct{ Outcome fsm.Outcome }

func (e *RefusedError) Error() string { return fmt.Sprintf("refused: outcome %d", e.Outcome) }

// FaultKind groups fatal errors by what the operator must do.
type FaultKind uint8

// The kinds of fatal errors.
const (
	FaultConfig   FaultKind = iota + 1 // exit 2
	FaultDisk                          // exit 10: data directory, disk, corruption
	FaultBind                          // exit 12: address in use, permission, limits
	FaultIdentity                      // exit 13: cluster identity or version
	FaultNoLeader                      // exit 7: no cluster to join was reached
)

// Fault is a fatal error: the node does not start, or stops.
type Fault struct {
	Kind FaultKind
	Err  error
}

func (f *Fault) Error() string { return f.Err.Error() }
func (f *Fault) Unwrap() error { return f.Err }
