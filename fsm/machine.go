package fsm

import (
	"io"
	"iter"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// Machine is the replicated task table. It is not safe for concurrent use: the
// caller has one lock in front of it. The same entries give the same table and
// the same results on every master.
type Machine struct{}

// New returns an empty table.
func New() *Machine { panic("unimplemented") }

// Applied is what one entry did.
type Applied struct {
	Index, Term uint64
	NotLeader   bool // header term ≠ raft term: nothing was done
	Results     []Result
	Events      []Event
}

// Result answers one command.
type Result struct {
	Outcome  Outcome   // of the command as a whole
	Outcomes []Outcome // per item, for Submit, Complete, Fail, Release, Cancel, Retry
	IDs      []uint64  // Submit: task ids in the order of the specs
	Tasks    []*Task   // Assign and polls: what the session got; OpenSession: what it holds and did not list
	Aborts   []uint64  // OpenSession: listed fences that are void
	Session  *Session  // OpenSession, UpdateSession
}

// EventKind is the closed set of changes.
type EventKind uint8

// The kinds of events.
const (
	TaskSubmitted EventKind = iota + 1
	TaskAssigned            // Fence, Session: who got it
	TaskReady               // became eligible again, or for the first time after a delay
	TaskScheduled           // waits for a time again
	TaskStopping            // Fence, Session: must stop; Cause says why
	TaskFinished            // terminal
	AttemptVoid             // Fence, Session: that attempt no longer counts; Cause says why
	SessionOpened
	SessionClosed // Cause: expired, closed or taken over
	QueueChanged
	MemberChanged
	TaskTrimmed
)

// Event is what an apply changed, as data. Task is frozen.
type Event struct {
	Kind    EventKind
	Cause   Cause
	Task    *Task
	Fence   uint64
	Session uint64
	Queue   string
}

// Apply carries out one entry at its Raft index and term. It panics only on a
// programmer's error.
func (m *Machine) Apply(index, term uint64, e *Entry) *Applied { panic("unimplemented") }

// Position returns index and term of the last applied entry and its clock.
func (m *Machine) Position() (index, term uint64, now int64) { panic("unimplemented") }

// SetApplied moves the position past an entry that is not for the table (a
// configuration change or a no-op).
func (m *Machine) SetApplied(index, term uint64) { panic("unimplemented") }

// FeatureLevel returns the level that a leader must not write above.
func (m *Machine) FeatureLevel() uint16 { panic("unimplemented") }

// NextDue returns the earliest time at which a Tick has work, or 0 when none.
func (m *Machine) NextDue() int64 { panic("unimplemented") }

// Task returns a task's frozen record. When nil, known tells whether that id
// ever existed (its record is trimmed).
func (m *Machine) Task(id uint64) (t *Task, known bool) { panic("unimplemented") }

// TasksBefore yields tasks with id < before (0: from the newest), newest first.
func (m *Machine) TasksBefore(before uint64) iter.Seq[*Task] { panic("unimplemented") }

// Session returns a session by id, or nil.
func (m *Machine) Session(id uint64) *Session { panic("unimplemented") }

// SessionOf returns the session of a worker, or nil.
func (m *Machine) SessionOf(worker string) *Session { panic("unimplemented") }

// Sessions yields all sessions by id.
func (m *Machine) Sessions() iter.Seq[*Session] { panic("unimplemented") }

// Held yields the tasks that a session holds (Running and Stopping), by fence.
func (m *Machine) Held(session uint64) iter.Seq[*Task] { panic("unimplemented") }

// Assignable returns how many tasks, at most max, an Assign for this session
// would give it now. Costs O(queues of the session), not O(backlog).
func (m *Machine) Assignable(session uint64, max int) int { panic("unimplemented") }

// Queue returns a queue's settings and counters, or nil.
func (m *Machine) Queue(name string) *Queue { panic("unimplemented") }

// QueuesAfter yields queues with name > after, by name.
func (m *Machine) QueuesAfter(after string) iter.Seq[*Queue] { panic("unimplemented") }

// Members yields the member records by name.
func (m *Machine) Members() iter.Seq[*fsmpb.SetMember] { panic("unimplemented") }

// Counts returns the number of records in the table.
func (m *Machine) Counts() (tasks, sessions, queues int) { panic("unimplemented") }

// Session is a worker process's registration. Frozen, like Task.
type Session struct {
	ID       uint64
	Worker   string
	Boot     string
	Queues   []QueueWeight
	Labels   map[string]string
	Slots    int
	TTL      int64
	Draining bool
	Pull     bool
	Clearing bool // drains so that a task can run alone
	Host     string
	PID      uint32
	Version  string
	OpenedAt int64

	Held          int // Running + Stopping
	AssignedTotal uint64
	PollSeq       uint64
	PollTasks     []uint64
	Ending        Cause // not CauseNone: its tasks are being returned
}

// QueueWeight is a queue that a session serves and its share (≥ 1).
type QueueWeight struct {
	Queue  string
	Weight uint32
}

// Queue is a queue's settings and counters; a copy.
type Queue struct {
	Name           string
	Paused         bool
	Defaults       *fsmpb.QueueDefaults // never nil
	Counts         [Cancelled + 1]int64 // tasks by State
	TerminalBytes  int64
	SubmittedTotal uint64
	TrimmedTotal   uint64
	OldestReadyAt  int64 // EligibleAt of the oldest ready task at the front of the queue; 0: none
}

// Unfinished returns how many of the queue's tasks are not terminal.
func (q *Queue) Unfinished() int64 { panic("unimplemented") }

// Snapshot is a frozen copy of the table, taken in O(1) under the write lock
// and written outside it.
type Snapshot struct{}

// Snapshot freezes the table as it is.
func (m *Machine) Snapshot() *Snapshot { panic("unimplemented") }

// Position returns index and term of the last entry in the snapshot.
func (s *Snapshot) Position() (index, term uint64) { panic("unimplemented") }

// WriteTo streams the canonical, uncompressed snapshot: a versioned header,
// checksummed record blocks in table order, a trailer with counts. Equal tables
// write equal bytes.
func (s *Snapshot) WriteTo(w io.Writer) (int64, error) { panic("unimplemented") }

// Restore reads a snapshot into a new table. On any error the result is nil.
func Restore(r io.Reader) (*Machine, error) { panic("unimplemented") }
