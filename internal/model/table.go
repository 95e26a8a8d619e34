package model

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// ErrUnmodelled is returned for an entry that holds what the model has no words for.
var ErrUnmodelled = errors.New("not modelled")

const (
	second = int64(1_000_000_000)
	minute = 60 * second
	hour   = 60 * minute

	stopGrace      = 10 * second
	keepRequest    = 24 * hour
	keepClient     = hour
	keepWorker     = 24 * hour
	keepEnded      = 16
	soloAfter      = 2
	poisonCrashes  = 3
	defaultTTL     = 10 * second
	maxClientCalls = 1024
)

// Table is the whole model. It is not safe for concurrent use.
type Table struct {
	index uint64
	now   int64

	lastTask, lastFence, lastSession, lastVersion, lastBatch, lastSweep uint64

	tasks    map[uint64]*Task
	queues   map[string]*queue
	sessions map[uint64]*session
	workers  map[string]*Worker
	requests map[string]*request
	clients  map[string]*caller

	schedules map[string]*Schedule
	batches   map[uint64]*Batch
	sweeps    []*Sweep          // oldest first
	telling   map[uint64]string // tasks that ended in this entry, and how: who waits for them is to be told
	coming    uint64            // ids of the batch being committed are below

	touched map[uint64]bool // by the entry being applied
}

// New returns the empty table.
func New() *Table {
	return &Table{
		tasks:    make(map[uint64]*Task),
		queues:   make(map[string]*queue),
		sessions: make(map[uint64]*session),
		workers:  make(map[string]*Worker),
		requests: make(map[string]*request),
		clients:  make(map[string]*caller),
		touched:  make(map[uint64]bool),

		schedules: make(map[string]*Schedule),
		batches:   make(map[uint64]*Batch),
		telling:   make(map[uint64]string),
	}
}

// Grant is a task that a session has under a fence.
type Grant struct {
	Task  uint64 `json:"task"`
	Fence uint64 `json:"fence"`
}

// Result is the answer to one command, in the words of the API.
type Result struct {
	Outcome  string   `json:"outcome"`
	Outcomes []string `json:"outcomes,omitempty"` // per item
	IDs      []uint64 `json:"ids,omitempty"`      // submit
	Got      []Grant  `json:"got,omitempty"`      // assign, poll, attach
	Aborts   []uint64 `json:"aborts,omitempty"`   // attach: listed fences that are void
	Session  uint64   `json:"session,omitempty"`
	Batch    uint64   `json:"batch,omitempty"`
	Count    uint64   `json:"count,omitempty"` // tasks of a batch, sweep or bulk retry that are meant
}

// Applied is what one entry must have done.
type Applied struct {
	Index     uint64
	Now       int64
	NotLeader bool // written by a leader of another term: nothing happened
	Commands  []*fsmpb.Command
	Results   []Result
	Touched   []uint64 // ids of the tasks that are, or may be, different now
}

// HeaderSize is the length of the frozen header of an entry: one byte format, two
// of feature level, eight of term, eight of time, big-endian.
const HeaderSize = 19

// Decode reads an entry.
func Decode(entry []byte) (term uint64, now int64, commands []*fsmpb.Command, err error) {
	if len(entry) < HeaderSize || entry[0] != 1 {
		return 0, 0, nil, fmt.Errorf("decode entry: no header of format 1 in %d bytes", len(entry))
	}
	var body fsmpb.Commands
	if err := proto.Unmarshal(entry[HeaderSize:], &body); err != nil {
		return 0, 0, nil, fmt.Errorf("decode entry: %w", err)
	}
	return binary.BigEndian.Uint64(entry[3:]), int64(binary.BigEndian.Uint64(entry[11:])), body.GetCommands(), nil
}

// Apply carries out the entry at an index of the log. After an error, which may be
// ErrUnmodelled or a *Breach, the table is of no more use.
func (m *Table) Apply(index, term uint64, entry []byte) (done *Applied, err error) {
	if index <= m.index {
		return nil, fmt.Errorf("entry %d after entry %d (C2)", index, m.index)
	}
	written, now, commands, err := Decode(entry)
	if err != nil {
		return nil, err
	}
	m.index = index
	done = &Applied{Index: index, Now: m.now, Commands: commands}
	if written != term {
		done.NotLeader = true
		return done, nil
	}
	defer func() {
		switch p := recover().(type) {
		case nil:
		case gap:
			done, err = nil, fmt.Errorf("entry %d: %s: %w", index, string(p), ErrUnmodelled)
		case *Breach:
			done, err = nil, fmt.Errorf("entry %d: %w", index, p)
		default:
			panic(p)
		}
	}()
	m.now = max(m.now, now)
	clear(m.touched)
	for _, c := range commands {
		done.Results = append(done.Results, m.answer(c))
		m.tell()
	}
	m.pursue()
	m.tell()
	done.Now, done.Touched = m.now, slices.Sorted(maps.Keys(m.touched))
	return done, nil
}

// gap is panicked with where the model has no words.
type gap string

func (m *Table) do(c *fsmpb.Command) Result {
	switch k := c.GetKind().(type) {
	case *fsmpb.Command_Submit:
		return m.submit(k.Submit)
	case *fsmpb.Command_Assign:
		return m.assign(k.Assign)
	case *fsmpb.Command_Complete:
		return m.complete(k.Complete)
	case *fsmpb.Command_Fail:
		return m.fail(k.Fail)
	case *fsmpb.Command_Release:
		return m.release(k.Release)
	case *fsmpb.Command_Cancel:
		return m.cancel(k.Cancel)
	case *fsmpb.Command_Retry:
		return m.retry(k.Retry)
	case *fsmpb.Command_Sweep:
		return m.sweep(k.Sweep)
	case *fsmpb.Command_RetryDead:
		return m.retryDead(k.RetryDead)
	case *fsmpb.Command_DrainWorker:
		return m.drainWorker(k.DrainWorker)
	case *fsmpb.Command_RemoveWorker:
		return m.removeWorker(k.RemoveWorker)
	case *fsmpb.Command_Delete:
		return m.deleteTasks(k.Delete)
	case *fsmpb.Command_OpenSession:
		return m.open(k.OpenSession)
	case *fsmpb.Command_UpdateSession:
		return m.update(k.UpdateSession)
	case *fsmpb.Command_CloseSession:
		return m.end(k.CloseSession.GetSession(), "closed")
	case *fsmpb.Command_ExpireSession:
		return m.end(k.ExpireSession.GetSession(), "expired")
	case *fsmpb.Command_Tick:
		return m.tick(k.Tick)
	case *fsmpb.Command_SetQueue:
		return m.setQueue(k.SetQueue)
	case *fsmpb.Command_OpenBatch:
		return m.openBatch(k.OpenBatch)
	case *fsmpb.Command_StageBatch:
		return m.stageBatch(k.StageBatch)
	case *fsmpb.Command_CommitBatch:
		return m.commitBatch(k.CommitBatch)
	case *fsmpb.Command_CancelBatch:
		return m.cancelBatch(k.CancelBatch)
	case *fsmpb.Command_SetSchedule:
		return m.setSchedule(k.SetSchedule)
	case *fsmpb.Command_PauseSchedule:
		return m.pauseSchedule(k.PauseSchedule)
	case *fsmpb.Command_DeleteSchedule:
		return m.deleteSchedule(k.DeleteSchedule)
	case *fsmpb.Command_TriggerSchedule:
		return m.triggerSchedule(k.TriggerSchedule)
	case *fsmpb.Command_Fire:
		return m.fire(k.Fire)
	case *fsmpb.Command_SetMember, *fsmpb.Command_RemoveMember: // of no task
		return Result{Outcome: "ACCEPTED"}
	default:
		panic(gap(fmt.Sprintf("command %T", k)))
	}
}

// Task returns a copy of a task's record. When there is none, known says whether
// that id ever existed.
func (m *Table) Task(id uint64) (t Task, known bool) {
	if r := m.tasks[id]; r != nil {
		t = *r
		t.Waiting = len(r.pending) > 0
		if t.broadcast != nil {
			t.Targets, t.Acked, t.Failed = m.answers(r)
		}
		return t, true
	}
	return Task{}, id > 0 && id <= m.lastTask
}

// Tasks returns the ids of all tasks with a record, ascending.
func (m *Table) Tasks() []uint64 { return slices.Sorted(maps.Keys(m.tasks)) }

// Queues returns the names of all queues.
func (m *Table) Queues() []string { return slices.Sorted(maps.Keys(m.queues)) }

// Schedules returns the names of all schedules.
func (m *Table) Schedules() []string { return slices.Sorted(maps.Keys(m.schedules)) }

// Schedule returns a copy of a schedule's record, which must be there.
func (m *Table) Schedule(name string) Schedule { return *m.schedules[name] }

// Batches returns the ids of all batches, ascending.
func (m *Table) Batches() []uint64 { return slices.Sorted(maps.Keys(m.batches)) }

// Batch returns a copy of a batch's record, which must be there.
func (m *Table) Batch(id uint64) Batch {
	b := *m.batches[id]
	b.Counts = m.count(&b)
	return b
}

// Sweeps returns copies of all sweeps that are remembered, oldest first.
func (m *Table) Sweeps() (all []Sweep) {
	for _, s := range m.sweeps {
		all = append(all, *s)
	}
	return all
}

// Workers returns the names of all workers that are remembered.
func (m *Table) Workers() []string { return slices.Sorted(maps.Keys(m.workers)) }

// Worker returns a copy of a worker's record, which must be there.
func (m *Table) Worker(name string) Worker { return *m.workers[name] }

// Counts recounts a queue's tasks by state (S16).
func (m *Table) Counts(name string) map[string]int64 {
	counts := make(map[string]int64)
	for _, t := range m.tasks {
		if t.Queue == name {
			counts[t.State]++
		}
	}
	return counts
}

// Now returns the table's time.
func (m *Table) Now() int64 { return m.now }

// sorted returns the tasks that match, in an order of its own.
func (m *Table) sorted(match func(*Task) bool, less func(a, b *Task) int) []*Task {
	var found []*Task
	for _, t := range m.tasks {
		if match(t) {
			found = append(found, t)
		}
	}
	slices.SortFunc(found, less)
	return found
}
