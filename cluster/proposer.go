package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"google.golang.org/protobuf/proto"

	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// Bounds of the proposer. Every entry costs each master an fsync, so beyond
// eagerInFlight an entry waits until it is worth one: that costs a caller less
// time than the fsyncs of many small entries would.
const (
	eagerInFlight    = 1         // entries, however small
	maxInFlight      = 4         // entries, when worthwhile bytes wait
	worthwhile       = 64 << 10  // bytes of proposals
	maxInFlightBytes = 4 << 20   // of these entries
	maxEntryBytes    = 256 << 10 // of several commands
	maxCommandBytes  = 1280 << 10

	defaultQueueDepth = 8192
)

// errTooLarge is a programmer's error: the edge refuses such commands.
var errTooLarge = errors.New("command is larger than an entry may be")

// class is a command's place inside an entry.
type class uint8

const (
	classSession class = iota
	classReport
	classTick
	classSubmit
	classAssign
	classes
)

func classOf(cmd *fsmpb.Command) class {
	switch cmd.GetKind().(type) {
	case *fsmpb.Command_OpenSession, *fsmpb.Command_UpdateSession, *fsmpb.Command_CloseSession, *fsmpb.Command_ExpireSession:
		return classSession
	case *fsmpb.Command_Complete, *fsmpb.Command_Fail, *fsmpb.Command_Release, *fsmpb.Command_Cancel, *fsmpb.Command_CancelBatch:
		return classReport
	case *fsmpb.Command_Tick:
		return classTick
	case *fsmpb.Command_Assign:
		return classAssign
	default:
		return classSubmit
	}
}

// weightOf bounds how many transitions a command makes, where that is known.
func weightOf(cmd *fsmpb.Command) int {
	switch k := cmd.GetKind().(type) {
	case *fsmpb.Command_Submit:
		return len(k.Submit.GetTasks())
	case *fsmpb.Command_Complete:
		n := len(k.Complete.GetItems())
		for _, c := range k.Complete.GetItems() {
			n += len(c.GetFollowUp())
		}
		return n
	case *fsmpb.Command_Fail:
		return len(k.Fail.GetItems())
	case *fsmpb.Command_Release:
		return len(k.Release.GetItems())
	case *fsmpb.Command_Cancel:
		return len(k.Cancel.GetTasks())
	case *fsmpb.Command_Retry:
		return len(k.Retry.GetTasks())
	case *fsmpb.Command_Fire:
		return transitionsAFire * len(k.Fire.GetItems())
	case *fsmpb.Command_Delete:
		return len(k.Delete.GetTasks())
	case *fsmpb.Command_UpdateSession:
		return 1 + int(min(k.UpdateSession.GetPollMax(), fsm.MaxSlots))
	default:
		return 1
	}
}

// The states of a proposal.
const (
	queued uint32 = iota
	taken         // it is in an entry: only the log knows what becomes of it
	withdrawn
)

// proposal is one command on its way into the log, and its caller's place to wait.
type proposal struct {
	cmd    *fsmpb.Command
	class  class
	size   int
	weight int
	tie    tie
	state  atomic.Uint32
	done   chan answer // one place
}

// tie is what has to happen in the very apply of a command.
type tie struct {
	attach *attach   // a stream is registered
	poll   *pollWait // a poll's reservation ends
}

type answer struct {
	res fsm.Result
	pos Position
	err error
}

// newProposal returns one from the pool, or a new one.
func (e *engine) newProposal() *proposal {
	if p, ok := e.proposals.Get().(*proposal); ok {
		return p
	}
	return &proposal{done: make(chan answer, 1)}
}

// recycle takes a proposal back whose answer was received.
func (e *engine) recycle(p *proposal) {
	p.cmd, p.tie = nil, tie{}
	e.proposals.Put(p)
}

func (p *proposal) finish(a answer) { p.done <- a }

// propose orders one command and waits for its result.
func (e *engine) propose(ctx context.Context, cmd *fsmpb.Command) (fsm.Result, Position, error) {
	l, err := e.serving()
	if err != nil {
		return fsm.Result{}, Position{}, err
	}
	switch k := cmd.GetKind().(type) {
	case *fsmpb.Command_Complete:
		l.heardWorker(k.Complete.GetWorker(), k.Complete.GetBoot())
	case *fsmpb.Command_Fail:
		l.heardWorker(k.Fail.GetWorker(), k.Fail.GetBoot())
	}
	return l.order(ctx, cmd, tie{})
}

// order queues a command and waits for its result.
func (l *reign) order(ctx context.Context, cmd *fsmpb.Command, t tie) (fsm.Result, Position, error) {
	c := classOf(cmd)
	if err := l.e.short(); err != nil && refusable(cmd) {
		return fsm.Result{}, Position{}, err
	}
	size := proto.Size(cmd) + 8 // and its frame
	if size > maxCommandBytes {
		return fsm.Result{}, Position{}, fmt.Errorf("propose %d bytes: %w", size, errTooLarge)
	}
	p := l.e.newProposal()
	p.cmd, p.class, p.size, p.weight, p.tie = cmd, c, size, weightOf(cmd), t
	p.state.Store(queued)
	if err := l.enqueue(p); err != nil {
		l.e.recycle(p)
		return fsm.Result{}, Position{}, err
	}
	select {
	case a := <-p.done:
		l.e.recycle(p)
		return a.res, a.pos, a.err
	case <-ctx.Done():
		return p.abandon(ctx)
	}
}

// refusable reports whether a command may be turned away while the disk is low:
// what adds tasks, unless it is a repeat. Whether that one was applied before
// only the table knows.
func refusable(cmd *fsmpb.Command) bool {
	switch cmd.GetKind().(type) {
	case *fsmpb.Command_Submit, *fsmpb.Command_StageBatch, *fsmpb.Command_Fire, *fsmpb.Command_TriggerSchedule:
		return !cmd.GetCall().GetRepeat()
	}
	return false
}

// abandon withdraws a proposal whose caller waits no longer: before it was put
// into an entry it is not applied, afterwards nobody knows.
func (p *proposal) abandon(ctx context.Context) (fsm.Result, Position, error) {
	if p.state.CompareAndSwap(queued, withdrawn) {
		return fsm.Result{}, Position{}, ctx.Err() // the proposer drops it
	}
	select {
	case a := <-p.done: // it came at the same moment
		return a.res, a.pos, a.err
	default:
		return fsm.Result{}, Position{}, fmt.Errorf("%w: %w", ErrUncertain, context.Cause(ctx))
	}
}

// enqueue puts a proposal into the queue or says why not: it is not proposed.
func (l *reign) enqueue(p *proposal) error {
	switch l.inbox.put(p) {
	case inboxFull:
		l.e.count.overloaded.Add(1)
		return ErrOverloaded
	case inboxClosed:
		return l.e.notLeader()
	}
	l.work.ring()
	return nil
}

// propose is the proposer: it turns what waits into entries, one after the
// other, without a timer: while entries are in flight the next one gathers.
func (l *reign) propose() {
	defer close(l.flights)
	for {
		f, entry := l.build()
		if f == nil {
			select {
			case <-l.work:
				continue
			case <-l.closed:
				return
			}
		}
		b, err := fsm.EncodeEntry(make([]byte, 0, f.bytes+64), entry)
		if err != nil {
			f.fut = failedFuture{fmt.Errorf("encode entry: %w", err)}
		} else {
			f.fut = l.e.r.Append(b)
		}
		l.flights <- f
	}
}

// failedFuture is an entry that was never proposed.
type failedFuture struct{ err error }

func (f failedFuture) Wait() (*fsm.Applied, error) { return nil, f.err }

// settle waits for the entries in flight, in order. Those that applied have been
// answered there and then; the others fail here.
func (l *reign) settle() {
	for f := range l.flights {
		a, err := f.fut.Wait()
		if err == nil && a.NotLeader {
			err = &NotLeaderError{}
		}
		if nl, ok := errors.AsType[*NotLeaderError](err); ok && nl.Leader.Name == "" {
			err = l.e.notLeader()
		}
		l.mu.Lock()
		if !f.landed {
			if err == nil { // applied, but this reign did not see it
				l.answer(nil, f, a)
				l.doubtPlanned(f)
				l.flushStreams()
			} else {
				l.fail(f, err)
			}
			l.land(f)
			l.work.ring()
		}
		l.release(f)
		l.mu.Unlock()
	}
}
