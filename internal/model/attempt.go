package model

import "github.com/taskraft/taskraft/fsm/fsmpb"

// report is what a worker says about one attempt.
type report struct {
	task, fence  uint64
	worker, boot string
	verb         string
	digest       uint64
}

// judge says what a fence is worth. current means that it is the valid one, or one
// whose session was lost and that can be redeemed; else outcome is the answer.
func (m *Table) judge(r report) (t *Task, current bool, outcome string) {
	t = m.tasks[r.task]
	if t == nil {
		return nil, false, m.absent(r.task)
	}
	if t.Fence == r.fence && t.Worker == r.worker && t.Boot == r.boot && (t.held() || t.Redeemable) {
		return t, true, ""
	}
	for _, e := range t.ended {
		if e.fence != r.fence || e.worker != r.worker || e.boot != r.boot {
			continue
		}
		if e.verb != "" {
			if e.verb == r.verb && e.digest == r.digest {
				return t, false, "DUPLICATE"
			}
			return t, false, "CONFLICT"
		}
		return t, false, m.stale(t)
	}
	return t, false, "UNKNOWN_TASK"
}

// stale is the answer to a fence that ended without its worker's word.
func (m *Table) stale(t *Task) string {
	switch t.State {
	case Cancelled:
		return "TASK_CANCELLED"
	case Succeeded, Dead:
		return "ALREADY_TERMINAL"
	case Running, Stopping:
		return "STALE_REASSIGNED"
	}
	return "STALE_TIMED_OUT"
}

// confirm answers a report about an attempt that is to stop: its worker has
// confirmed with it.
func (m *Table) confirm(t *Task) string {
	cause := t.Stop
	m.stopped(t)
	if cause == "cancelled" {
		return "TASK_CANCELLED"
	}
	return "STALE_TIMED_OUT"
}

// stopped ends STOPPING: the worker confirmed, its grace passed or it is gone.
func (m *Table) stopped(t *Task) {
	t.over(t.Stop, "", 0)
	if t.Stop == "cancelled" {
		m.finish(t, Cancelled, t.Reason)
		return
	}
	if t.Failures >= t.MaxAttempts {
		m.finish(t, Dead, "timed_out")
		return
	}
	if t.Of != 0 && t.Until <= m.now {
		m.finish(t, Cancelled, "deadline")
		return
	}
	t.Reason = ""
	m.wait(t, m.now+backoff(t.ID, t.Failures, t.BackoffBase, t.BackoffMax))
}

func (m *Table) complete(c *fsmpb.Complete) Result {
	r := Result{Outcome: "ACCEPTED"}
	for _, i := range c.GetItems() {
		t, current, outcome := m.judge(report{i.GetTask(), i.GetFence(), c.GetWorker(), c.GetBoot(), "complete", i.GetDigest()})
		switch {
		case !current:
		case t.State == Stopping:
			outcome = m.confirm(t)
		default:
			outcome = "ACCEPTED"
			t.over("completed", "complete", i.GetDigest())
			t.Result, t.Error = i.GetResult(), ""
			m.finish(t, Succeeded, "")
			m.follow(i.GetFollowUp(), t.ID, 0)
		}
		r.Outcomes = append(r.Outcomes, outcome)
	}
	return r
}

func (m *Table) fail(c *fsmpb.Fail) Result {
	r := Result{Outcome: "ACCEPTED"}
	for _, i := range c.GetItems() {
		t, current, outcome := m.judge(report{i.GetTask(), i.GetFence(), c.GetWorker(), c.GetBoot(), "fail", i.GetDigest()})
		switch {
		case !current:
		case t.State == Stopping:
			outcome = m.confirm(t)
		default:
			outcome = "ACCEPTED"
			m.failed(t, i)
		}
		r.Outcomes = append(r.Outcomes, outcome)
	}
	return r
}

func (m *Table) failed(t *Task, i *fsmpb.Failure) {
	if i.GetSnooze() {
		t.over("snoozed", "fail", i.GetDigest())
		t.Error = i.GetError()
		m.wait(t, m.now+i.GetRetryAfter())
		return
	}
	t.over("failed", "fail", i.GetDigest())
	t.Error = i.GetError()
	t.Failures++
	switch {
	case i.GetPermanent():
		t.Result = i.GetResult()
		m.finish(t, Dead, "permanent")
	case t.Failures >= t.MaxAttempts:
		t.Result = i.GetResult()
		m.finish(t, Dead, "max_attempts")
	case i.GetRetryAfter() > 0:
		m.wait(t, m.now+i.GetRetryAfter())
	default:
		m.wait(t, m.now+backoff(t.ID, t.Failures, t.BackoffBase, t.BackoffMax))
	}
}

// release hands attempts back: nothing is burnt, and the task keeps its place.
func (m *Table) release(c *fsmpb.Release) Result {
	r := Result{Outcome: "ACCEPTED"}
	for _, i := range c.GetItems() {
		t, current, outcome := m.judge(report{i.GetTask(), i.GetFence(), c.GetWorker(), c.GetBoot(), "release", 0})
		switch {
		case !current:
		case t.State == Stopping:
			outcome = m.confirm(t)
		case t.Redeemable:
			outcome = "ACCEPTED" // it is back already
		default:
			outcome = "ACCEPTED"
			m.touch(t)
			t.over("released", "release", 0)
			t.void()
			t.State = Ready
		}
		r.Outcomes = append(r.Outcomes, outcome)
	}
	return r
}
