package fsm

// This file decides every change of a task's state; nothing else writes
// Task.State. The verbs look up and judge (attempt.go), then call one of these.
//
// TABLE

// Reasons why a task is Dead, Cancelled or Stopping, beside a user's own words.
const (
	ReasonPermanent = "permanent"    // an attempt said that no other would help
	ReasonFailed    = "max_attempts" // the last attempt failed
	ReasonTimedOut  = "timed_out"    // the attempt overran; Dead: it was the last
	ReasonPoison    = "poison"       // it lost too many workers while alone
	ReasonExpired   = "expired"      // not started within expires_in
	ReasonCancelled = "cancelled"    // cancelled without a reason given
)

// admit enters a new task, Ready or Scheduled by its EligibleAt.
func (m *Machine) admit(l *line, t *Task) {
	t.State = Ready
	if t.EligibleAt > m.now {
		t.State = Scheduled
	}
	m.put(l, nil, t)
	m.emit(Event{Kind: TaskSubmitted, Task: t})
}

// wake makes a task whose time has come Ready.
func (m *Machine) wake(l *line, old *Task) {
	t := *old
	t.State = Ready
	m.put(l, old, &t)
	m.emit(Event{Kind: TaskReady, Task: &t})
}

// start gives a Ready task to a session under a new fence. A redeemable fence is
// void from here on.
func (m *Machine) start(s *session, l *line, old *Task, alone bool) *Task {
	m.voidLost(old)
	m.lastFence++ // S6: never reused
	t := *old
	t.clearAttempt()
	t.State = Running
	t.Attempts++
	t.Fence, t.Session, t.Worker, t.Boot = m.lastFence, s.rec.ID, s.rec.Worker, s.rec.Boot
	t.StartedAt, t.Deadline = m.now, addTime(m.now, t.Timeout)
	t.Solo = alone
	m.put(l, old, &t)
	m.emit(Event{Kind: TaskAssigned, Task: &t, Fence: t.Fence, Session: t.Session})
	return &t
}

// succeed ends the task with the result of its valid attempt: the one that runs,
// or the one lost with its session.
func (m *Machine) succeed(l *line, old *Task, digest uint64, result []byte, contentType string) {
	t := *old
	t.settle(Ended{Cause: CauseCompleted, Verb: VerbComplete, Digest: digest, At: m.now})
	t.Result, t.ResultContentType, t.Error = result, contentType, ""
	m.finish(l, old, &t, Succeeded, CauseCompleted, "")
}

// failure is what a valid attempt said when it failed.
type failure struct {
	digest      uint64
	err         string
	permanent   bool
	snooze      bool
	retryAfter  int64
	result      []byte
	contentType string
}

// fail ends an attempt without success: another follows after a wait, unless it
// was the last one (S8).
func (m *Machine) fail(l *line, old *Task, f failure) {
	cause := CauseFailed
	if f.snooze && !f.permanent {
		cause = CauseSnoozed
	}
	t := *old
	t.settle(Ended{Cause: cause, Verb: VerbFail, Digest: f.digest, At: m.now, Error: f.err})
	t.Error, t.Result, t.ResultContentType = f.err, f.result, f.contentType
	if cause == CauseSnoozed {
		m.wait(l, old, &t, max(f.retryAfter, 0), cause)
		return
	}
	t.Failures++
	switch {
	case f.permanent:
		m.finish(l, old, &t, Dead, cause, ReasonPermanent)
	case t.Failures >= t.MaxAttempts:
		m.finish(l, old, &t, Dead, cause, ReasonFailed)
	case f.retryAfter > 0:
		m.wait(l, old, &t, f.retryAfter, cause)
	default:
		m.wait(l, old, &t, backoff(t.ID, t.Failures, t.BackoffBase, t.BackoffMax), cause)
	}
}

// handBack returns a running attempt to its old place; nothing is burnt.
func (m *Machine) handBack(l *line, old *Task) {
	t := *old
	t.settle(Ended{Cause: CauseReleased, Verb: VerbRelease, At: m.now})
	m.requeue(l, old, &t, CauseReleased)
}

// timeOut puts an attempt that overran into STOPPING: its fence is void and its
// failure counted now, its slot is held until it has stopped.
func (m *Machine) timeOut(l *line, old *Task) {
	t := *old
	t.Failures++
	t.Error = "attempt timed out"
	m.stop(l, old, &t, CauseTimedOut, ReasonTimedOut)
}

// stop makes a held task Stopping until stopped.
func (m *Machine) stop(l *line, old, t *Task, cause Cause, reason string) {
	t.State, t.StopCause, t.Reason = Stopping, cause, reason
	t.Deadline = addTime(m.now, StopGrace)
	m.put(l, old, t)
	m.emit(Event{Kind: TaskStopping, Cause: cause, Task: t, Fence: t.Fence, Session: t.Session})
}

// stopped ends STOPPING: its worker confirmed, the grace passed or the session ended.
func (m *Machine) stopped(l *line, old *Task) {
	cause := old.StopCause
	t := *old
	t.settle(Ended{Cause: cause, At: m.now})
	switch {
	case cause == CauseCancelled:
		m.finish(l, old, &t, Cancelled, cause, old.Reason)
	case t.Failures >= t.MaxAttempts:
		m.finish(l, old, &t, Dead, cause, ReasonTimedOut)
	default:
		m.wait(l, old, &t, backoff(t.ID, t.Failures, t.BackoffBase, t.BackoffMax), cause)
	}
}

// lose ends an attempt because its session ended. The task returns to its old
// place; its fence stays redeemable unless a new process took the worker over.
func (m *Machine) lose(l *line, old *Task, cause Cause) {
	if old.State == Stopping {
		m.void(old, cause)
		m.stopped(l, old)
		return
	}
	t := *old
	if cause != CauseClosed { // a goodbye is no crash
		t.Crashes++
		if t.Solo {
			t.SoloCrashes++
		}
	}
	e := Ended{Cause: cause, At: m.now}
	switch {
	case t.SoloCrashes >= PoisonCrashes:
		m.void(old, cause)
		t.settle(e)
		m.finish(l, old, &t, Dead, cause, ReasonPoison)
	case cause == CauseTakenOver:
		m.void(old, cause)
		t.settle(e)
		m.requeue(l, old, &t, cause)
	default:
		e.Fence, e.Worker, e.Boot = t.Fence, t.Worker, t.Boot
		t.note(e)
		t.Redeemable, t.Session = true, 0
		m.requeue(l, old, &t, cause)
	}
}

// takeBack gives a lost attempt back to the process that never stopped running
// it, under its old fence; an expiry was no crash then.
func (m *Machine) takeBack(s *session, l *line, old *Task) {
	t := *old
	cause := t.Ended[len(t.Ended)-1].Cause
	t.forgetLoss()
	if cause == CauseExpired {
		t.Crashes--
		if t.Solo {
			t.SoloCrashes--
		}
	}
	t.State, t.Session, t.Redeemable = Running, s.rec.ID, false
	m.put(l, old, &t)
	m.emit(Event{Kind: TaskAssigned, Cause: cause, Task: &t, Fence: t.Fence, Session: t.Session})
}

// renounce voids the redeemable fence of a Ready task; it goes on waiting.
func (m *Machine) renounce(l *line, old *Task) {
	m.voidLost(old)
	t := *old
	t.clearAttempt()
	m.put(l, old, &t)
}

// revoke cancels a task: at once when nothing runs, by STOPPING otherwise.
func (m *Machine) revoke(l *line, old *Task, reason string) {
	t := *old
	if old.held() {
		m.stop(l, old, &t, CauseCancelled, reason)
		return
	}
	m.voidLost(old)
	t.clearAttempt()
	m.finish(l, old, &t, Cancelled, CauseCancelled, reason)
}

// revive starts the next generation of a Dead or Cancelled task. The fences of
// the earlier ones are remembered.
func (m *Machine) revive(l *line, old *Task) {
	t := *old
	t.Generation++
	t.State, t.EligibleAt, t.ExpiresAt, t.FinishedAt = Ready, m.now, 0, 0
	t.Attempts, t.Failures, t.Crashes, t.SoloCrashes = 0, 0, 0, 0
	t.Result, t.ResultContentType, t.Error, t.Reason = nil, "", "", ""
	m.put(l, old, &t)
	m.setTrimDue(l)
	m.holdRequest(&t)
	m.emit(Event{Kind: TaskReady, Task: &t})
}

// wait makes t, whose attempt has ended, eligible again after d.
func (m *Machine) wait(l *line, old, t *Task, d int64, cause Cause) {
	t.EligibleAt = addTime(m.now, d)
	if t.EligibleAt <= m.now {
		m.requeue(l, old, t, cause)
		return
	}
	t.State, t.Reason = Scheduled, ""
	m.put(l, old, t)
	m.emit(Event{Kind: TaskScheduled, Cause: cause, Task: t, Fence: old.Fence, Session: old.Session})
}

// requeue makes t Ready in the place that its EligibleAt gives it.
func (m *Machine) requeue(l *line, old, t *Task, cause Cause) {
	t.State, t.Reason = Ready, ""
	m.put(l, old, t)
	m.emit(Event{Kind: TaskReady, Cause: cause, Task: t, Fence: old.Fence, Session: old.Session})
}

// finish ends t's generation (S4: once), which lets retention and its request id go on.
func (m *Machine) finish(l *line, old, t *Task, s State, cause Cause, reason string) {
	t.State, t.Reason, t.FinishedAt = s, reason, m.now
	m.put(l, old, t)
	m.emit(Event{Kind: TaskFinished, Cause: cause, Task: t, Fence: old.Fence, Session: old.Session})
	m.freeRequest(t)
	m.retain(l)
}

// void tells that an attempt ended without its worker's word.
func (m *Machine) void(t *Task, cause Cause) {
	m.emit(Event{Kind: AttemptVoid, Cause: cause, Task: t, Fence: t.Fence, Session: t.Session})
}

// voidLost tells that a redeemable fence can no longer be redeemed.
func (m *Machine) voidLost(t *Task) {
	if t.Redeemable {
		m.void(t, t.Ended[len(t.Ended)-1].Cause)
	}
}
