package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/taskraft/taskraft/fsm"
)

// replica is this node's Raft as the engine sees it: it implements replicator.
type replica struct {
	raft     atomic.Pointer[raft.Raft] // nil before formation
	peers    *peers
	leader   *signal[Leader]
	isolated *signal[bool]
	closing  <-chan struct{} // closed when the node begins to stop: nothing is waited for any more

	yielding atomic.Bool  // leadership is being handed over: no new entries
	inFlight atomic.Int64 // entries without an answer
}

// enqueueTimeout bounds how long an entry waits for Raft's main loop, which a
// hung write holds up: the entry is then certainly not in the log.
const enqueueTimeout = isolateAfter

// Append implements replicator.
func (r *replica) Append(entry []byte) future {
	rf := r.raft.Load()
	if isolated, _ := r.isolated.get(); rf == nil || isolated || r.yielding.Load() {
		return &entryFuture{err: r.notLeader()}
	}
	_, isolated := r.isolated.get()
	f := &entryFuture{replica: r, done: make(chan struct{}), isolated: isolated}
	r.inFlight.Add(1)
	af := rf.Apply(entry, enqueueTimeout)
	go f.resolve(af)
	return f
}

func (r *replica) notLeader() *NotLeaderError {
	l, _ := r.leader.get()
	if l.Self {
		l = Leader{Term: l.Term}
	}
	return &NotLeaderError{Leader: l}
}

// ConfirmTerm implements replicator. An entry of a later term can only exist
// once a majority has left this one, so a majority still in it now shows that
// what this leader has applied is the newest there is.
func (r *replica) ConfirmTerm(ctx context.Context, term uint64) error {
	rf := r.raft.Load()
	if rf == nil || rf.State() != raft.Leader || rf.CurrentTerm() != term {
		return r.notLeader()
	}
	others, need := r.otherVoters(rf)
	if need == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, confirmTimeout)
	defer cancel()
	answers := make(chan error, len(others))
	for _, o := range others {
		go func() { answers <- r.peers.confirmTerm(ctx, o, term) }()
	}
	var problems []error
	for range others {
		if err := <-answers; err != nil {
			problems = append(problems, err)
		} else if need--; need == 0 {
			return nil
		}
	}
	if rf.State() != raft.Leader || rf.CurrentTerm() != term {
		return r.notLeader()
	}
	return fmt.Errorf("confirm term %d: %w", term, errors.Join(problems...))
}

// confirmTimeout is far beyond any healthy round trip.
const confirmTimeout = 2 * time.Second

// otherVoters returns the other voters and how many of them make a majority
// together with this node.
func (r *replica) otherVoters(rf *raft.Raft) (others []raft.Server, need int) {
	voters := 0
	for _, s := range rf.GetConfiguration().Configuration().Servers {
		if s.Suffrage != raft.Voter {
			continue
		}
		voters++
		if s.ID != r.peers.self {
			others = append(others, s)
		}
	}
	return others, voters / 2
}

// PeerClocks implements replicator.
func (r *replica) PeerClocks() []time.Duration { return r.peers.clocks() }

// drainEntriesFor is far more than a commit takes.
const drainEntriesFor = 500 * time.Millisecond

// drain waits, for a moment, until every entry has its answer.
func (r *replica) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, drainEntriesFor)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for r.inFlight.Load() > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// entryFuture is one entry on its way through Raft.
type entryFuture struct {
	replica  *replica
	isolated <-chan struct{} // closed when the node isolates

	done    chan struct{}
	applied *fsm.Applied
	err     error
}

// resolve waits for Raft's answer. Raft may never give one for an entry that was
// committed while it shut down (hashicorp/raft#498); Wait does not depend on it.
func (f *entryFuture) resolve(af raft.ApplyFuture) {
	f.applied, f.err = f.replica.outcome(af)
	f.replica.inFlight.Add(-1)
	close(f.done)
}

// Wait implements future.
func (f *entryFuture) Wait() (*fsm.Applied, error) {
	if f.replica == nil { // refused before Raft saw it
		return nil, f.err
	}
	select {
	case <-f.done:
		return f.applied, f.err
	case <-f.isolated:
		return nil, fmt.Errorf("%w: the disk does not answer", ErrUncertain)
	case <-f.replica.closing:
		return nil, fmt.Errorf("%w: the node is stopping", ErrUncertain)
	}
}

// outcome maps Raft's answer to the three that a caller can get.
func (r *replica) outcome(af raft.ApplyFuture) (*fsm.Applied, error) {
	switch err := af.Error(); {
	case err == nil:
	case errors.Is(err, raft.ErrNotLeader),
		errors.Is(err, raft.ErrEnqueueTimeout), // never enqueued: there is no BatchApplyCh
		errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return nil, r.notLeader()
	default: // leadership lost, shutdown, aborted by restore, store errors
		return nil, fmt.Errorf("%w: %w", ErrUncertain, err)
	}
	a, ok := af.Response().(*fsm.Applied)
	if !ok {
		return nil, fmt.Errorf("%w: the table has stopped", ErrUncertain)
	}
	if a.NotLeader {
		return nil, r.notLeader()
	}
	return a, nil
}
