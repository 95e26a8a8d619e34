package fsm

// Applied is what one entry did.
type Applied struct {
	Index, Term uint64
	Stamp       int64 // the entry's own time; the table's now may be beyond it
	NotLeader   bool  // header term ≠ raft term: nothing was done
	Results     []Result
	Events      []Event // valid until the next entry is applied
}

// Result answers one command.
type Result struct {
	Outcome  Outcome   // of the command as a whole
	Outcomes []Outcome // per item, for Submit, Complete, Fail, Release, Cancel, Retry, Fire
	IDs      []uint64  // Submit: task ids in the order of the specs; CommitBatch: the first; Fire: of the items; TriggerSchedule: one
	Tasks    []*Task   // Assign and polls: what the session got; OpenSession: what it holds and did not list
	Aborts   []uint64  // OpenSession: listed fences that are void
	Session  *Session  // OpenSession, UpdateSession
	Batch    uint64    // Submit of a batch, OpenBatch, StageBatch, CommitBatch, CancelBatch
	Count    uint64    // tasks: of the batch so far; CancelBatch, RetryDead: that are meant
}

// EventKind is the closed set of changes.
type EventKind uint8

// The kinds of events.
const (
	TaskSubmitted EventKind = iota + 1
	TaskAssigned            // Fence, Session: who got it; Cause set: its worker took it back after that loss
	TaskReady               // became eligible again, or for the first time after a delay
	TaskScheduled           // waits for a time again
	TaskStopping            // Fence, Session: must stop; Cause says why
	TaskFinished            // terminal
	AttemptVoid             // Fence, Session: that attempt no longer counts; Cause says why
	SessionOpened
	SessionClosed // Cause: expired, closed, taken over or removed
	QueueChanged
	MemberChanged
	TaskTrimmed
	QueueOpened     // its rate limit has a token again
	BatchFinished   // Batch: its last task has ended
	ScheduleChanged // set, paused, resumed or deleted
	WorkerChanged   // an operator drained the worker, or no longer, or removed it; Session: its one, if it has one
	PushChanged     // Name: the address of a worker that was listed, or is no longer
	ReportRefused   // Outcome: why; Fence: what its worker reported on
	BatchAccepted   // Batch: its tasks exist from now on; ticks may have to unpack them
	BatchCancelled  // Batch: ticks may have to carry it on
	SweepStarted    // the same; the result has its id and how many it means
	DeadRetried     // the same; the result has how many it means
	LevelRaised     // the feature level
)

// Event is what an apply changed, as data. Task is frozen. Fence and Session of
// TaskReady, TaskScheduled and TaskFinished name the attempt that ended by it, if any.
type Event struct {
	Kind    EventKind
	Cause   Cause
	Outcome Outcome // ReportRefused
	Command int32   // by which command of the entry
	Task    *Task
	Fence   uint64
	Session uint64
	Batch   uint64 // of the events of batches
	Name    string // of the queue, schedule, worker or master that the event is about
}
