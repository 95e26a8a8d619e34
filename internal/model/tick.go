package model

import (
	"cmp"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// cancel ends what waits and tells what runs to stop (S14).
func (m *Table) cancel(c *fsmpb.Cancel) Result {
	r := Result{Outcome: "ACCEPTED"}
	for _, id := range c.GetTasks() {
		r.Outcomes = append(r.Outcomes, m.cancelOne(id, cmp.Or(c.GetReason(), "cancelled")))
	}
	return r
}

func (m *Table) cancelOne(id uint64, reason string) string {
	t := m.tasks[id]
	switch {
	case t == nil && id > 0 && id <= m.lastTask:
		return "FORGOTTEN"
	case t == nil:
		return "UNKNOWN_TASK"
	case t.State == Cancelled, t.State == Stopping && t.Stop == "cancelled":
		return "DUPLICATE"
	case t.Terminal():
		return "ALREADY_TERMINAL"
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
		case t == nil && id > 0 && id <= m.lastTask:
			outcome = "FORGOTTEN"
		case t == nil:
			outcome = "UNKNOWN_TASK"
		case t.State != Dead && t.State != Cancelled:
			outcome = "NOT_TERMINAL"
		case m.holder(t.Unique) != nil: // another one
			outcome = "UNIQUE_KEY_TAKEN"
		default:
			m.touch(t)
			t.Generation++
			t.State, t.Eligible, t.Finished, t.Expires = Ready, m.now, 0, 0
			t.Attempts, t.Failures, t.Crashes, t.Solo, t.started = 0, 0, 0, 0, false
			t.Result, t.Error, t.Reason = nil, "", ""
		}
		r.Outcomes = append(r.Outcomes, outcome)
	}
	return r
}

// deleteTasks removes the records of what has ended, before their time.
func (m *Table) deleteTasks(c *fsmpb.Delete) Result {
	r := Result{Outcome: "ACCEPTED"}
	for _, id := range c.GetTasks() {
		t := m.tasks[id]
		outcome := "ACCEPTED"
		switch {
		case t == nil && id > 0 && id <= m.lastTask:
			outcome = "FORGOTTEN"
		case t == nil:
			outcome = "UNKNOWN_TASK"
		case !t.Terminal():
			outcome = "NOT_TERMINAL"
		default:
			m.touch(t)
			delete(m.tasks, id)
			if q := m.requests[t.RequestID]; q != nil && q.task == id {
				delete(m.requests, t.RequestID)
			}
		}
		r.Outcomes = append(r.Outcomes, outcome)
	}
	return r
}

// tick carries out what is due. Attempts whose time passed while nobody led are
// spared: their workers could not report.
func (m *Table) tick(c *fsmpb.Tick) Result {
	for _, t := range m.sorted(func(*Task) bool { return true }, byID) {
		switch {
		case t.State == Running && t.Deadline <= m.now && t.Deadline > c.GetSpareBefore():
			m.touch(t)
			t.State, t.Stop, t.Reason, t.Deadline = Stopping, "timed_out", "timed_out", m.now+stopGrace
			t.Failures++ // the attempt is burnt now (S8); what follows waits for its worker
			t.Error = "attempt timed out"
		case t.State == Stopping && t.Deadline <= m.now:
			m.stopped(t)
		case (t.State == Ready || t.State == Scheduled) && !t.started && t.Expires != 0 && t.Expires <= m.now:
			m.finish(t, Cancelled, "expired")
		case t.State == Scheduled && t.Eligible <= m.now:
			m.touch(t)
			t.State = Ready
		case t.Terminal() && t.Finished+t.Retain <= m.now:
			m.touch(t)
			delete(m.tasks, t.ID)
		}
	}
	for _, q := range m.queues {
		m.trim(q, len(m.tasks))
	}
	m.forget()
	return Result{Outcome: "ACCEPTED"}
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
		if w.seen+keepWorker <= m.now && m.sessionOf(name) == nil {
			delete(m.workers, name)
		}
	}
}
