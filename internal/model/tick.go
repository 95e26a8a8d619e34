package model

import (
	"cmp"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// cancel ends what waits and tells what runs to stop (S14).
func (m *Table) cancel(c *fsmpb.Cancel) Result {
	r := Result{Outcome: "ACCEPTED"}
	for _, id := range c.GetTasks() {
		r.Outcomes = append(r.Outcomes, m.cancelOne(id, reasonOf(c.GetReason())))
	}
	return r
}

// absent says what is known of a task without a record.
func (m *Table) absent(id uint64) string {
	if id > 0 && id <= m.lastTask {
		return "FORGOTTEN"
	}
	return "UNKNOWN_TASK"
}

func reasonOf(said string) string { return cmp.Or(said, "cancelled") }

func (m *Table) cancelOne(id uint64, reason string) string {
	t := m.tasks[id]
	switch {
	case t == nil:
		return m.absent(id)
	case t.State == Cancelled, t.State == Stopping && t.Stop == "cancelled":
		return "DUPLICATE"
	case t.Terminal():
		return "ALREADY_TERMINAL"
	case t.State == Running && t.broadcast != nil:
		m.cancelBroadcast(t, reason)
	case t.State == Running:
		m.touch(t)
		t.State, t.Stop, t.Reason, t.Deadline = Stopping, "cancelled", reason, m.now+stopGrace
	case t.State == Stopping: // timed out: now it stops for good
		m.touch(t)
		t.Stop, t.Reason, t.Deadline = "cancelled", reason, m.now+stopGrace
	default:
		m.finish(t, Cancelled, reason)
	}
	return "ACCEPTED"
}

// retry begins the next generation of what is dead or cancelled.
func (m *Table) retry(c *fsmpb.Retry) Result {
	r := Result{Outcome: "ACCEPTED"}
	for _, id := range c.GetTasks() {
		t := m.tasks[id]
		outcome := "ACCEPTED"
		switch {
		case t == nil:
			outcome = m.absent(id)
		default:
			if outcome = m.revivable(t); outcome == "ACCEPTED" {
				m.revive(t)
			}
		}
		r.Outcomes = append(r.Outcomes, outcome)
	}
	return r
}

// revive begins the next generation of a task.
func (m *Table) revive(t *Task) {
	if t.Of != 0 {
		m.reviveTarget(t)
	}
	m.renew(t)
	m.ready(t)
}

func (m *Table) renew(t *Task) {
	m.touch(t)
	t.Generation++
	t.State, t.Eligible, t.Finished, t.Expires = Ready, m.now, 0, 0
	t.Attempts, t.Failures, t.Crashes, t.Solo, t.started = 0, 0, 0, 0, false
	t.Result, t.Error, t.Reason = nil, "", ""
	if b := m.batches[t.Batch]; b != nil {
		b.Finished = 0
	}
}

// deleteTasks removes the records of what has ended, before their time.
func (m *Table) deleteTasks(c *fsmpb.Delete) Result {
	r := Result{Outcome: "ACCEPTED"}
	for _, id := range c.GetTasks() {
		t := m.tasks[id]
		outcome := "ACCEPTED"
		switch {
		case t == nil:
			outcome = m.absent(id)
		case !t.Terminal():
			outcome = "NOT_TERMINAL"
		case m.pinned(t):
			outcome = "TASK_AWAITED"
		case m.batches[t.Batch] != nil && m.batches[t.Batch].Finished == 0:
			outcome = "BATCH_UNFINISHED"
		default:
			m.discard(t)
			if q := m.requests[t.RequestID]; q != nil && q.task == id {
				delete(m.requests, t.RequestID)
			}
		}
		r.Outcomes = append(r.Outcomes, outcome)
	}
	return r
}

// tick carries out what is due, in the order of its times. Attempts whose time
// passed while nobody led are spared: their workers could not report.
func (m *Table) tick(c *fsmpb.Tick) Result {
	for again := true; again; again = len(m.telling) > 0 || m.nextDue(c.GetSpareBefore()) != nil {
		m.round(c)
	}
	return Result{Outcome: "ACCEPTED"}
}

func (m *Table) round(c *fsmpb.Tick) {
	m.tell()
	for t := m.nextDue(c.GetSpareBefore()); t != nil; t = m.nextDue(c.GetSpareBefore()) {
		switch {
		case t.State == Running && t.broadcast != nil:
			m.overdue(t)
		case t.State == Running:
			m.touch(t)
			t.State, t.Stop, t.Reason, t.Deadline = Stopping, "timed_out", "timed_out", m.now+stopGrace
			t.Failures++ // the attempt is burnt now (S8); what follows waits for its worker
			t.Error = "attempt timed out"
		case t.State == Stopping:
			m.stopped(t)
		case t.unstartedBy() != 0 && t.unstartedBy() <= m.now:
			m.expire(t)
		default:
			m.ready(t)
		}
	}
	for _, t := range m.tasks {
		if t.Terminal() && t.Finished+t.Retain <= m.now && m.trimmable(t) {
			m.discard(t)
		}
	}
	for _, q := range m.queues {
		m.trim(q, len(m.tasks))
	}
	m.forget()
	m.forgetBatches()
}

// nextDue returns the task whose time has passed first.
func (m *Table) nextDue(spareBefore int64) (first *Task) {
	for _, t := range m.tasks {
		at := t.due()
		if at == 0 || at > m.now || t.State == Running && at <= spareBefore {
			continue
		}
		if first == nil || cmp.Or(cmp.Compare(at, first.due()), byID(t, first)) < 0 {
			first = t
		}
	}
	return first
}

// due is when something happens to the task by itself; 0: never.
func (t *Task) due() int64 {
	switch at := t.unstartedBy(); {
	case t.State == Running || t.State == Stopping:
		return t.Deadline
	case t.State == Scheduled && len(t.pending) == 0 && (at == 0 || t.Eligible < at):
		return t.Eligible
	case t.State == Scheduled, t.State == Ready:
		return at
	}
	return 0
}

// unstartedBy is when a task that has not started then is cancelled; 0: never.
func (t *Task) unstartedBy() int64 {
	if t.Of != 0 {
		return t.Until // however often it has started
	}
	if t.started {
		return 0
	}
	return t.Expires
}

// forget drops idempotency keys, clients and workers that are no longer needed.
func (m *Table) forget() {
	for id, r := range m.requests {
		if t := m.tasks[r.task]; r.created+keepRequest <= m.now && (t == nil || t.Terminal()) {
			delete(m.requests, id)
		}
	}
	for id, c := range m.clients {
		if idle := c.used + keepClient; idle+(minute-idle%minute)%minute <= m.now { // at the next full minute
			delete(m.clients, id)
		}
	}
	for name, w := range m.workers {
		if w.Seen+keepWorker <= m.now && m.sessionOf(name) == nil {
			delete(m.workers, name)
		}
	}
}
