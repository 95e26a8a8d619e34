package fsm

// State is where a task stands in its life; lifecycle.go decides every change.
type State uint8

// The states of a task. Terminal states never change within a generation.
const (
	Scheduled State = iota + 1 // not before a time
	Ready                      // waits for a worker
	Running                    // an attempt holds it
	Stopping                   // its attempt was cancelled or timed out and has not confirmed yet
	Succeeded
	Dead
	Cancelled
)

// Terminal reports whether s ends a generation.
func (s State) Terminal() bool { return s >= Succeeded }

// Cause says why an attempt ended or is stopping.
type Cause uint8

// The causes. Their numbers stand in snapshots: append, never reuse.
const (
	CauseNone Cause = iota
	CauseCompleted
	CauseFailed
	CauseSnoozed
	CauseReleased
	CauseTimedOut
	CauseExpired   // its session's heartbeats stopped
	CauseTakenOver // its worker came back with a new boot id
	CauseClosed    // its worker said goodbye
	CauseCancelled
)

// Verb is what a worker asked for an attempt; kept with an ended fence so that
// a repeat is told from a conflict.
type Verb uint8

// The verbs of a worker.
const (
	VerbNone Verb = iota
	VerbComplete
	VerbFail
	VerbRelease
)

// Task is one unit of work. A *Task reachable from a Machine is frozen: an
// update copies it. Times are Unix nanoseconds of the table's clock, durations
// nanoseconds; zero means "none".
type Task struct {
	ID         uint64
	Generation uint32 // from 1; a manual retry starts the next
	State      State

	Queue       string
	Kind        string
	Payload     []byte
	ContentType string
	Priority    int32
	Timeout     int64
	MaxAttempts uint32
	BackoffBase int64
	BackoffMax  int64
	Retain      int64
	RequestID   string

	SubmittedAt int64
	EligibleAt  int64 // its place within its priority; a crash does not change it
	ExpiresAt   int64
	FinishedAt  int64

	Attempts    uint32 // assignments in this generation
	Failures    uint32 // failures and timeouts: bounded by MaxAttempts
	Crashes     uint32 // workers lost while holding it
	SoloCrashes uint32 // of these, while alone in its session

	// The attempt that holds the task (Running, Stopping) or, when Redeemable,
	// the last one, lost with its session and still able to complete it.
	Fence      uint64
	Session    uint64
	Worker     string
	Boot       string
	StartedAt  int64
	Deadline   int64 // timeout of the attempt; when Stopping: end of the grace
	Solo       bool
	Redeemable bool
	StopCause  Cause

	Result            []byte
	ResultContentType string
	Error             string
	Reason            string // why Dead, Cancelled or Stopping

	Ended      []Ended      // oldest first, at most KeepEnded
	Superseded []Superseded // oldest first, at most KeepSuperseded
}

// Ended is an attempt of the past.
type Ended struct {
	Fence  uint64
	Worker string
	Boot   string
	Cause  Cause
	Verb   Verb
	Digest uint64
	At     int64
	Error  string
}

// Superseded is a result that was refused because its fence was void.
type Superseded struct {
	Fence     uint64
	Worker    string
	Outcome   Outcome
	Result    []byte
	Truncated bool
	At        int64
}
