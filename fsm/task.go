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
	CauseRemoved // an operator removed its worker
)

// lastCause is the newest number that this binary knows.
const lastCause = CauseRemoved

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

// Task is one unit of work. A *Task reachable from a Machine is frozen, with all
// that it points to: an update copies it. Times are Unix nanoseconds of the
// table's clock, durations nanoseconds; zero means "none".
//
// A million queued tasks are a million of these: what most tasks share, or do
// not have while they wait, stands behind one pointer each.
type Task struct {
	ID         uint64
	Generation uint32 // from 1; a manual retry starts the next
	State      State

	*Options // shared by the tasks of a queue that have the same
	*Attempt // never nil: noAttempt when there is none

	Payload   []byte
	RequestID string
	Extra     *Extra // what most tasks do not use; nil for them

	SubmittedAt int64
	EligibleAt  int64 // its place within its priority; a crash does not change it
	ExpiresAt   int64
	FinishedAt  int64

	Attempts    uint32 // assignments in this generation
	Failures    uint32 // failures and timeouts: bounded by MaxAttempts
	Crashes     uint32 // workers lost while holding it
	SoloCrashes uint32 // of these, while alone in its session

	Result            []byte
	ResultContentType string
	Error             string
	Reason            string // why Dead, Cancelled or Stopping

	Ended []Ended // oldest first, at most KeepEnded
}

// Options are what the submitter, or else the queue, decided about a task. They
// never change.
type Options struct {
	Queue       string
	Kind        string
	ContentType string
	Priority    int32
	MaxAttempts uint32
	Timeout     int64
	BackoffBase int64
	BackoffMax  int64
	Retain      int64
}

// Attempt is the attempt that holds a task (Running, Stopping) or, when
// Redeemable, the last one, lost with its session and still able to complete it.
// Change it by Task.amendAttempt.
type Attempt struct {
	Fence      uint64
	Session    uint64
	Worker     string
	Boot       string
	StartedAt  int64
	Deadline   int64 // timeout of the attempt; when Stopping: end of the grace
	Solo       bool
	Redeemable bool
	SelfFence  bool // its worker stops it by itself when it hears of no master
	StopCause  Cause
}

// noAttempt is that of every task without one. Nobody writes to it.
var noAttempt Attempt

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

	StartedAt int64
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

// settle moves the attempt that t holds, or the redeemable one, to the ended
// fences. The loss of a redeemable one stands there already: e takes its place.
func (t *Task) settle(e Ended) {
	e.Fence, e.Worker, e.Boot, e.StartedAt = t.Fence, t.Worker, t.Boot, t.StartedAt
	if t.Redeemable {
		t.forgetLoss()
	}
	t.note(e)
	t.clearAttempt()
}

// note appends to the ended fences; the oldest beyond KeepEnded goes.
func (t *Task) note(e Ended) {
	t.Ended = appendFrozen(t.Ended, e, KeepEnded)
}

// forgetLoss takes back the newest ended fence, which is the redeemable one's.
func (t *Task) forgetLoss() {
	t.Ended = t.Ended[:len(t.Ended)-1]
}

// clearAttempt leaves t without an attempt.
func (t *Task) clearAttempt() { t.Attempt = &noAttempt }

// amendAttempt gives t, a copy, an attempt of its own to change.
func (t *Task) amendAttempt() *Attempt {
	a := *t.Attempt
	t.Attempt = &a
	return &a
}

// held reports whether a session holds t. Nobody holds an open broadcast.
func (t *Task) held() bool {
	return (t.State == Running || t.State == Stopping) && t.Session != 0
}

// revoked reports whether t is stopping because it was cancelled.
func (t *Task) revoked() bool { return t.State == Stopping && t.StopCause == CauseCancelled }

// late reports whether t must have started before.
func (t *Task) late(now int64) bool {
	at := t.expiry()
	return at != 0 && at <= now
}

// expiry is the time until which t must have started; 0 when it may wait for
// ever or has started once in this generation. A target of a broadcast must be
// done by its deadline, however often it has started.
func (t *Task) expiry() int64 {
	if x := t.target(); x != nil {
		return x.Until
	}
	if t.Attempts > 0 {
		return 0
	}
	return t.ExpiresAt
}

// due returns when a tick must look at t; 0: never.
func (t *Task) due() int64 {
	switch t.State {
	case Scheduled:
		if at := t.expiry(); at != 0 && at < t.EligibleAt || t.waiting() {
			return at
		}
		return t.EligibleAt
	case Ready:
		return t.expiry()
	case Running, Stopping:
		return t.Deadline
	default:
		return 0
	}
}

// trimmable reports whether retention may remove the record by itself: a target
// goes with its broadcast, which waits for all of them to have ended.
func (t *Task) trimmable() bool {
	if b := t.broadcast(); b != nil && (b.Open() > 0 || b.pursuing()) {
		return false
	}
	return t.State.Terminal() && t.target() == nil
}

// trimAt is when retention removes a terminal record.
func (t *Task) trimAt() int64 { return addTime(t.FinishedAt, t.Retain) }

// alone reports whether t has lost so many workers that it may only run alone. A
// target of a broadcast has no other worker to go to.
func (t *Task) alone() bool { return t.Crashes >= SoloAfterCrashes && t.target() == nil }

// size is what a record counts against its queue's retain_bytes.
func (t *Task) size() int64 {
	n := len(t.Result) + len(t.Error) + len(t.Kind) + len(t.RequestID)
	for i := range t.Ended {
		n += len(t.Ended[i].Error)
	}
	if t.Extra != nil {
		n += t.Extra.size()
	}
	if t.target() == nil { // else it is its broadcast's
		n += len(t.Payload)
	}
	return int64(n)
}

// appendFrozen appends to a slice that a frozen record shares: it never writes
// into the old array. Beyond keep the oldest goes.
func appendFrozen[E any](s []E, e E, keep int) []E {
	if len(s) >= keep {
		s = s[len(s)-keep+1:]
	}
	out := make([]E, len(s)+1)
	copy(out, s)
	out[len(s)] = e
	return out
}
