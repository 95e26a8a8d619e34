package fsm

// Outcome is the closed set of answers of the state machine. It is never a Go
// error: a refusal is a result like any other.
type Outcome uint8

// The outcomes. Their numbers stand in snapshots and in remembered calls:
// append, never reuse.
const (
	OutcomeNone     Outcome = iota
	Accepted                // done
	Duplicate               // the same again: it stands as before
	Conflict                // same fence, another verb or digest
	StaleTimedOut           // timed out, waiting to be assigned again
	StaleReassigned         // another attempt runs now
	AlreadyTerminal         // someone else finished it
	TaskCancelled           // the task was cancelled
	Forgotten               // that id existed, its record is trimmed
	UnknownTask             // no such task, or a fence that this worker never had

	Existing          // submit: an earlier task with this request id or unique key
	RequestIDConflict // submit: this request id, other content
	RequestIDsFull    // submit: MaxRequestIDs reached
	QueuesFull        // submit, set queue: MaxQueues reached
	CallForgotten     // a repeat whose first outcome is no longer known
	CallsFull         // more than MaxCallsPerClient calls without an answer
	NoSession         // that session does not exist (any more)
	WorkerIDInUse     // another process of this worker has a live session
	BootReplaced      // a newer process of this worker took over; for ever
	NotTerminal       // retry: the task is not DEAD or CANCELLED; delete: it has not ended
	NoQueue           // no such queue
	LevelRefused      // finalize: not every voter supports it, or it would go down

	NoParent        // submit, stage: a task to wait for is not there; its id stands for the item
	DependencyCycle // submit, commit: tasks wait for each other in a circle, IDs is the circle of places
	NoBatch         // no such batch, or it is forgotten
	BatchFull       // stage: more than MaxStagedTasks
	BatchesFull     // open, submit: MaxBatches, none of them finished
	StagingFull     // stage: open batches hold MaxStagedBytes
	RetriesFull     // retry dead: MaxDeadRetries are under way
	NoSchedule      // no such schedule
	ScheduleExists  // set schedule: one of that name says something else
	SchedulesFull   // set schedule: MaxSchedules reached
	ScheduleBusy    // fire, trigger: an earlier task has not ended, and the overlap policy is skip
	FireStale       // fire: another time, version or state than the table's
	FireRefused     // fire: too early, or not what the misfire policy says
	QueueFull       // submit, retry, fire: the queue's limit of length is reached; commit: IDs is the place of the task
	UniqueKeyTaken  // batch, retry, fire: a task with this unique key lives; commit: IDs are the place and that task, if it is not of the batch
	TaskAwaited     // delete: tasks wait for it and have not been told yet
	BatchUnfinished // delete: its batch has tasks that have not ended
	SweepsFull      // sweep: MaxSweeps are under way
	NoSweep         // no such sweep, or it is forgotten
	NoWorker        // no such worker
	WorkerBusy      // remove worker: it holds tasks
	PushesFull      // set push: MaxPushes reached
)

// lastOutcome is the newest number that this binary knows.
const lastOutcome = PushesFull
