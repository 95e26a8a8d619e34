package events

import (
	"slices"

	"github.com/taskraft/taskraft/fsm"
)

// Type says what happened.
type Type uint8

// The types. Their numbers stand in segment files: append, never reuse.
const (
	Created   Type = iota + 1 // a task was submitted
	Assigned                  // a worker got it
	Resumed                   // a lost worker came back and has it again; Cause: why it was lost
	Ready                     // it can start: its time came, or its parents ended
	Retried                   // a DEAD or CANCELLED one starts its next generation
	Stopping                  // its attempt should stop; Cause says why
	Void                      // the attempt's fence counts no more; Cause says why
	Completed                 // it is SUCCEEDED
	Failed                    // an attempt failed, another follows
	Snoozed                   // an attempt asked for a pause
	Released                  // a worker handed it back
	TimedOut                  // an attempt overran and has stopped, another follows
	Requeued                  // its worker was lost, or said goodbye: another attempt follows; Cause says why
	Dead                      // it is DEAD; Cause says how the last attempt ended
	Cancelled                 // it is CANCELLED
	Expired                   // it is CANCELLED: not started within its expires_in
	Trimmed                   // retention removed its record
	Deleted                   // somebody removed its record
	Refused                   // a report on a void fence; Outcome says why it was refused

	SessionOpened
	SessionClosed // Cause says why
	SessionExpired
	WorkerDrained
	WorkerUndrained
	WorkerRemoved

	QueueSet
	QueuePaused
	QueueResumed
	ScheduleSet
	SchedulePaused
	ScheduleResumed
	ScheduleDeleted

	BatchCreated
	BatchCancelled
	BatchFinished
	SweepStarted // Number: which; Count: how many tasks it means
	DeadRetried  // Count: how many tasks it means

	MemberSet
	MemberRemoved
	LevelRaised // Number: the level

	PushAdded   // Detail: the address of a worker that masters dial
	PushRemoved // the same

	typeEnd
)

var typeNames = [typeEnd]string{
	"", "created", "assigned", "resumed", "ready", "retried", "stopping", "void", "completed", "failed", "snoozed", "released",
	"timed_out", "requeued", "dead", "cancelled", "expired", "trimmed", "deleted", "refused",
	"session_opened", "session_closed", "session_expired", "worker_drained", "worker_undrained", "worker_removed",
	"queue_set", "queue_paused", "queue_resumed", "schedule_set", "schedule_paused", "schedule_resumed", "schedule_deleted",
	"batch_created", "batch_cancelled", "batch_finished", "sweep_started", "dead_retried",
	"member_set", "member_removed", "level_raised", "push_added", "push_removed",
}

// String returns the type's name, as in "completed".
func (t Type) String() string {
	if t < typeEnd {
		return typeNames[t]
	}
	return "unknown"
}

// TypeOf returns the type of a name; 0: there is none.
func TypeOf(name string) Type { return Type(max(slices.Index(typeNames[1:], name), -1) + 1) }

// TypeNames returns the names of all types.
func TypeNames() []string { return slices.Clone(typeNames[1:]) }

// MaxError is what of an attempt's error an event says, in bytes.
const MaxError = 256

// Event is one change of the table and who caused it. What does not concern it is
// empty.
type Event struct {
	Index, Term uint64 // of the entry
	Sub         uint32 // its place in the entry, from 1
	Now         int64  // the table's clock, Unix nanoseconds
	Type        Type
	Principal   string // who asked: "client:…", "worker:…" or "master:…"

	Task       uint64
	Generation uint32
	State      fsm.State // of the task, after it
	Queue      string
	Kind       string
	Attempt    uint32 // counted within the generation
	Fence      uint64
	Session    uint64
	Worker     string

	Cause   fsm.Cause
	Outcome fsm.Outcome
	Error   string // at most MaxError bytes
	Reason  string

	Batch     uint64
	Broadcast uint64 // of which the task is a target
	Schedule  string
	Member    string
	Number    uint64
	Count     uint64
	Detail    string // for people
}

// Cursor returns the place behind the event.
func (e *Event) Cursor() Cursor { return Cursor{e.Index, e.Sub} }
