package fsm

import (
	"fmt"
	"slices"

	"github.com/tidwall/btree"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// Machine is the replicated task table. It is not safe for concurrent use: the
// caller has one lock in front of it. The same entries give the same table and
// the same results on every master.
type Machine struct {
	// Counters and clocks, written as the snapshot's first record.
	index, term uint64
	now         int64
	level       uint16
	lastTask    uint64
	lastFence   uint64
	lastSession uint64
	lastBatch   uint64
	trimmed     uint64
	lastVersion uint64 // of a schedule
	lastSweep   uint64
	deadRetries []*fsmpb.DeadRetry // oldest first; replaced or appended to, not changed
	chain, sum  hash

	// The primary tables: copied in O(1) by Snapshot. Tasks, requests, members,
	// schedules and releases are frozen; the others may be changed in place by the epoch that made
	// them.
	epoch     uint64
	tasks     *btree.Map[uint64, *Task]
	queues    *btree.Map[string, *queueRecord]
	sessions  *btree.Map[uint64, *sessionRecord]
	workers   *btree.Map[string, *workerRecord]
	requests  *btree.Map[string, *request]
	clients   *btree.Map[string, *client]
	members   *btree.Map[string, *fsmpb.SetMember]
	batches   *btree.Map[uint64, *batchRecord]
	releasing *btree.Map[uint64, *release] // by the task that has ended
	schedules *btree.Map[string, *Schedule]
	sweeps    *btree.Map[uint64, *sweepRecord]
	pushes    *btree.Map[string, *Push]

	// The indexes: rebuilt by Restore. The Go maps are looked up, never ranged over.
	lines    map[string]*line
	live     map[uint64]*session
	known    map[string]*worker
	lost     map[string]*fences                  // worker → fences it may still redeem
	unique   map[string]uint64                   // unique key → the task that keeps it
	targets  map[uint64]*roster                  // of a broadcast
	pinned   map[string]*btree.BTreeG[readyItem] // worker → targets that are ready
	pursuing *btree.Map[uint64, struct{}]        // broadcasts whose targets ticks have work with
	late     *btree.BTreeG[dueItem]              // broadcasts that late joiners become targets of
	clearing *btree.Map[uint64, *session]
	ending   *btree.Map[uint64, *session]
	due      dueIndex // tasks, other than
	timeouts dueIndex // the running ones
	names    *btree.BTreeG[nameItem]
	fires    *btree.BTreeG[nameItem] // schedules by when the leader must look at them
	fired    map[string]*idSet       // schedule → its unfinished tasks
	catalog  catalog
	sweeping []uint64 // sweeps at work, by id

	lots     map[uint64]*lot
	batchIDs map[string]uint64 // request id → batch
	batchDue dueIndex
	busy     *btree.Map[uint64, *lot] // ticks have work with them
	staged   stagedSize
	named    map[uint64]int // parent → times that packed tasks name it

	children map[uint64][]uint64 // parent → tasks that wait for it, by id
	telling  map[uint64][]uint64 // ended parent → those that were not told yet
	waits    map[uint64]int      // waiting task → parents that have not ended

	dead    *btree.Map[uint64, *deadGroup]
	deadIDs *btree.Map[uint64, uint64] // task → group

	// The entry being applied.
	budget  int     // transitions left
	present int32   // which command is carried out
	events  []Event // their memory serves the next entry, too
}

// New returns an empty table.
func New() *Machine {
	return &Machine{
		level:    1,
		epoch:    1,
		tasks:    new(btree.Map[uint64, *Task]),
		queues:   new(btree.Map[string, *queueRecord]),
		sessions: new(btree.Map[uint64, *sessionRecord]),
		workers:  new(btree.Map[string, *workerRecord]),
		requests: new(btree.Map[string, *request]),
		clients:  new(btree.Map[string, *client]),
		members:  new(btree.Map[string, *fsmpb.SetMember]),
		pushes:   new(btree.Map[string, *Push]),
		lines:    make(map[string]*line),
		live:     make(map[uint64]*session),
		known:    make(map[string]*worker),
		lost:     make(map[string]*fences),
		unique:   make(map[string]uint64),
		targets:  make(map[uint64]*roster),
		pinned:   make(map[string]*btree.BTreeG[readyItem]),
		pursuing: new(btree.Map[uint64, struct{}]),
		late:     newDue().tree,
		clearing: new(btree.Map[uint64, *session]),
		ending:   new(btree.Map[uint64, *session]),
		due:      newDue(),
		timeouts: newDue(),
		names:    newNames(),

		batches:   new(btree.Map[uint64, *batchRecord]),
		releasing: new(btree.Map[uint64, *release]),
		lots:      make(map[uint64]*lot),
		batchIDs:  make(map[string]uint64),
		named:     make(map[uint64]int),
		batchDue:  newDue(),
		busy:      new(btree.Map[uint64, *lot]),
		children:  make(map[uint64][]uint64),
		telling:   make(map[uint64][]uint64),
		waits:     make(map[uint64]int),
		dead:      new(btree.Map[uint64, *deadGroup]),
		deadIDs:   new(btree.Map[uint64, uint64]),
		schedules: new(btree.Map[string, *Schedule]),
		fires:     newNames(),
		fired:     make(map[string]*idSet),
		catalog:   newCatalog(),
		sweeps:    new(btree.Map[uint64, *sweepRecord]),
	}
}

// Apply carries out one entry at its Raft index and term. It panics only on a
// programmer's error: an index that was applied before, or a command without a
// kind, which DecodeEntry never returns. The table keeps what the entry points
// to (see Decoder.Reset): the caller must not change it afterwards.
func (m *Machine) Apply(index, term uint64, e *Entry) *Applied {
	if index <= m.index {
		panic(fmt.Sprintf("apply index %d after index %d", index, m.index))
	}
	m.index, m.term = index, term
	a := &Applied{Index: index, Term: term, Stamp: e.Now}
	if e.Term != term {
		a.NotLeader = true
		return a
	}
	m.now = max(m.now, e.Now)
	if mutated("M12") {
		m.now = ownClock()
	}
	m.budget = MaxTransitions
	clear(m.events)
	m.events = slices.Grow(m.events[:0], expectedEvents(e))
	a.Results = make([]Result, len(e.Commands))
	for i, c := range e.Commands {
		m.present = int32(i)
		a.Results[i] = m.command(c)
		if m.releasing.Len() > 0 {
			m.tellChildren()
		}
	}
	if m.pursuing.Len() > 0 {
		m.pursueAll()
		m.tellChildren()
	}
	a.Events = m.events
	m.link(a)
	return a
}

// expectedEvents guesses how many events an entry has, to allocate them once.
func expectedEvents(e *Entry) int {
	n := 0
	for _, c := range e.Commands {
		switch k := c.Kind.(type) {
		case *fsmpb.Command_Submit:
			n += len(k.Submit.GetTasks())
		case *fsmpb.Command_Complete:
			n += len(k.Complete.GetItems())
		case *fsmpb.Command_Assign:
			n += int(min(k.Assign.GetN(), MaxSlots))
		default:
			n++
		}
	}
	return min(n, 2*MaxTransitions)
}

// command carries out one command, or returns the remembered result of a repeat.
// Session changes, assignments, ticks and fires are safe to repeat by themselves.
func (m *Machine) command(c *fsmpb.Command) Result {
	switch k := c.Kind.(type) {
	case *fsmpb.Command_Assign:
		return m.assign(k.Assign)
	case *fsmpb.Command_OpenSession:
		return m.openSession(k.OpenSession)
	case *fsmpb.Command_UpdateSession:
		return m.updateSession(k.UpdateSession)
	case *fsmpb.Command_CloseSession:
		return m.closeSession(k.CloseSession.GetSession(), CauseClosed)
	case *fsmpb.Command_ExpireSession:
		return m.closeSession(k.ExpireSession.GetSession(), CauseExpired)
	case *fsmpb.Command_Tick:
		return m.tick(k.Tick.GetSpareBefore())
	case *fsmpb.Command_Fire:
		return m.fire(k.Fire)
	}
	if c.Call != nil {
		return m.once(c)
	}
	return m.verb(c)
}

// verb carries out a command whose result a repeat may ask for.
func (m *Machine) verb(c *fsmpb.Command) Result {
	switch k := c.Kind.(type) {
	case *fsmpb.Command_Submit:
		return m.submit(k.Submit)
	case *fsmpb.Command_Complete:
		return m.complete(k.Complete)
	case *fsmpb.Command_Fail:
		return m.failed(k.Fail)
	case *fsmpb.Command_Release:
		return m.release(k.Release)
	case *fsmpb.Command_Cancel:
		return m.cancel(k.Cancel)
	case *fsmpb.Command_Retry:
		return m.retry(k.Retry)
	case *fsmpb.Command_OpenBatch:
		return m.openBatch(k.OpenBatch)
	case *fsmpb.Command_StageBatch:
		return m.stageBatch(k.StageBatch)
	case *fsmpb.Command_CommitBatch:
		return m.commitBatch(k.CommitBatch)
	case *fsmpb.Command_CancelBatch:
		return m.cancelBatch(k.CancelBatch)
	case *fsmpb.Command_RetryDead:
		return m.retryDead(k.RetryDead)
	case *fsmpb.Command_Delete:
		return m.deleteTasks(k.Delete)
	case *fsmpb.Command_Sweep:
		return m.sweep(k.Sweep)
	case *fsmpb.Command_SetQueue:
		return m.setQueue(k.SetQueue)
	case *fsmpb.Command_SetSchedule:
		return m.setSchedule(k.SetSchedule)
	case *fsmpb.Command_PauseSchedule:
		return m.pauseSchedule(k.PauseSchedule)
	case *fsmpb.Command_DeleteSchedule:
		return m.deleteSchedule(k.DeleteSchedule)
	case *fsmpb.Command_TriggerSchedule:
		return m.triggerSchedule(k.TriggerSchedule)
	case *fsmpb.Command_SetMember:
		return m.setMember(k.SetMember)
	case *fsmpb.Command_RemoveMember:
		return m.removeMember(k.RemoveMember)
	case *fsmpb.Command_Finalize:
		return m.finalize(k.Finalize)
	case *fsmpb.Command_DrainWorker:
		return m.drainWorker(k.DrainWorker)
	case *fsmpb.Command_RemoveWorker:
		return m.removeWorker(k.RemoveWorker)
	case *fsmpb.Command_SetPush:
		return m.setPush(k.SetPush)
	default:
		return m.next(c)
	}
}

func (m *Machine) emit(e Event) {
	e.Command = m.present
	m.events = append(m.events, e)
}
